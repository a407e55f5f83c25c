defmodule Exosuit.Host.Linking do
  @moduledoc false
  # Makes and removes links: on this host alone, or, in a lattice of many, in what they share, from
  # where this host takes them as the others do. Nothing is done where it cannot be shared. Each
  # function blocks the calling process; events tell of a change once, by the host that made it.
  #
  # A link that this host would refuse is not written for the others. A host that cannot take what
  # another has written keeps the link that it had; it says so by `linkdef_set_failed` and in its
  # inventory, and tries again.
  #
  # Whoever puts a link puts it for whoever runs at its ends now: it is bound to nobody's code.

  alias Exosuit.{Error, Event, Input, Instance, Lattice, Router}
  alias Exosuit.Host.{Configurations, LinkChange, Links, Replica}
  alias Exosuit.Lattice.Ledger
  alias Exosuit.Model.Link

  @doc """
  Makes a link, and replaces links of its key that overlap it. A refusal changes nothing. With `:keep`, a host
  without a lattice retries it, unless the refusal is final.
  """
  @spec put(Instance.t(), Link.t(), :strict | :keep) :: :ok | {:error, Error.t()}
  def put(instance, link, mode \\ :strict)

  def put(instance, link, mode) do
    with :ok <- check_ends(link), do: put_checked(instance, link, mode)
  end

  defp put_checked(%Instance{nats_lattice: nil} = instance, link, mode) do
    with {:ok, link} <- resolve(instance, link),
         :ok <- Links.put(instance, link, mode),
         :ok <- Router.free_links(instance.router, Link.key(link)) do
      announce(instance, &Event.LinkdefSet.new/1, [link])
    end
  end

  defp put_checked(instance, link, _mode) do
    Lattice.Nats.await_first(instance)
    before = instance |> Links.fetch(Link.key(link)) |> Enum.filter(&Link.overlap?(&1, link))

    with :ok <- check(instance, link),
         {:ok, written} <- Ledger.put_link(instance.lattice, link),
         :ok <- take_over(instance, written, link, before),
         :ok <- Router.free_links(instance.router, Link.key(link)) do
      announce(instance, &Event.LinkdefSet.new/1, if(written == [], do: [], else: [link]))
    end
  end

  @doc "Removes the links of a key; the next call through them is refused."
  @spec delete(Instance.t(), Link.key()) :: :ok | {:error, Error.t()}
  def delete(%Instance{nats_lattice: nil} = instance, key) do
    with {:ok, links} <- Links.delete(instance, key),
         do: announce(instance, &Event.LinkdefDeleted.new/1, links)
  end

  def delete(instance, key) do
    places = Replica.holders(instance, key)

    with {:ok, written, [_ | _] = links} <-
           Ledger.delete_links(instance.lattice, key, places),
         :ok <- Replica.take(instance, written, key) do
      announce(instance, &Event.LinkdefDeleted.new/1, links)
    else
      {:ok, _nothing, []} -> {:error, LinkChange.absent(key)}
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
  defp check(instance, link) do
    case resolve(instance, link) do
      {:ok, link} -> Router.check_link(instance.router, link)
      {:error, _not_yet} -> :ok
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

  defp take_over(instance, written, link, before) do
    with {:error, refusal} <- Replica.take(instance, written, link),
         :ok <- undo(instance, link, before),
         do: {:error, refusal}
  end

  # What the router refuses here, say since the claims do not name the contract, is made nowhere.
  defp undo(instance, link, []) do
    same? = &({&1.target, &1.interfaces} == {link.target, link.interfaces})

    with {:ok, written, _links} <-
           Ledger.delete_links(instance.lattice, Link.key(link), [], same?),
         do: Replica.take(instance, written, Link.key(link))
  end

  defp undo(instance, _link, before) do
    Enum.reduce_while(before, :ok, fn link, :ok ->
      with {:ok, written} <- Ledger.put_link(instance.lattice, link),
           :ok <- Replica.take(instance, written, Link.key(link)) do
        {:cont, :ok}
      else
        error -> {:halt, error}
      end
    end)
  end

  defp announce(instance, event, links) do
    Enum.each(links, &Lattice.announce(instance, event.(Link.public(&1))))
  end
end
