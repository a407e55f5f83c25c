defmodule Exosuit.Host.Linking do
  @moduledoc """
  Makes and removes links in the shared state of a lattice.

  This host then applies the change, like all other hosts. If the lattice cannot be reached, only provisional links are
  made: those of an application that this host serves alone in the meantime. Each function blocks the calling process.
  The host that makes a change emits its event, `linkdef_set` or `linkdef_deleted`.

  A link that this host would refuse is not written for the others. If a host cannot apply a link of another host,
  it keeps its previous link, emits `linkdef_set_failed`, shows the error in its inventory, and retries unless the
  refusal is final. The data plane emits that event itself, whenever the router or a provider refuses a put link.

  A put link applies to the code that runs at its ends now: it is not bound to earlier code.

  ## The life of a put

      put/3 ── wait for the first connection ── ask the router: would this host take the link?
                 │ no: return the error, nothing is changed
                 ▼
      Ledger.put_link: write the record by compare-and-set
                 │
                 ▼
      Replica.write: wait until this host has applied its copy of the records
                 │ refused after all: write the former links back, return the error
                 ▼
      unbind the link from earlier code ── announce `linkdef_set`

  The check before the write spares the other hosts a link that cannot work. The check cannot replace the undo: a
  provider may refuse between the two, and other hosts see the link until it is undone.

  If the calling process is killed after the write, the link stays, as every record of the lattice does.
  """

  alias Exosuit.{Error, Event, Input, Instance, Lattice, Router}
  alias Exosuit.Host.{Configurations, Links, LinkTable, Replica}
  alias Exosuit.Lattice.Ledger
  alias Exosuit.Model.Link

  @doc """
  Makes a link, and replaces links of its key that overlap it and have the same target. A refusal changes nothing. With
  `:keep`, a link that its provider refuses stays wanted and is retried, unless the refusal is final.

  The errors:

  - `:invalid_input`: an id of an end or the name of the link has another form
  - `:conflict`: another link of the key covers the same interface with another target; delete that one first
  - `:missing_claim` or `:denied`: the claims of the actor that runs here do not allow it
  - `:invalid_link`, or any other error of the provider: it refused the configuration
  - `:unavailable`, `:deadline` or `:limit`: the lattice's store did not take the record

  A link that is there in the same form emits no event.
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
  Makes a link on this host alone, while its lattice cannot be reached. `put/3` shares it later. The link contains
  the values of its configuration, also of a named one.
  """
  @spec put_provisional(Instance.t(), Link.t()) :: :ok | {:error, Error.t()}
  def put_provisional(instance, link) do
    with :ok <- Links.put(instance, link, :keep),
         :ok <- Router.free_links(instance.router, Link.key(link)),
         do: announce(instance, &Event.LinkdefSet.new/1, [link])
  end

  @doc "Removes the links of a key on this host alone, while its lattice cannot be reached."
  @spec delete_provisional(Instance.t(), Link.key()) :: :ok | {:error, Error.t()}
  def delete_provisional(instance, key) do
    with {:ok, links} <- Links.delete(instance, key),
         do: announce(instance, &Event.LinkdefDeleted.new/1, links)
  end

  @doc """
  Removes the links of a key; the next call through them is refused. Also removes a provisional link of this host.

  Returns `:not_found` if neither the lattice nor this host has such a link. If a provider fails to release the link,
  calls are refused nevertheless.
  """
  @spec delete(Instance.t(), Link.key()) :: :ok | {:error, Error.t()}
  def delete(instance, key) do
    places = Replica.holders(instance, key)
    work = fn -> Ledger.delete_links(instance.lattice, key, places) end

    case Replica.write(instance, key, :keep, work) do
      {:ok, [_ | _] = links} -> announce(instance, &Event.LinkdefDeleted.new/1, links)
      # The lattice has no such link; this host may have a provisional one.
      {:ok, []} -> delete_provisional(instance, key)
      error -> error
    end
  end

  # Checked because ids of the ends become parts of keys and subjects.
  defp check_ends(link) do
    with :ok <- Input.check_name(:id, link.source),
         :ok <- Input.check_name(:id, link.target),
         do: Input.check_name(:link_name, link.name)
  end

  # A link with a configuration that does not exist yet is checked when the configuration is put.
  defp check(instance, link, mode) do
    with {:ok, link} <- resolve(instance, link),
         {:error, refusal} <- Router.check_link(instance.router, link) do
      if retried?(mode, refusal), do: :ok, else: {:error, refusal}
    else
      _fine_or_not_yet -> :ok
    end
  end

  # The caller may have given values beside the names; the stored configurations of these names apply.
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

  # If the router refuses the link here, for example because the claims do not name the contract, no host gets it.
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
