defmodule Exosuit.Host.Linking do
  @moduledoc false
  # Makes and removes links in what the hosts of a lattice share, from where this host takes them as the others do.
  # Nothing is done where it cannot be shared, but provisional links: those of an application that this host
  # serves while its lattice is away. Each function blocks the calling process; events tell of a change once, by
  # the host that made it.
  #
  # A link that this host would refuse is not written for the others. A host that cannot take what
  # another has written keeps the link that it had; it says so by `linkdef_set_failed` and in its
  # inventory, and tries again.
  #
  # Whoever puts a link puts it for whoever runs at its ends now: it is bound to nobody's code.

  alias Exosuit.{Error, Event, Input, Instance, Lattice, Router}
  alias Exosuit.Host.{Configurations, Links, LinkTable, Replica}
  alias Exosuit.Lattice.Ledger
  alias Exosuit.Model.Link

  @doc """
  Makes a link, and replaces links of its key that overlap it. A refusal changes nothing. With `:keep`, a link
  that its provider refuses stays wanted and is retried, unless the refusal is final.
  """
  @spec put(Instance.t(), Link.t(), :strict | :keep) :: :ok | {:error, Error.t()}
  def put(instance, link, mode \\ :strict) do
    with :ok <- check_ends(link), do: put_checked(instance, link, mode)
  end

  defp put_checked(instance, link, mode) do
    Lattice.await_first(instance)
    before = instance |> Links.fetch(Link.key(link)) |> Enum.filter(&Link.overlap?(&1, link))

    with :ok <- check(instance, link, mode),
         {:ok, written} <- write(instance, {link, mode}, before),
         :ok <- Router.free_links(instance.router, Link.key(link)) do
      announce(instance, &Event.LinkdefSet.new/1, if(written == [], do: [], else: [link]))
    end
  end

  @doc """
  Makes a link on this host alone, while its lattice is away. `put/3` shares it later. Its configuration stands in
  the link, also where it has names.
  """
  @spec put_provisional(Instance.t(), Link.t()) :: :ok | {:error, Error.t()}
  def put_provisional(instance, link) do
    with :ok <- Links.put(instance, link, :keep),
         :ok <- Router.free_links(instance.router, Link.key(link)),
         do: announce(instance, &Event.LinkdefSet.new/1, [link])
  end

  @doc "Removes the links of a key on this host alone, while its lattice is away."
  @spec delete_provisional(Instance.t(), Link.key()) :: :ok | {:error, Error.t()}
  def delete_provisional(instance, key) do
    with {:ok, links} <- Links.delete(instance, key),
         do: announce(instance, &Event.LinkdefDeleted.new/1, links)
  end

  @doc "Removes the links of a key; the next call through them is refused."
  @spec delete(Instance.t(), Link.key()) :: :ok | {:error, Error.t()}
  def delete(instance, key) do
    places = Replica.holders(instance, key)
    work = fn -> Ledger.delete_links(instance.lattice, key, places) end

    case Replica.write(instance, key, :keep, work) do
      {:ok, [_ | _] = links} -> announce(instance, &Event.LinkdefDeleted.new/1, links)
      # What this host alone has, if anything.
      {:ok, []} -> delete_provisional(instance, key)
      error -> error
    end
  end

  # They become parts of keys and subjects.
  defp check_ends(link) do
    with :ok <- Input.check_name(:id, link.source),
         :ok <- Input.check_name(:id, link.target),
         do: Input.check_name(:link_name, link.name)
  end

  # What is configured by a name that is not there yet is checked when it comes.
  defp check(instance, link, mode) do
    with {:ok, link} <- resolve(instance, link),
         {:error, refusal} <- Router.check_link(instance.router, link) do
      if retried?(mode, refusal), do: :ok, else: {:error, refusal}
    else
      _fine_or_not_yet -> :ok
    end
  end

  # Whoever gave the names may have put in what they stand for, but it is they that hold.
  defp resolve(instance, link) do
    with {:ok, source} <- values(instance, link.source_configs, link.source_config),
         {:ok, target} <- values(instance, link.target_configs, link.target_config),
         do: {:ok, %{link | source_config: source, target_config: target}}
  end

  defp values(_instance, [], values), do: {:ok, values}
  defp values(instance, names, _values), do: Configurations.merge(instance, names)

  defp write(instance, {link, mode}, before) do
    with {:error, refusal} <- Replica.write(instance, link, mode, put_link(instance, link)),
         :ok <- if(retried?(mode, refusal), do: :ok, else: undo(instance, link, before)),
         do: {:error, refusal}
  end

  defp put_link(instance, link) do
    fn ->
      with {:ok, written} <- Ledger.put_link(instance.lattice, link), do: {:ok, written, written}
    end
  end

  defp retried?(mode, refusal), do: mode == :keep and not LinkTable.final?(refusal)

  # What the router refuses here, say since the claims do not name the contract, is made nowhere.
  defp undo(instance, link, []) do
    key = Link.key(link)
    same? = &({&1.target, &1.interfaces} == {link.target, link.interfaces})
    work = fn -> Ledger.delete_links(instance.lattice, key, [], same?) end
    with {:ok, _links} <- Replica.write(instance, key, :keep, work), do: :ok
  end

  defp undo(instance, _link, before) do
    Enum.find_value(before, :ok, fn link ->
      with {:ok, _written} <-
             Replica.write(instance, Link.key(link), :keep, put_link(instance, link)),
           do: nil
    end)
  end

  defp announce(instance, event, links) do
    Enum.each(links, &Lattice.announce(instance, event.(Link.public(&1))))
  end
end
