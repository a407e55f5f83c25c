defmodule Exosuit.Lattice.Local.Watch do
  @moduledoc """
  A watch of a bucket of the local store: a process that is linked to the watcher, and sends it one change at a
  time.

  The watch holds no values, only the keys that must be sent, in the order of their revisions, and the known
  keys. A slow watcher therefore costs no more memory than the keys, and gets the last change of each.

  Changes arrive by the registry, so a watch survives a restart of the writer. After a restart the writer makes all
  watches compare (`compare/2`), because a change may have been written and not sent.

  | state | |
  |---|---|
  | `waiting`, `revisions` | the keys that must be sent, by revision, and the revision of each |
  | `known` | the keys that the watcher has a value of: only their deletion is of interest |
  | `seen` | the greatest revision that this process has heard of |
  | `current` | the revision at the beginning; after it, `:current` is sent once |
  | `wanted?` | whether the watcher has asked for the next change |

  The value is read from the table when its turn comes. If the key has changed by then, it is sent later, with its later
  revision.
  """

  use Exosuit.Server, restart: :temporary

  alias Exosuit.Lattice.Local.Handle
  alias Exosuit.Registries

  @enforce_keys [:owner, :reference, :handle, :bucket]
  defstruct [
    :owner,
    :reference,
    :handle,
    :bucket,
    :current,
    waiting: :gb_sets.new(),
    revisions: %{},
    known: MapSet.new(),
    seen: 0,
    wanted?: true
  ]

  @doc "Starts a watch for the calling process."
  @spec start_link(Handle.t(), Exosuit.Lattice.Backend.bucket(), reference()) ::
          GenServer.on_start()
  def start_link(handle, bucket, reference) do
    watch = %__MODULE__{owner: self(), reference: reference, handle: handle, bucket: bucket}
    GenServer.start_link(__MODULE__, watch)
  end

  @doc "Sends all watches of a bucket the new revision of a key."
  @spec tell(Handle.t(), Exosuit.Lattice.Backend.bucket(), String.t(), pos_integer()) :: :ok
  def tell(handle, bucket, key, revision), do: send_all(handle, bucket, {:changed, key, revision})

  @doc "Makes all watches of a bucket look for changes that were not sent to them."
  @spec compare(Handle.t(), Exosuit.Lattice.Backend.bucket()) :: :ok
  def compare(handle, bucket), do: send_all(handle, bucket, :compare)

  @impl GenServer
  def init(watch) do
    Process.monitor(watch.owner)
    {:ok, _owner} = Registries.register(Registries.subscribers(), key(watch), nil)

    # The watch is registered before the comparison, so that changes in the meantime arrive as well.
    watch = compare(watch)
    {:ok, %{watch | current: watch.seen}, {:continue, :tell}}
  end

  @impl GenServer
  def handle_continue(:tell, watch), do: {:noreply, tell_next(watch)}

  @impl GenServer
  def handle_cast(:next, watch), do: {:noreply, tell_next(%{watch | wanted?: true})}

  def handle_cast(:stop, watch) do
    # Unlinked, so that an owner that traps exits gets no message.
    Process.unlink(watch.owner)
    {:stop, :normal, watch}
  end

  @impl GenServer
  def handle_info({:changed, key, revision}, watch),
    do: {:noreply, watch |> note(key, revision) |> tell_next()}

  def handle_info(:compare, watch), do: {:noreply, watch |> compare() |> tell_next()}

  def handle_info({:DOWN, _monitor, :process, owner, _reason}, %{owner: owner} = watch),
    do: {:stop, :normal, watch}

  defp key(watch), do: {:watch, watch.handle.name, watch.bucket}

  defp send_all(handle, bucket, message) do
    for {pid, _value} <-
          Registries.lookup(Registries.subscribers(), {:watch, handle.name, bucket}),
        do: send(pid, message)

    :ok
  end

  # A missing row was deleted long ago: the table forgets old deletions.
  defp compare(%{handle: %{table: table}, bucket: bucket} = watch) do
    rows = :ets.select(table, [{{{bucket, :"$1"}, :_, :"$2"}, [], [{{:"$1", :"$2"}}]}])
    gone = MapSet.difference(watch.known, MapSet.new(rows, &elem(&1, 0)))
    changed = for {key, revision} <- rows, revision > watch.seen, do: {key, revision}
    changed = changed ++ for key <- gone, do: {key, watch.seen}
    Enum.reduce(changed, watch, fn {key, revision}, watch -> note(watch, key, revision) end)
  end

  defp note(watch, key, revision) do
    waiting =
      case watch.revisions do
        %{^key => before} -> :gb_sets.delete_any({before, key}, watch.waiting)
        %{} -> watch.waiting
      end

    %{
      watch
      | waiting: :gb_sets.add_element({revision, key}, waiting),
        revisions: Map.put(watch.revisions, key, revision),
        seen: max(watch.seen, revision)
    }
  end

  defp tell_next(%{wanted?: false} = watch), do: watch

  defp tell_next(watch) do
    case next(watch) do
      {nil, watch} -> watch
      {change, watch} -> tell_owner(watch, change)
    end
  end

  defp tell_owner(watch, change) do
    send(watch.owner, {:exosuit_lattice, watch.reference, change})
    %{watch | wanted?: false}
  end

  # `:current` follows all keys that existed at the beginning.
  defp next(watch) do
    first = if not :gb_sets.is_empty(watch.waiting), do: :gb_sets.smallest(watch.waiting)

    cond do
      watch.current && (first == nil or elem(first, 0) > watch.current) ->
        {:current, %{watch | current: nil}}

      first == nil ->
        {nil, watch}

      true ->
        take(watch, first)
    end
  end

  defp take(watch, {revision, key} = first) do
    case :ets.lookup(watch.handle.table, {watch.bucket, key}) do
      # The key has changed since, so it is sent with the later revision.
      [{_key, _value, later}] when later > revision ->
        watch |> note(key, later) |> next()

      [{_key, value, _revision}] when value != nil ->
        watch = %{forget(watch, first) | known: MapSet.put(watch.known, key)}
        {{:put, key, value, revision}, watch}

      _deleted ->
        gone(forget(watch, first), key)
    end
  end

  defp gone(watch, key) do
    if MapSet.member?(watch.known, key),
      do: {{:deleted, key}, %{watch | known: MapSet.delete(watch.known, key)}},
      else: next(watch)
  end

  defp forget(watch, {_revision, key} = first) do
    waiting = :gb_sets.delete_any(first, watch.waiting)
    %{watch | waiting: waiting, revisions: Map.delete(watch.revisions, key)}
  end
end
