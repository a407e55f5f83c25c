defmodule Exosuit.Lattice.Ledger do
  @moduledoc """
  Writes links and configurations to the shared state of a lattice without losing the changes of other hosts, and
  returns the changes.

  Each function blocks the calling process on a server. Each record is written by compare-and-set, and written again if
  another host was faster (`Exosuit.Lattice.Store.write/4`).

  ## Which record

  | the lattice | the link | record |
  |---|---|---|
  | one host | any | `LINK_…`: the links of one key (`Exosuit.Lattice.LinkRecord`) |
  | many hosts | can be expressed in the OTP era | `LINKDEF_…`: one link |
  | many hosts | has interfaces, or configuration of the source | the record of 1.x: all links of a component |

  Records of the third kind refer to configurations by name. Unnamed values become a configuration of their own
  (`Exosuit.Lattice.Records.name_configurations/1`).

  ## Steps without a transaction

  The store has no transactions, so a change of several records has an order in which each state between is correct:

  1. the configurations are written before the link that names them
  2. a link that moves is written to its new record before it is removed from the old one; in between, the later record
     applies (`Exosuit.Lattice.Mirror`), so no call is refused
  3. the configurations are written once more, because another host may have deleted them in between, together with an
     equal link
  4. configurations of links that are gone are deleted last, unless a link that names them is back

  If a step fails, the steps before it stay. The error is returned, and a repetition of the whole call continues.
  """

  alias Exosuit.{Error, Json}
  alias Exosuit.Lattice.{LinkRecord, Mirror, Records, Session, Store}
  alias Exosuit.Model.Link
  alias Exosuit.Protocol.{Otp, V1}

  @typedoc """
  A written change with its revision. The caller passes it to `Exosuit.Lattice.Mirror.write/4`, so that this host knows
  its own write before the watch delivers it.
  """
  @type written :: {Mirror.change(), non_neg_integer()}

  @type result :: {:ok, [written()]} | {:error, Error.t()}

  @doc """
  Makes a link. It replaces the links of its key that it overlaps and that have its target. An equal link is not written
  again: the list of changes is then empty.

  Returns `:conflict` if a link of its key covers the same interface with another target. Replacing that link would
  redirect calls by accident.
  """
  @spec put_link(Session.t(), Link.t()) :: result()
  def put_link(session, link) do
    if Session.has?(session, :others), do: put_shared(session, link), else: put_own(session, link)
  end

  # Writes to a record that only Exosuit hosts read.
  defp put_own(session, link) do
    link = LinkRecord.stored(link)

    change = fn there, _old ->
      others = Enum.reject(there, &follows?(link, &1))

      if there -- others == [link],
        do: :keep,
        else: with(:ok <- check(link, others), do: LinkRecord.encode(others ++ [link]))
    end

    with {:ok, written, _replaced} <- write(session, LinkRecord.key(Link.key(link)), change),
         do: {:ok, written}
  end

  defp put_shared(session, link) do
    {link, configurations} = named(%{link | app: nil, outlives: false})
    {definition, component} = places = Records.places(Link.key(link))
    {place, other} = if Otp.Records.expressible?(link), do: places, else: {component, definition}

    with {:ok, configured} <- put_all(session, configurations),
         {:ok, elsewhere} <- fetch_links(session, other),
         :ok <- check(link, elsewhere),
         {:ok, put, replaced} <- put_in_place(session, place, link),
         {:ok, taken, moved} <- remove(session, other, &follows?(link, &1)),
         # Written again, because another host may have deleted the configurations together with a link that had the
         # same ones.
         {:ok, kept} <- put_all(session, configurations),
         {:ok, cleaned} <- clean(session, replaced ++ moved, [link]) do
      {:ok, configured ++ put ++ taken ++ kept ++ cleaned}
    end
  end

  @doc """
  Removes the links of a key for which `remove?` is true. `places` are further records that have such links: those that
  `Exosuit.Lattice.Mirror.holders/2` knows, because a host of another generation may have chosen another record. Also
  returns the removed links; an empty list if there were none.
  """
  @spec delete_links(Session.t(), Link.key(), [Records.key()], (Link.t() -> boolean())) ::
          {:ok, [written()], [Link.t()]} | {:error, Error.t()}
  def delete_links(session, key, places, remove? \\ fn _link -> true end) do
    places = Enum.uniq(own_places(session, key) ++ places)

    with {:ok, written, removed} <-
           remove_all(session, places, &(Link.key(&1) == key and remove?.(&1))),
         {:ok, cleaned} <- clean(session, removed, []),
         do: {:ok, written ++ cleaned, removed}
  end

  @doc """
  Writes a configuration, unless the stored one is equal. The list of changes is then empty.
  """
  @spec put_configuration(Session.t(), String.t(), Records.values()) ::
          {:ok, [written()]} | {:error, Error.t()}
  def put_configuration(session, name, values) do
    change = fn old ->
      with {:error, _unreadable_or_absent} <- same(old, values),
           {:ok, new} <- Json.encode(values),
           do: {:put, new}
    end

    with {:ok, written} <- Store.write(session, :configurations, name, change) do
      {:ok, if(written, do: [{{:configuration, name, values}, elem(written, 1)}], else: [])}
    end
  end

  @doc """
  The values of a configuration. `:not_found` if there is none, and `:invalid_input` if the record is no map of texts.
  """
  @spec fetch_configuration(Session.t(), String.t()) ::
          {:ok, Records.values()} | {:error, Error.t()}
  def fetch_configuration(session, name) do
    case Store.get(session, :configurations, name) do
      {:ok, nil} -> {:error, Error.new(:not_found, "there is no configuration #{inspect(name)}")}
      {:ok, value} -> Records.read_configuration(value)
      error -> error
    end
  end

  @doc "Deletes a configuration, if it exists."
  @spec delete_configuration(Session.t(), String.t()) :: {:ok, [written()]} | {:error, Error.t()}
  def delete_configuration(session, name) do
    with {:ok, value} when value != nil <- Store.get(session, :configurations, name),
         :ok <- Store.delete(session, :configurations, name) do
      {:ok, [{{:configuration, name, nil}, 0}]}
    else
      {:ok, nil} -> {:ok, []}
      error -> error
    end
  end

  defp own_places(session, key) do
    if Session.has?(session, :others),
      do: Tuple.to_list(Records.places(key)),
      else: [LinkRecord.key(key)]
  end

  # A link that a record of the OTP era can express stays as it is.
  defp named(link) do
    if Otp.Records.expressible?(link), do: {link, %{}}, else: Records.name_configurations(link)
  end

  defp put_all(session, configurations) do
    gather(configurations, fn {name, values} -> put_configuration(session, name, values) end)
  end

  defp put_in_place(session, "LINKDEF_" <> _ = place, link) do
    write(session, place, fn
      [^link], _old -> :keep
      there, _old -> with :ok <- check(link, there), do: Otp.Records.encode(link)
    end)
  end

  # The record of the link has the names of its configurations; their values are in records of their own.
  defp put_in_place(session, place, link) do
    link = %{link | source_config: %{}, target_config: %{}}

    write(session, place, fn there, old ->
      replaced = Enum.filter(there, &follows?(link, &1))

      with false <- replaced == [link], :ok <- check(link, there) do
        V1.Records.encode(old, replaced, [link])
      else
        true -> :keep
        error -> error
      end
    end)
  end

  defp remove_all(session, places, remove?) do
    Enum.reduce_while(places, {:ok, [], []}, fn place, {:ok, written, removed} ->
      case remove(session, place, remove?) do
        {:ok, more, links} -> {:cont, {:ok, written ++ more, removed ++ links}}
        error -> {:halt, error}
      end
    end)
  end

  defp remove(session, "LINKDEF_" <> _ = place, remove?),
    do: remove_record(session, place, remove?, fn -> {:ok, [], []} end)

  defp remove(session, "LINK_" <> _ = place, remove?) do
    others = fn there, _old -> LinkRecord.encode(Enum.reject(there, remove?)) end
    remove_record(session, place, remove?, fn -> remove_some(session, place, remove?, others) end)
  end

  defp remove(session, place, remove?) do
    others = fn there, old -> V1.Records.encode(old, Enum.filter(there, remove?), []) end
    remove_some(session, place, remove?, others)
  end

  defp remove_some(session, place, remove?, others) do
    write(session, place, fn there, old ->
      if Enum.any?(there, remove?), do: others.(there, old), else: :keep
    end)
  end

  # Removes a record if all of its links go, unless another host has changed it in the meantime.
  defp remove_record(session, place, remove?, otherwise) do
    with {:ok, {value, revision}} <- Store.read(session, :data, place),
         {:ok, [_ | _] = links} <- readable(place, value),
         true <- Enum.all?(links, remove?),
         {:ok, true} <- Store.remove(session, :data, place, revision),
         {:ok, {value, revision}} <- Store.read(session, :data, place),
         {:ok, written} <- written(place, value, revision) do
      {:ok, written, links}
    else
      {:error, error} -> {:error, error}
      {:ok, false} -> remove(session, place, remove?)
      _not_all -> otherwise.()
    end
  end

  # Returns the removed links, too.
  defp write(session, place, change) do
    update = fn old ->
      with {:ok, there} <- readable(place, old),
           {:ok, new} <- change.(there, old),
           do: {:put, new}
    end

    with {:ok, before} <- fetch_links(session, place),
         {:ok, {new, revision}} <- Store.write(session, :data, place, update),
         {:ok, [{{:links, _, _, _, links}, _}] = written} <- written(place, new, revision) do
      {:ok, written, before -- links}
    else
      {:ok, nil} -> {:ok, [], []}
      error -> error
    end
  end

  defp written(place, nil, revision), do: {:ok, [{{:deleted, place}, revision}]}

  defp written(place, value, revision) do
    with {:ok, links, _refused} <- Records.read_links(place, value),
         do: {:ok, [{{:links, place, revision, value, links}, revision}]}
  end

  defp fetch_links(session, place) do
    with {:ok, value} <- Store.get(session, :data, place), do: readable(place, value)
  end

  # An unreadable record of one link counts as empty. An unreadable record of a component is an error, because it may
  # hold data of others.
  defp readable(place, value) do
    case {Records.read_links(place, value), place} do
      {{:ok, links, _refused}, _place} -> {:ok, links}
      {{:error, _error}, "LINKDEF_" <> _} -> {:ok, []}
      {error, _place} -> error
    end
  end

  # Deletes the configurations that were made for removed links, unless another host has put such a link back.
  defp clean(session, gone, there) do
    with {:ok, back} <- put_back(session, gone) do
      names = Enum.flat_map(gone, &Records.own_configurations/1)
      kept = Enum.flat_map(there ++ back, &Records.own_configurations/1)
      delete_unused(session, Enum.uniq(names -- kept), gone)
    end
  end

  # Another host may have put a link with the same configuration after the check, and found the configuration in
  # place. A configuration that is in use after all is put back.
  defp delete_unused(_session, [], _gone), do: {:ok, []}

  defp delete_unused(session, names, gone) do
    values = for name <- names, {:ok, it} <- [fetch_configuration(session, name)], do: {name, it}

    with {:ok, deleted} <- gather(names, &delete_configuration(session, &1)),
         {:ok, back} <- put_back(session, gone),
         used = Enum.flat_map(back, &Records.own_configurations/1),
         {:ok, restored} <- put_all(session, Map.take(Map.new(values), used)),
         do: {:ok, deleted ++ restored}
  end

  defp put_back(session, gone) do
    places = for link <- gone, do: link |> Link.key() |> Records.places() |> elem(1)
    gather(Enum.uniq(places), &fetch_links(session, &1))
  end

  defp gather(items, fun) do
    Enum.reduce_while(items, {:ok, []}, fn item, {:ok, gathered} ->
      case fun.(item) do
        {:ok, more} -> {:cont, {:ok, gathered ++ more}}
        error -> {:halt, error}
      end
    end)
  end

  defp same(nil, _values), do: {:error, :absent}

  defp same(old, values) do
    case Records.read_configuration(old) do
      {:ok, ^values} -> :keep
      _other -> {:error, :other}
    end
  end

  defp check(link, others) do
    case Enum.find(others, &(rival?(link, &1) and &1.target != link.target)) do
      nil -> :ok
      other -> {:error, Error.new(:conflict, conflict(link, other))}
    end
  end

  defp follows?(link, other), do: rival?(link, other) and link.target == other.target
  defp rival?(link, other), do: Link.key(link) == Link.key(other) and Link.overlap?(link, other)

  defp conflict(link, other) do
    "the link of #{link.source} for #{Link.contract(link)} named #{link.name} to #{link.target} " <>
      "overlaps the link to #{other.target}; delete that link first"
  end
end
