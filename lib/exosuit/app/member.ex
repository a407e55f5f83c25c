defmodule Exosuit.App.Member do
  @moduledoc """
  This host as a member of its lattice: follows the records of all applications, and makes the host run its share of
  them.

  `Exosuit.App.Machine` decides. This process watches the store, receives the beats of the other members, sends its
  own beats, and carries out the machine's actions. Slow work runs in other processes, so that no beat is late:
  `Exosuit.App.Shares` makes shares and answers questions, and tasks write and fetch.

  If this process or its host crashes, the next one starts from the copy in the data directory (`Exosuit.App.Copy`)
  and from the store. Actors and providers go on running in the meantime.

  `Exosuit.App.Keys` lists the keys of the store, and `Exosuit.App.Beat` describes the beats.

  ## The life of a member

  1. `init/1` returns at once, so that the supervisor does not wait for a store that is starting.
  2. `:join` subscribes to the beats, reads the copy, makes the machine, and opens the watch of the store. If there is a
     copy, its shares are ordered again right here, although the lattice may be away.
  3. The watch sends the whole bucket, then `:current`. A task reads the store's position. With both, the machine gets
     `:records_current`, and knows whether this store is the one that it knew before.
  4. From then on, changes and beats come as messages, and a tick every 500 ms.
  5. `stop/1` tells the machine that the host stops. `leave/1` waits for the leases, and sends the last beat.
  6. `terminate/2` writes the copy, if it was changed since the last write.

  ## Messages and timers

  | received | from | done |
  |---|---|---|
  | `{:exosuit_lattice, reference, change}` | the watch of the store | events of the machine (`Exosuit.App.Changes`) |
  | `{:exosuit_lattice, reference, message}` | the bus | a beat, of this host too (`Exosuit.App.Beat`) |
  | `{:tell, event}` | `Exosuit.App.Shares`, `stop/1` | goes to the machine as it is |
  | `{task, result}`, `:DOWN` | a task | becomes an event (`Exosuit.App.Work`) |
  | `:tick`, every 500 ms | itself | sends a due beat, starts a due write of the copy, tells the machine the time |
  | `:sweep`, every hour | itself | starts the clean-up (`Exosuit.App.Cleanup`) |
  | `{:EXIT, pid, reason}` | a watch of the local store | this process ends: it would hear nothing any more |

  The watch and the subscription send one message at a time, and the next one when it was handled. So a store of any
  size cannot fill the mailbox.

  ## Failures

  - **The bus is down**: the host does not hear its own beats. After 3.5 s it counts as cut off. That is shorter than
    the six seconds after which a member is lost, so that a cut-off host never takes over the shares of the others.
  - **The store is down**: the watch says `{:interrupted, _}`. Shares go on, and no status is written.
  - **A write fails or conflicts**: the machine tries again after a pause (`Exosuit.App.Machine.Options`).
  - **A value in the store cannot be read**: an event `application_ignored` names the key, and the rest goes on.
  - **The copy cannot be written**: an event `applications_not_kept` has the reason. The host runs on without it.
  """

  use Exosuit.Server, hides_state: true

  alias Exosuit.{Directory, Error, Event, Instance, Lattice, Settings}
  alias Exosuit.App.{Beat, Changes, Cleanup, Copy, Keys, Machine, Record, Runner, Shares}
  alias Exosuit.App.{Placement, Shown, Work}
  alias Exosuit.Host.Leases
  alias Exosuit.Lattice.{Bus, Session, Store}

  @bucket :applications
  @beat 2_000
  @tick 500

  # This host receives its own beats. If it misses them for this time, it counts itself as cut off. The time is
  # shorter than that after which other members count as lost.
  @deaf 3_500

  # The pause before the store's position is read again.
  @again 1_000

  # The pause between tries while the store is starting.
  @try_after 50
  @tries 100

  # The interval of sweeps of objects.
  @sweep 3_600_000

  # The shortest time between two beats: a new member causes an extra one.
  @pause 250

  @call_timeout 30_000

  # The longest time for which a stopping host waits until its leases are given back.
  @give_back 3_000

  # When this process ends, it waits for a copy that is being written, for this time at most. Its supervisor allows
  # it 5 s.
  @last_copy 3_000

  @enforce_keys [:instance, :tasks]
  defstruct [
    :instance,
    :tasks,
    :machine,
    :watch,
    :beats,
    :generation,
    :last_beat,
    :heard,
    store: :down,
    bus: :down,
    running: %{},
    unwritten: nil,
    unnamed: MapSet.new(),
    current: nil,
    beat_due?: false,
    links: [],
    stopping: [],
    shown: %Shown{}
  ]

  @doc """
  Starts the member of a host. `tasks` is the name of a `Task.Supervisor` for fetches, writes and the clean-up. Does
  not wait for the lattice.
  """
  @spec start_link({Instance.t(), GenServer.name()}) :: GenServer.on_start()
  def start_link({instance, tasks}) do
    state = %__MODULE__{instance: instance, tasks: tasks}
    GenServer.start_link(__MODULE__, state, name: Directory.via(instance.name, __MODULE__))
  end

  @doc """
  The keys of a deleted application that no member deletes: its slots, and the statuses of lost members. Empty while
  the member restarts; the hourly sweep then finds the statuses. Blocks the calling process, for 30 s at most.
  """
  @spec leftovers(Instance.t(), String.t()) :: [String.t()]
  def leftovers(instance, app) do
    with {:error, _away} <- call(instance, {:leftovers, app}, @call_timeout), do: []
  end

  @doc "The name of the member's process. It takes `{:tell, event}` of `Exosuit.App.Shares`."
  @spec name(Instance.t()) :: GenServer.name()
  def name(instance), do: via(instance)

  @doc """
  The members of the lattice that this host knows, itself among them, sorted by their ids. Empty while the member
  restarts. Blocks the calling process, for 30 s at most.
  """
  @spec members(Instance.t()) :: [Placement.member()]
  def members(instance) do
    with {:error, _away} <- call(instance, :members, @call_timeout), do: []
  end

  @doc "Ends the singletons on this host and gives their leases back, because the host stops. Returns at once."
  @spec stop(Instance.t()) :: :ok
  def stop(instance), do: GenServer.cast(via(instance), {:tell, {:stopping, now()}})

  @doc """
  Tells the other members that this host stops. Waits for the leases of singletons to be given back, for three seconds
  at most. A lease that is not back by then expires by itself, and the singleton starts elsewhere some seconds later.

  Call `stop/1` before, and `Exosuit.Settings.leave/1`: a regular beat after the last one would bring the host back into
  the membership of the others.
  """
  @spec leave(Instance.t()) :: :ok
  def leave(instance) do
    _given_back_or_late = call(instance, :await_leases, @give_back)
    beat(instance, leaving: true)
  end

  defp via(instance), do: Directory.via(instance.name, __MODULE__)

  defp call(instance, request, timeout) do
    GenServer.call(via(instance), request, timeout)
  catch
    :exit, _fallen_or_late ->
      {:error,
       Error.new(
         :unavailable,
         "the processes of applications are restarting on this host: try again"
       )}
  end

  @impl GenServer
  def init(state) do
    # The copy is written at the end.
    Process.flag(:trap_exit, true)
    {:ok, state, {:continue, :join}}
  end

  @impl GenServer
  def handle_continue(:join, %{instance: instance} = state) do
    {:ok, beats} = patiently(fn -> Bus.subscribe(instance.lattice, Beat.subject(instance)) end)
    alone? = not Session.has?(instance.lattice, :others)
    options = [now: now(), copy: Copy.load(instance), alone: alone?]
    {machine, actions} = Machine.new(Beat.member(instance), options)
    {:ok, watch} = patiently(fn -> Store.watch(instance.lattice, @bucket) end)

    state = %{
      state
      | machine: machine,
        watch: watch,
        beats: beats,
        heard: now(),
        last_beat: now()
    }

    {:links, links} = Process.info(self(), :links)
    state = %{state | links: links}
    send(self(), :tick)
    Process.send_after(self(), :sweep, @sweep)
    {:noreply, state |> act(actions) |> show(Machine.changed(machine)) |> send_beat()}
  end

  @impl GenServer
  def handle_call({:leftovers, app}, _from, %{machine: machine} = state) do
    lost = for {host, ^app} <- Machine.lost_statuses(machine), do: {:status, host, app}
    keys = [{:slots, app} | lost]
    {:reply, Enum.map(keys, &Keys.encode/1), state}
  end

  def handle_call(:members, _from, state) do
    {:reply, Machine.members(state.machine), state}
  end

  def handle_call(:await_leases, from, state) do
    {:noreply, leases_given_back(%{state | stopping: [from | state.stopping]})}
  end

  @impl GenServer
  def handle_cast({:tell, event}, state) do
    state = handle(state, event)
    if elem(event, 0) == :applied, do: Shares.told(state.instance, elem(event, 1))
    {:noreply, state}
  end

  @impl GenServer
  def handle_info(
        {:exosuit_lattice, reference, change},
        %{watch: %{reference: reference}} = state
      ) do
    state = changed(state, change)
    :ok = Bus.next(state.watch)
    {:noreply, state}
  end

  def handle_info(
        {:exosuit_lattice, reference, message},
        %{beats: %{reference: reference}} = state
      ) do
    {_subject, _reply_to, payload} = message
    state = heard(state, payload)
    :ok = Bus.next(state.beats)
    {:noreply, state}
  end

  def handle_info({task, result}, state) when is_map_key(state.running, task) do
    Process.demonitor(task, [:flush])
    {purpose, running} = Map.pop!(state.running, task)
    {:noreply, finished(%{state | running: running}, purpose, result)}
  end

  def handle_info({:DOWN, task, :process, _pid, _reason}, state)
      when is_map_key(state.running, task) do
    {purpose, running} = Map.pop!(state.running, task)
    error = Error.new(:internal, "a task of the application crashed; see the host's log")
    {:noreply, finished(%{state | running: running}, purpose, {:error, error})}
  end

  def handle_info(:tick, state) do
    Process.send_after(self(), :tick, @tick)
    due? = state.beat_due? or now() - state.last_beat >= @beat
    state = if due?, do: send_beat(state), else: state
    state = if now() - state.heard >= @deaf, do: bus(state, :down), else: state
    state = write_copy(state)
    {:noreply, handle(state, {:tick, now()})}
  end

  def handle_info(:sweep, state) do
    Process.send_after(self(), :sweep, @sweep)
    work = Cleanup.work(state.instance, state.machine, state.store, state.unnamed)
    state = if work[:sweep], do: state, else: %{state | unnamed: MapSet.new()}

    {:noreply,
     Enum.reduce(work, state, fn {purpose, work}, state -> start(state, purpose, work) end)}
  end

  def handle_info({:current, tag}, %{current: tag, store: :up} = state) do
    {:noreply, current(state)}
  end

  # A watch or a subscription of the local store is linked to this process. If one ends, no more events arrive, so
  # this process ends as well.
  def handle_info({:EXIT, pid, reason}, state) do
    if pid in state.links, do: {:stop, reason, state}, else: {:noreply, state}
  end

  @impl GenServer
  def terminate(_reason, %{unwritten: nil}), do: :ok

  def terminate(_reason, state) do
    await_copy(state)
    Copy.write(state.instance, state.unwritten)
  end

  # A task that writes an older copy must not replace the last one.
  defp await_copy(state) do
    for {task, :copy} <- state.running do
      receive do
        {^task, _result} -> :ok
        {:DOWN, ^task, :process, _pid, _reason} -> :ok
      after
        @last_copy -> :ok
      end
    end
  end

  # Writes of the copy run one at a time.
  defp write_copy(%{unwritten: copy, instance: instance} = state) do
    if copy == nil or :copy in Map.values(state.running),
      do: state,
      else: start(%{state | unwritten: nil}, :copy, fn -> Copy.write(instance, copy) end)
  end

  # The writer of a local store may be restarting. A crash for each failed try would exhaust the supervisor's
  # restarts, so this process retries with pauses.
  defp patiently(open, tries \\ @tries) do
    with {:error, _starting} when tries > 0 <- open.() do
      receive do
      after
        @try_after -> patiently(open, tries - 1)
      end
    end
  end

  # The machine.

  defp handle(state, event) do
    {machine, actions} = Machine.handle(state.machine, event)

    %{state | machine: machine}
    |> act(actions)
    |> show(Machine.changed(machine))
    |> leases_given_back()
  end

  defp leases_given_back(%{stopping: []} = state), do: state

  defp leases_given_back(state) do
    if Machine.holds_leases?(state.machine) do
      state
    else
      Enum.each(state.stopping, &GenServer.reply(&1, :ok))
      %{state | stopping: []}
    end
  end

  # Runs after the orders of the same event: a caller that waits for a share must not see the record without its
  # order.
  defp show(%{machine: machine, instance: instance} = state, apps) do
    facts = %{store: state.store, current?: current?(state), known?: Machine.known?(machine)}
    {news, shown} = Shown.news(state.shown, facts, machine, apps)

    with {facts, candidates, changed} <- news,
         do: Shares.know(instance, facts, candidates, changed)

    %{state | shown: shown}
  end

  defp act(state, actions), do: Enum.reduce(actions, state, &act_one/2)

  defp act_one(:beat, state) do
    if now() - state.last_beat >= @pause, do: send_beat(state), else: %{state | beat_due?: true}
  end

  # The copy is written with the next tick, because a disk may be slow, and much may change at once.
  defp act_one({:keep, copy}, state), do: %{state | unwritten: copy}

  defp act_one({:announce, fact}, state) do
    Lattice.announce(state.instance, fact)
    state
  end

  defp act_one({:hold, app, workload, until}, state) do
    :ok = Leases.hold(state.instance, {app, workload}, until)
    state
  end

  defp act_one({:apply_share, app, version, share}, state) do
    :ok = Shares.make(state.instance, order(state, app, version, share))
    state
  end

  defp act_one(action, state) do
    {purpose, work} = Work.of(action, state.instance)
    start(state, purpose, work)
  end

  # The store.

  defp changed(state, {:interrupted, _error}), do: store(state, :down)
  defp changed(state, :current), do: current(store(state, :up))

  defp changed(state, {:put, key, value, revision}) do
    take(store(state, :up), Changes.put(key, value, revision))
  end

  defp changed(state, {:deleted, key}), do: take(store(state, :up), Changes.deleted(key))

  defp changed(state, {:lost, keys}) do
    Enum.reduce(Changes.lost(keys), store(state, :up), &take(&2, &1))
  end

  defp changed(state, {:dropped, key}) do
    Lattice.announce(state.instance, %Event.ApplicationIgnored{key: key})
    state
  end

  defp take(state, :none), do: state

  defp take(state, {:ignored, key, error, event}) do
    text = Exception.message(error)
    ignored = %Event.ApplicationIgnored{key: key, reason: error.reason, error: text}
    Lattice.announce(state.instance, ignored)
    take(state, event)
  end

  defp take(state, {:generation, generation} = event) do
    handle(%{state | generation: generation}, event)
  end

  # The time of a lease counts from when this host saw it.
  defp take(state, {kind, app, workload, lease, revision})
       when kind in [:lease, :lease_conflict],
       do: handle(state, {kind, app, workload, lease, revision, now()})

  defp take(state, event), do: handle(state, event)

  defp store(%{store: same} = state, same), do: state

  defp store(state, link) do
    handle(%{state | store: link, current: nil}, {:store, link, now()})
  end

  # A task reads the store's position, because that takes a request to the server.
  defp current(%{instance: instance} = state) do
    tag = make_ref()
    state = %{state | current: tag}
    start(state, {:current, tag}, fn -> Store.position(instance.lattice, @bucket) end)
  end

  defp current?(state), do: state.store == :up and state.current == :known

  # Beats.

  defp send_beat(%{instance: instance} = state) do
    unless Settings.leaving?(instance), do: beat(instance, [])
    handle(%{state | last_beat: now(), beat_due?: false}, {:beat, Beat.member(instance), now()})
  end

  # Without a connection the beat is lost. This host notices, because it does not receive its own beat.
  defp beat(instance, options) do
    with {:ok, text} <- instance |> Beat.member() |> Beat.encode(options),
         do: Bus.publish(instance.lattice, Beat.subject(instance), text)

    :ok
  end

  defp heard(%{instance: %{source: own}} = state, payload) do
    case Beat.decode(payload) do
      {:member, %{id: ^own}} -> bus(%{state | heard: now()}, :up)
      {:member, member} -> handle(state, {:beat, member, now()})
      {:left, ^own} -> state
      {:left, id} -> handle(state, {:left, id, now()})
      :error -> state
    end
  end

  defp bus(%{bus: same} = state, same), do: state
  defp bus(state, link), do: handle(%{state | bus: link}, {:bus, link, now()})

  # Shares.

  defp order(state, app, version, share) do
    record = Machine.record(state.machine, app)

    %{
      Runner.order(app, version, share)
      | model: if(share != %{}, do: Machine.model(state.machine, app, version)),
        keep_links?: share == %{} and record != nil and record.state == :deployed,
        allow_issuer_change?: record != nil and Record.issuer_change?(record, version),
        alone?: state.store == :down and Session.has?(state.instance.lattice, :others)
    }
  end

  # Tasks.

  defp start(state, purpose, work) do
    task = Task.Supervisor.async_nolink(state.tasks, work)
    put_in(state.running[task.ref], purpose)
  end

  defp finished(state, :sweep, {:ok, unnamed}), do: %{state | unnamed: unnamed}
  defp finished(state, :prune, _result), do: state
  defp finished(state, :sweep, {:error, _error}), do: state
  defp finished(state, :copy, :ok), do: state

  defp finished(state, :copy, {:error, error}) do
    Copy.announce_not_kept(state.instance, error)
    state
  end

  defp finished(
         %{current: tag, store: :up} = state,
         {:current, tag},
         {:ok, %{revision: position}}
       ) do
    facts = %{generation: state.generation, position: position}
    handle(%{state | current: :known}, {:records_current, facts, now()})
  end

  defp finished(%{current: tag, store: :up} = state, {:current, tag}, {:error, _error}) do
    Process.send_after(self(), {:current, tag}, @again)
    state
  end

  # The connection was lost in the meantime, so the watch sends everything again.
  defp finished(state, {:current, _tag}, _late), do: state
  defp finished(state, purpose, result), do: take(state, Work.event(purpose, result))

  defp now, do: System.monotonic_time(:millisecond)
end
