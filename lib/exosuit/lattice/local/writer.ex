defmodule Exosuit.Lattice.Local.Writer do
  @moduledoc """
  The only process that writes the store of a host without NATS: first to the log in the data directory, then to
  the table. Then it informs the watches.

  The log has the durable buckets (`Exosuit.Lattice.Local.Handle.durable?/1`). The bucket of links is only in the table.
  If there is no data directory, or it cannot be written, the store is in memory only.

  Each write blocks its caller until the disk has it. Reads do not pass through this process.

  ## When something fails

  | failure | effect |
  |---|---|
  | this process is killed | its successor reads the log into the table, and makes all watches compare |
  | another host has the lock for a second | the host does not start: `:conflict` |
  | the directory cannot be made, locked or read | the store is in memory; event `lattice_state_not_kept` |
  | the log is damaged | its readable part is used, a copy is kept, the identity is new; event `lattice_state_damaged` |
  | the disk is full | the write is refused with `:io`, and changes nothing |
  | the log cannot be shortened | the longer one stays in use, and the next write tries again |

  Events that were found before the host has subscribers wait in the table, until `Exosuit.Lattice.Local.started/1`.

  A new identity tells all readers of `Exosuit.Lattice.Store.position/2` that this is another store: the absence of a
  key does not mean that somebody deleted it.

  ## Bounds

  100 000 keys, 64 MiB of keys and values together, and 1 MiB for each value; beyond them, a write is refused with
  `:limit` or `:invalid_input`. Deleted keys are remembered, so that watches see them and revisions continue: up to
  8 192, then the older half is forgotten. The log is replaced when it is larger than twice the content and 1 MiB.
  """

  use Exosuit.Server, hides_state: true

  alias Exosuit.{Error, Event, Native}
  alias Exosuit.Lattice.Events
  alias Exosuit.Lattice.Local.{Handle, Log, Objects, Watch}

  @buckets [:data, :configurations, :applications]

  # Bounds of all keys and values of a host, far above real use.
  @max_keys 100_000
  @max_bytes 67_108_864

  # The default of NATS servers.
  @max_value 1_048_576

  # Deleted keys are remembered, so that watches see them and revisions continue. Above this number, the older half is
  # forgotten.
  @max_deleted 8_192

  # The log is replaced when it is larger than twice the store's content plus this number of bytes.
  @slack 1_048_576

  # The lock of a writer that was killed is free once its process is gone. The longest time that a killed process
  # takes to end.
  @timeout 1_000

  @lock_pause 10
  @lock_attempts 100

  @enforce_keys [:handle]
  defstruct [:handle, :log, :lock, bytes: 0, keys: 0, deleted: 0]

  @spec start_link(Handle.t()) :: GenServer.on_start()
  def start_link(handle) do
    started = GenServer.start_link(__MODULE__, %__MODULE__{handle: handle}, name: handle.writer)

    # A killed writer may keep its name for a moment. Without this wait, the supervisor would use up its restarts.
    with {:error, {:already_started, writer}} <- started do
      if ended?(writer), do: start_link(handle), else: started
    end
  end

  defp ended?(writer) do
    monitor = Process.monitor(writer)

    receive do
      {:DOWN, ^monitor, :process, ^writer, _reason} -> true
    after
      @timeout ->
        Process.demonitor(monitor, [:flush])
        false
    end
  end

  @impl GenServer
  def init(%{handle: handle} = state) do
    case open(state, handle.data_dir) do
      {:ok, state} ->
        for bucket <- @buckets, do: Watch.compare(handle, bucket)
        {:ok, state}

      {:error, error} ->
        {:stop, error}
    end
  end

  @impl GenServer
  def handle_call({:set, _bucket, _key, value, _revision}, _from, state)
      when byte_size(value) > @max_value do
    detail = "the value has #{byte_size(value)} bytes, at most #{@max_value} are allowed"
    {:reply, {:error, Error.new(:invalid_input, detail)}, state}
  end

  def handle_call({:set, bucket, key, value, expected}, _from, state) do
    case current(state, bucket, key) do
      {old, ^expected} -> put(state, bucket, key, old, value)
      _changed -> {:reply, {:ok, nil}, state}
    end
  end

  def handle_call({:delete, bucket, key, expected}, _from, state) do
    case current(state, bucket, key) do
      {_value, revision} when expected not in [:any, revision] -> {:reply, {:ok, false}, state}
      {nil, _revision} -> {:reply, {:ok, true}, state}
      {old, _revision} -> delete(state, bucket, key, old)
    end
  end

  def handle_call({:put_object, digest, bytes}, _from, state),
    do: {:reply, Objects.keep(state.handle, digest, bytes), state}

  def handle_call({:delete_object, digest}, _from, state),
    do: {:reply, Objects.drop(state.handle, digest), state}

  defp open(state, nil), do: {:ok, in_memory(state)}

  defp open(state, data_dir) do
    with :ok <- make(data_dir),
         {:ok, lock} <- lock(data_dir, @lock_attempts),
         {:ok, state} <- load(%{state | lock: lock}, Path.join(data_dir, "lattice.log")) do
      {:ok, state}
    else
      {:error, %Error{reason: :conflict} = error} -> {:error, error}
      {:error, error} -> {:ok, state |> trouble(error) |> in_memory()}
    end
  end

  defp in_memory(state) do
    identity = Handle.get(state.handle, :identity) || Handle.new_identity()
    true = :ets.insert(state.handle.table, [{:identity, identity}, {:directory, nil}])
    count(state)
  end

  defp make(data_dir) do
    with {:error, reason} <- File.mkdir_p(data_dir) do
      {:error,
       Error.new(:io, "the directory #{data_dir} cannot be made: #{:file.format_error(reason)}")}
    end
  end

  defp lock(data_dir, attempts) do
    case Native.file_lock(Path.join(data_dir, "lattice.lock")) do
      {:ok, lock} ->
        {:ok, lock}

      {:error, {:conflict, _detail}} when attempts > 1 ->
        receive do
        after
          @lock_pause -> lock(data_dir, attempts - 1)
        end

      {:error, {:conflict, _detail}} ->
        {:error,
         Error.new(:conflict, "another host runs on #{data_dir}: use another data directory")}

      {:error, failure} ->
        {:error, Error.from_native(failure)}
    end
  end

  defp load(state, path) do
    with {:ok, records, wrong} <- Log.read(path),
         {:ok, aside} <- set_aside(path, wrong),
         store = Enum.reduce(records, %{rows: %{}, revisions: %{}, identity: nil}, &replay/2),
         # A store that lacks something gets a new identity, so that it does not count as complete.
         identity = if(wrong, do: nil, else: store.identity) || Handle.new_identity(),
         store = %{store | identity: identity},
         {:ok, log} <- Log.replace(path, records(store)) do
      fill(state.handle.table, store, Path.dirname(path))
      state = count(%{state | log: log})
      Objects.clean(state.handle)
      {:ok, if(wrong, do: damaged(state, path, aside, wrong), else: state)}
    end
  end

  defp set_aside(_path, nil), do: {:ok, nil}
  defp set_aside(path, _wrong), do: Log.set_aside(path)

  defp replay({:identity, identity}, store), do: %{store | identity: identity}

  # The log does not have the present revision of a bucket that is only in the table.
  defp replay({:revision, bucket, revision}, store) do
    if Handle.durable?(bucket) do
      revisions = Map.update(store.revisions, bucket, revision, &max(&1, revision))
      %{store | revisions: revisions}
    else
      store
    end
  end

  defp replay({:put, bucket, key, revision, value}, store),
    do: replay_row(store, bucket, key, revision, value)

  defp replay({:deleted, bucket, key, revision}, store),
    do: replay_row(store, bucket, key, revision, nil)

  defp replay_row(store, bucket, key, revision, value) do
    if Handle.durable?(bucket), do: put_row(store, bucket, key, revision, value), else: store
  end

  defp put_row(store, bucket, key, revision, value) do
    # Copied, because a part of the file's binary would keep all of it in memory.
    row = {value && :binary.copy(value), revision}
    store = replay({:revision, bucket, revision}, store)
    %{store | rows: Map.put(store.rows, {:binary.copy(key), bucket}, row)}
  end

  defp rows(store) do
    for {{key, bucket}, {value, revision}} <- store.rows, do: {{bucket, key}, value, revision}
  end

  defp records(store) do
    revisions = for {bucket, revision} <- store.revisions, do: {:revision, bucket, revision}
    [{:identity, store.identity} | revisions] ++ Enum.map(rows(store), &record/1)
  end

  defp record({{bucket, key}, nil, revision}), do: {:deleted, bucket, key, revision}
  defp record({{bucket, key}, value, revision}), do: {:put, bucket, key, revision, value}

  defp fill(table, store, directory) do
    revisions = for {bucket, revision} <- store.revisions, do: {{:revision, bucket}, revision}
    facts = [{:identity, store.identity}, {:directory, directory}]
    true = :ets.insert(table, facts ++ revisions ++ rows(store))
  end

  # The table may have content from before a crash of this process.
  defp count(state) do
    rows = :ets.select(state.handle.table, [{{{:_, :_}, :_, :_}, [], [:"$_"]}])
    rows = for {{bucket, _key}, _value, _revision} = row <- rows, bucket in @buckets, do: row

    Enum.reduce(rows, %{state | bytes: 0, keys: 0, deleted: 0}, fn {{_bucket, key}, value, _},
                                                                   state ->
      counted(state, key, nil, value)
    end)
  end

  # A key that is new, or was deleted, has no old value.
  defp counted(state, key, old, new) do
    size = &if(&1, do: Log.size(key, &1), else: 0)
    count = &if(&1, do: 1, else: 0)

    %{
      state
      | bytes: state.bytes - size.(old) + size.(new),
        keys: state.keys - count.(old) + count.(new),
        deleted: state.deleted + if(new, do: 0, else: 1)
    }
  end

  defp current(state, bucket, key) do
    case :ets.lookup(state.handle.table, {bucket, key}) do
      [{_key, value, revision}] -> {value, revision}
      [] -> {nil, 0}
    end
  end

  defp put(state, bucket, key, old, value) do
    counted = counted(state, key, old, value)

    if counted.bytes > @max_bytes or counted.keys > @max_keys,
      do: {:reply, {:error, full(state)}, state},
      else: write(state, counted, {{bucket, key}, value, next_revision(state, bucket)})
  end

  defp delete(state, bucket, key, old) do
    counted = counted(state, key, old, nil)
    row = {{bucket, key}, nil, next_revision(state, bucket)}

    with {:reply, {:ok, _revision}, state} <- write(state, counted, row),
         do: {:reply, {:ok, true}, forget_deleted(state)}
  end

  defp write(state, counted, {{bucket, key}, value, revision} = row) do
    case append(state.log, row) do
      {:ok, log} ->
        # Copied, because a part of a message's binary would keep all of it in memory.
        row = {{bucket, :binary.copy(key)}, value && :binary.copy(value), revision}
        true = :ets.insert(state.handle.table, [row, {{:revision, bucket}, revision}])
        Watch.tell(state.handle, bucket, key, revision)
        {:reply, {:ok, revision}, shorten(%{counted | log: log})}

      {:error, error} ->
        {:reply, {:error, error}, state}
    end
  end

  defp append(nil, _row), do: {:ok, nil}

  defp append(log, {{bucket, _key}, _value, _revision} = row) do
    if Handle.durable?(bucket), do: Log.append(log, [record(row)]), else: {:ok, log}
  end

  defp next_revision(state, bucket),
    do: (Handle.get(state.handle, {:revision, bucket}) || 0) + 1

  # If the new file cannot be written, the old one stays in use, and the next write tries again.
  defp shorten(%{log: %{size: size}, bytes: bytes} = state) when size > 2 * bytes + @slack do
    case Log.replace(state.log.path, records(stored(state.handle))) do
      {:ok, log} ->
        Log.close(state.log)
        %{state | log: log}

      {:error, _no_room} ->
        state
    end
  end

  defp shorten(state), do: state

  defp stored(%{table: table} = handle) do
    rows =
      for bucket <- @buckets,
          {key, value, revision} <-
            :ets.select(table, [{{{bucket, :"$1"}, :"$2", :"$3"}, [], [{{:"$1", :"$2", :"$3"}}]}]),
          Handle.durable?(bucket),
          into: %{},
          do: {{key, bucket}, {value, revision}}

    revisions =
      for bucket <- @buckets,
          Handle.durable?(bucket),
          revision = Handle.get(handle, {:revision, bucket}),
          into: %{},
          do: {bucket, revision}

    %{rows: rows, revisions: revisions, identity: Handle.get(handle, :identity)}
  end

  # They disappear from the log when it is shortened.
  defp forget_deleted(%{deleted: deleted} = state) when deleted <= @max_deleted, do: state

  defp forget_deleted(%{handle: %{table: table}} = state) do
    deleted =
      for bucket <- @buckets,
          {revision, key} <-
            :ets.select(table, [{{{bucket, :"$1"}, nil, :"$2"}, [], [{{:"$2", :"$1"}}]}]),
          do: {revision, {bucket, key}}

    old = deleted |> Enum.sort() |> Enum.drop(-div(@max_deleted, 2))
    for {_revision, key} <- old, do: :ets.delete(table, key)
    %{state | deleted: length(deleted) - length(old)}
  end

  defp full(state) do
    Error.new(
      :limit,
      "the store of this host is full: it has #{state.keys} keys of #{@max_keys} and #{state.bytes} bytes " <>
        "of #{@max_bytes}; delete unused applications, links or configurations"
    )
  end

  defp damaged(state, path, aside, wrong) do
    detail =
      "#{path} is damaged: #{wrong}; what can be read is in use, and the file was kept as #{aside}"

    tell(state, %Event.LatticeStateDamaged{
      path: path,
      kept_as: aside,
      reason: :io,
      error: Exception.message(Error.new(:io, detail))
    })
  end

  defp trouble(state, error) do
    tell(state, %Event.LatticeStateNotKept{
      reason: error.reason,
      error: Exception.message(error)
    })
  end

  # Before the host has started, there are no subscribers: `Exosuit` announces it later.
  defp tell(%{handle: handle} = state, %type{} = fact) do
    if Handle.get(handle, :started),
      do: Events.announce(handle, fact),
      else: :ets.insert(handle.table, {{:trouble, type}, fact})

    state
  end
end
