defmodule Exosuit.Lattice.Local.Watch do
  @moduledoc false
  # A watch of a bucket of the local store: a process linked to the one that watches, which it sends one change
  # at a time. It holds no values: which keys are to be told, in the order of their revisions, and which are
  # known. So a slow watcher costs no more than the keys, and gets of each the last change.
  #
  # It hears of changes by the registry and not from the writer, and so goes on when the writer is restarted;
  # the writer then has it compare (`:compare`), as a change may have been written and not told.

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

  @doc "Tells all watches of a bucket that a key has another revision."
  @spec tell(Handle.t(), Exosuit.Lattice.Backend.bucket(), String.t(), pos_integer()) :: :ok
  def tell(handle, bucket, key, revision), do: send_all(handle, bucket, {:changed, key, revision})

  @doc "Has all watches of a bucket look for changes that they were not told."
  @spec compare(Handle.t(), Exosuit.Lattice.Backend.bucket()) :: :ok
  def compare(handle, bucket), do: send_all(handle, bucket, :compare)

  @impl GenServer
  def init(watch) do
    Process.monitor(watch.owner)
    {:ok, _owner} = Registries.register(Registries.subscribers(), key(watch), nil)
    # Registered before: what changes meanwhile is told as well.
    watch = compare(watch)
    {:ok, %{watch | current: watch.seen}, {:continue, :tell}}
  end

  @impl GenServer
  def handle_continue(:tell, watch), do: {:noreply, tell_next(watch)}

  @impl GenServer
  def handle_cast(:next, watch), do: {:noreply, tell_next(%{watch | wanted?: true})}

  def handle_cast(:stop, watch) do
    # An owner that traps exits is not to hear of it.
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

  # A row that is gone was deleted long ago, and its place taken.
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

  # All that there was at the beginning goes before `:current`.
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
      # Changed since: its time comes with the later revision.
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
