defmodule Exosuit.Host.Replica do
  @moduledoc """
  Keeps a host's links as the lattice's records say: watches the records, and passes changes to `Exosuit.Host.Links`.

      bucket :data ────────────┐  watch                        replace/4
      bucket :configurations ──┴────────► Mirror (pure) ────────────────► Links ──► router
                                            ▲                                │
      a change of this host ── write/4 ─────┘ known before the watch has it  └─ report: events, answers to writers

  A host without NATS has the same process over `Exosuit.Lattice.Local`: its own writes are all changes that there are.

  Keeps no state that cannot be rebuilt: after a crash it re-reads both buckets. Until they are read, and while they
  cannot be read, the links stay as they are. Links whose records were deleted in the meantime are removed after
  that.

  ## The life of a write

  1. `write/4` registers the calling process as a writer of some keys (`Exosuit.Host.Writers`). Changes of these keys
     that the watch delivers wait from then on.
  2. The calling process writes to the store, and passes the written changes with their revisions to this process.
  3. This process notes them in its mirror, and asks `Links` to make the links of the keys as the records say.
  4. `Links` reports each key. When all are reported, the caller gets its result, or the error of its refused link.

  Step 1 exists because only the writer knows whether a refusal must be undone. Without it, the watch could deliver the
  change first, and the link would be made with the rules for links of other hosts.

  If the calling process is killed, its monitor removes it from the writers, and its keys are settled.

  ## Links and configurations

  Both come by two watches, so a link may arrive before its configuration. It is not in force until then. An event
  reports the missing configuration after two seconds, once.

  ## Bounds

  Anybody on the bus may write records. The mirror bounds their number and bytes, and prefers records of links with an
  end on this host. The names of local items are read once a second at most, and only when there is little room. Events
  about unreadable and dropped records are emitted once a second at most.
  """

  use Exosuit.Server, hides_state: true

  alias Exosuit.{Directory, Error, Instance}
  alias Exosuit.Host.{Inventory, Links, Statuses, Writers}
  alias Exosuit.Host.Replica.{Claims, Report, Restore}
  alias Exosuit.Lattice.{Bus, Ledger, Mirror, Peers, Records, Store}
  alias Exosuit.Model.Link
  alias Exosuit.Protocol.Otp

  @enforce_keys [:instance]
  defstruct [
    :instance,
    mirror: %Mirror{},
    watches: %{},
    unread: [:data, :configurations],
    claimed: MapSet.new(),
    settling: %{},
    takers: %{},
    writers: %Writers{},
    incomplete: %{},
    dropped: %{},
    here: {nil, MapSet.new()},
    unreadable: 0
  ]

  # Links and configurations arrive by two watches, so a link may arrive before its configuration.
  @timeout 2_000

  # Unreadable and dropped records are reported once a second at most, because anybody may write many of them.
  @pause 1_000

  # After this time, the other hosts restore records that the servers lost, if the first host has not done so.
  @restore 30_000

  @claims "CLAIMS_"

  # The prefix of 1.x for configurations that refer to secrets, which Exosuit does not fetch.
  @secret "SECRET_"

  @spec start_link(Instance.t()) :: GenServer.on_start()
  def start_link(instance) do
    GenServer.start_link(__MODULE__, instance, name: Directory.via(instance.name, __MODULE__))
  end

  @typedoc """
  The subject of a write: a link, the links of a key, or a configuration. It decides which keys wait for the writer.
  """
  @type about :: Link.t() | Link.key() | {:configuration, String.t()}

  @doc """
  Writes to the shared state by `work`, which returns the changes and a result. Then waits until this host has applied
  them, and returns the result.

  `work` runs in the calling process, and blocks only that. If the router refuses a link, that is an error, although the
  record is written. The refused link is retried, because other hosts may accept it; with `:strict` it is not, and the
  caller takes it back.

  Exits if this process crashes in the meantime. The record may be written then, and the successor applies it.
  """
  @spec write(
          Instance.t(),
          about(),
          :strict | :keep,
          (() -> {:ok, [Ledger.written()], result}
                 | {:error, Error.t()})
        ) ::
          {:ok, result} | {:error, Error.t()}
        when result: term()
  def write(instance, about, mode, work) do
    writer = call(instance, {:begin, about})

    try do
      with {:ok, written, result} <- work.(),
           :ok <- call(instance, {:take, writer, written, {about, mode}}),
           do: {:ok, result}
    after
      GenServer.cast(Directory.via(instance.name, __MODULE__), {:finish, writer})
    end
  end

  @doc """
  The records that have links of a key. Blocks the calling process until the replica has handled its earlier messages.
  """
  @spec holders(Instance.t(), Link.key()) :: [Records.key()]
  def holders(instance, key), do: call(instance, {:holders, key})

  @doc """
  Updates the links of these keys from the lattice's records. Does not block. `Exosuit.App.Runner` calls it for links
  that were provisional, and that the lattice's records decide about from now on.
  """
  @spec follow(Instance.t(), [Link.key()]) :: :ok
  def follow(instance, keys) do
    GenServer.cast(Directory.via(instance.name, __MODULE__), {:follow, keys})
  end

  @impl GenServer
  def init(instance), do: {:ok, %__MODULE__{instance: instance}, {:continue, :watch}}

  @impl GenServer
  def handle_continue(:watch, state) do
    watches =
      for bucket <- state.unread, into: %{} do
        {:ok, watch} = Store.watch(state.instance.lattice, bucket)
        {watch.reference, {bucket, watch}}
      end

    {:noreply, %{state | watches: watches}}
  end

  @impl GenServer
  def handle_call({:begin, about}, {pid, _tag}, state) do
    writer = Process.monitor(pid)
    writers = Writers.add(state.writers, writer, keys(about, state.mirror))
    {:reply, writer, %{state | writers: writers}}
  end

  def handle_call({:take, writer, written, {about, mode}}, from, state) do
    {due, state} = remove_writer(state, writer)
    state = look_around(state)
    needed? = needed?(state)
    {mirror, keys} = Enum.reduce(written, {state.mirror, []}, &write(&1, &2, needed?))

    # Changes may have arrived in the meantime. These keys are settled once more, together with the others.
    keys = Enum.uniq(keys(about, mirror) ++ keys ++ due)
    state = tell_dropped(%{state | mirror: mirror}, :data)
    taker = make_ref()
    own = Map.new(keys(about, mirror), &{&1, [hint: hint(about), mode: mode]})
    state = Enum.reduce(keys, state, &settle(&2, &1, own[&1] || [], {:told, taker}))
    taking = %{from: from, about: about, left: length(keys), result: :ok}
    {:noreply, reply_if_done(put_in(state.takers[taker], taking), taker)}
  end

  def handle_call({:holders, key}, _from, state) do
    {:reply, Mirror.holders(state.mirror, key), state}
  end

  @impl GenServer
  def handle_cast({:follow, keys}, state), do: {:noreply, settle_all(state, keys)}
  def handle_cast({:finish, writer}, state), do: {:noreply, finish(state, writer)}

  @impl GenServer
  def handle_info({:exosuit_lattice, reference, change}, state)
      when is_map_key(state.watches, reference) do
    {bucket, watch} = Map.fetch!(state.watches, reference)
    state = change(state, bucket, change)
    :ok = Bus.next(watch)
    {:noreply, state}
  end

  def handle_info({:exosuit_links, reference, changes}, state)
      when is_map_key(state.settling, reference) do
    {{key, how}, settling} = Map.pop!(state.settling, reference)
    if how != :quiet, do: Report.changes(state.instance, changes)
    {:noreply, taken(%{state | settling: settling}, how, key, changes)}
  end

  def handle_info({:DOWN, writer, :process, _pid, _reason}, state),
    do: {:noreply, finish(state, writer)}

  # Other hosts may have restored or deleted some of these keys by now.
  def handle_info({:restore, bucket, keys}, state) do
    Restore.start(state.instance.lattice, bucket, keys, state.mirror)
    {:noreply, state}
  end

  def handle_info({:tell_incomplete, key}, state) do
    case state.incomplete do
      %{^key => {link, name}} -> Report.incomplete(state.instance, link, name)
      %{} -> :ok
    end

    {:noreply, state}
  end

  def handle_info({:tell_dropped, bucket}, state) do
    {{count, key}, dropped} = Map.pop(state.dropped, bucket)
    if count > 0, do: Report.dropped(state.instance, bucket, count, key)
    {:noreply, %{state | dropped: dropped}}
  end

  def handle_info(:tell_unreadable, state) do
    if state.unreadable > 1, do: Report.unreadable(state.instance, state.unreadable - 1)
    {:noreply, %{state | unreadable: 0}}
  end

  defp call(instance, request) do
    GenServer.call(Directory.via(instance.name, __MODULE__), request, :infinity)
  end

  defp change(state, :data, {:put, @claims <> key, value, _revision}) do
    with {:ok, claims} <- Otp.Claims.decode(key, value),
         {:ok, gone} <- Claims.put(state.instance, claims, &linked?(state.mirror, &1)) do
      state = Enum.reduce(gone, state, &forget_claims(&2, &1))
      state = %{state | claimed: MapSet.put(state.claimed, key)}
      count_dropped(state, :data, length(gone), List.first(gone))
    else
      :full -> state |> forget_claims(key) |> count_dropped(:data, 1, @claims <> key)
      {:error, error} -> unreadable(state, @claims <> key, error)
    end
  end

  defp change(state, :data, {:put, key, value, revision}) do
    case Records.read_links(key, value) do
      {:ok, links, errors} ->
        state = Enum.reduce(errors, state, &unreadable(&2, key, &1))
        told(state, {:links, key, revision, value, links})

      :other ->
        state

      {:error, error} ->
        state |> unreadable(key, error) |> told({:deleted, key})
    end
  end

  defp change(state, :data, {:deleted, @claims <> key}), do: forget_claims(state, key)

  defp change(state, :data, {:deleted, key}), do: told(state, {:deleted, key})
  defp change(state, :configurations, {_kind, @secret <> _name, _value, _revision}), do: state

  defp change(state, :configurations, {:put, name, value, revision}) do
    case Records.read_configuration(value) do
      {:ok, values} -> told(state, {:configuration, name, values}, revision)
      {:error, error} -> state |> unreadable(name, error) |> told({:configuration, name, nil})
    end
  end

  defp change(state, :configurations, {:deleted, name}) do
    told(state, {:configuration, name, nil})
  end

  # The mirror has no room for this key.
  defp change(state, bucket, {:dropped, key}), do: count_dropped(state, bucket, 1, key)
  defp change(state, bucket, :current), do: read(state, List.delete(state.unread, bucket))

  defp change(state, bucket, {:lost, keys}) do
    Report.lost(state.instance, bucket, length(keys))

    # One host restores first, because all hosts know the same records. The others check later whether it has done
    # so.
    delay = if Peers.first?(state.instance), do: 0, else: @restore
    Process.send_after(self(), {:restore, bucket, keys}, delay)
    %{state | mirror: Mirror.begin(state.mirror)}
  end

  defp change(state, bucket, {:interrupted, {:error, failure}}) do
    Report.unavailable(state.instance, bucket, Error.from_native(failure))
    %{state | mirror: Mirror.interrupt(state.mirror)}
  end

  # Both buckets are read for the first time: local links without a record were deleted in the meantime.
  defp read(%{unread: [_ | _]} = state, []) do
    prepare(state.instance.lattice)
    state = %{state | unread: []}

    Claims.keep(state.instance, state.claimed)

    # Provisional links stay: the process that made them will write them to the lattice.
    own = Statuses.provisional(state.instance)
    here = Enum.map(Links.list(state.instance), &Link.key/1) -- own
    keys = Enum.uniq(here ++ Mirror.keys(state.mirror))
    # No events: these changes were announced when they were made.
    Enum.reduce(keys, state, &settle(&2, &1, [], :quiet))
  end

  defp read(state, unread), do: %{state | unread: unread}

  defp told(state, change, revision \\ 0) do
    state = look_around(state)
    {mirror, keys} = Mirror.tell(state.mirror, change, needed?(state), revision)
    bucket = if elem(change, 0) == :configuration, do: :configurations, else: :data
    state = tell_dropped(%{state | mirror: mirror}, bucket)
    if state.unread == [], do: settle_all(state, keys), else: state
  end

  # Keys that this host is writing now are settled after the write.
  defp settle_all(state, keys) do
    {keys, writers} = Writers.defer(state.writers, keys)
    Enum.reduce(keys, %{state | writers: writers}, &settle(&2, &1))
  end

  defp finish(state, writer) do
    {due, state} = remove_writer(state, writer)
    Enum.reduce(due, state, &settle(&2, &1))
  end

  defp remove_writer(state, writer) do
    Process.demonitor(writer, [:flush])
    {due, writers} = Writers.remove(state.writers, writer)
    {due, %{state | writers: writers}}
  end

  defp write({change, revision}, {mirror, keys}, needed?) do
    {mirror, more} = Mirror.write(mirror, change, revision, needed?)
    {mirror, keys ++ more}
  end

  # The names of local actors and providers are read only if there may be no room for a change, and once a second at
  # most.
  defp look_around(%{here: {at, _names}} = state) do
    now = System.monotonic_time(:millisecond)

    if Mirror.tight?(state.mirror) and (at == nil or now - at >= @pause),
      do: %{state | here: {now, Inventory.names(state.instance)}},
      else: state
  end

  # A link is needed where one of its ends runs.
  defp needed?(%{here: {_at, names}}) do
    fn links -> Enum.any?(links, &(&1.source in names or &1.target in names)) end
  end

  defp linked?(mirror, claims) do
    Mirror.end?(mirror, claims.subject) or Mirror.end?(mirror, claims.call_alias)
  end

  defp tell_dropped(state, bucket) do
    {{count, key}, mirror} = Mirror.dropped(state.mirror)
    count_dropped(%{state | mirror: mirror}, bucket, count, key)
  end

  # The first dropped record is announced at once, later ones once a second.
  defp count_dropped(state, _bucket, 0, _key), do: state

  defp count_dropped(state, bucket, count, key) do
    case state.dropped do
      %{^bucket => {before, _key}} ->
        put_in(state.dropped[bucket], {before + count, key})

      %{} ->
        Report.dropped(state.instance, bucket, count, key)
        Process.send_after(self(), {:tell_dropped, bucket}, @pause)
        put_in(state.dropped[bucket], {0, key})
    end
  end

  # `Links` applies this asynchronously, and the changes of one key in order.
  defp settle(state, key, options \\ [], how \\ :told) do
    {wanted, incomplete} = Mirror.wanted(state.mirror, key)
    # The lattice has a record of this link, so it is not provisional any more.
    if wanted != [], do: Statuses.confirm_link(state.instance, key)
    reference = Links.replace(state.instance, key, wanted, [missing: incomplete] ++ options)
    note_incomplete(put_in(state.settling[reference], {key, how}), key, incomplete)
  end

  defp keys(%Link{} = link, _mirror), do: [Link.key(link)]
  defp keys({:configuration, name}, mirror), do: Mirror.users(mirror, name)
  defp keys(key, _mirror), do: [key]

  defp hint(%Link{} = link), do: link
  defp hint(_about), do: nil

  defp taken(state, {:told, taker}, key, changes) do
    taking = state.takers[taker]
    taking = %{taking | left: taking.left - 1, result: result(taking, key, changes.refused)}
    reply_if_done(put_in(state.takers[taker], taking), taker)
  end

  defp taken(state, _how, _key, _changes), do: state

  defp result(%{about: %Link{} = link} = taking, key, [{_refused, error} | _]) do
    if Link.key(link) == key, do: {:error, error}, else: taking.result
  end

  defp result(%{result: result}, _key, _refused), do: result

  defp reply_if_done(state, taker) do
    case Map.pop!(state.takers, taker) do
      {%{left: 0} = taking, takers} ->
        GenServer.reply(taking.from, taking.result)
        %{state | takers: takers}

      _not_yet ->
        state
    end
  end

  defp note_incomplete(state, key, []) do
    %{state | incomplete: Map.delete(state.incomplete, key)}
  end

  defp note_incomplete(state, key, [first | _]) do
    unless is_map_key(state.incomplete, key) do
      Process.send_after(self(), {:tell_incomplete, key}, @timeout)
    end

    put_in(state.incomplete[key], first)
  end

  defp unreadable(%{unreadable: 0} = state, key, error) do
    Process.send_after(self(), :tell_unreadable, @pause)
    Report.unreadable(state.instance, key, error)
    %{state | unreadable: 1}
  end

  defp unreadable(state, _key, _error), do: %{state | unreadable: state.unreadable + 1}

  defp forget_claims(state, key) do
    Claims.forget(state.instance, key)
    %{state | claimed: MapSet.delete(state.claimed, key)}
  end

  # Copies records of hosts before 0.60 to the buckets once these exist. If the connection fails, the next start tries
  # again.
  defp prepare(session), do: Task.start(fn -> Store.prepare(session) end)
end
