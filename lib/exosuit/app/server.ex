defmodule Exosuit.App.Server do
  @moduledoc """
  The member of a lattice that this host is: it follows the records of all applications, and makes the host run its
  share of them.

  `Exosuit.App.Machine` decides. This process receives and acts: it watches the store, hears the beats of
  the other members and sends its own, and hands what takes time to tasks. Of each application one share is made at a
  time; a later one waits, and replaces one that waits already.

  If this process or its host crashes, the next one starts from the copy in the data directory
  (`Exosuit.App.Copy`) and from the store. What runs goes on meanwhile.

  `Exosuit.App.Keys` lists the keys of the store, `Exosuit.App.Beat` has the beats.
  """

  use Exosuit.Server, hides_state: true

  alias Exosuit.{Directory, Error, Event, Instance, Lattice, Settings}

  alias Exosuit.App.{
    Beat,
    Changes,
    Copy,
    Keys,
    Machine,
    Model,
    Objects,
    Orders,
    Overview,
    Placement
  }

  alias Exosuit.App.{Progress, Record, Runner, Sweep, Writes}
  alias Exosuit.Host.Specifications
  alias Exosuit.Lattice.{Bus, Session, Store}

  @bucket :applications
  @beat 2_000
  @tick 500

  # This host hears its own beats as others do. Sooner than others count as lost, it knows that it is cut off.
  @deaf 3_500

  # Before the store is asked again where it stands.
  @again 1_000

  # While the store does not run yet.
  @try_after 50
  @tries 100

  # Between two sweeps of objects.
  @sweep 3_600_000

  # A beat out of turn, for a new member, comes no sooner after another.
  @pause 250

  # What changed on the host is looked at this often at most.
  @look 300

  @call_timeout 30_000

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
    orders: %Orders{},
    waiting: [],
    looking?: false,
    unwritten: nil,
    unnamed: MapSet.new(),
    current: nil,
    beat_due?: false,
    links: []
  ]

  @type step :: Progress.step()

  @doc "`tasks` is the name of a `Task.Supervisor`."
  @spec start_link({Instance.t(), GenServer.name()}) :: GenServer.on_start()
  def start_link({instance, tasks}) do
    state = %__MODULE__{instance: instance, tasks: tasks}
    GenServer.start_link(__MODULE__, state, name: Directory.via(instance.name, __MODULE__))
  end

  @doc """
  Waits until this host has made its share of a version, or does not have to any more. The calling process waits.

  An error says that another version took its place, or that the time is over.
  """
  @spec await(Instance.t(), String.t(), pos_integer() | :deleted, timeout()) ::
          {:ok, [step()]} | {:error, Error.t()}
  def await(instance, app, version, timeout) do
    call(instance, {:await, app, version, timeout}, timeout + @call_timeout)
  end

  @doc "All applications, see `Exosuit.App.Overview`."
  @spec list(Instance.t()) :: [map()]
  def list(instance) do
    with {:error, _away} <- call(instance, :list, @call_timeout), do: []
  end

  @doc "What runs of an application, and what is missing, see `Exosuit.App.Overview`."
  @spec status(Instance.t(), String.t()) :: {:ok, map()} | {:error, Error.t()}
  def status(instance, app), do: call(instance, {:status, app}, @call_timeout)

  @doc """
  Runs an application on this host alone while the lattice is away and this host knows no record of it. The calling
  process waits. `sources` are the objects of the model.
  """
  @spec serve_alone(Instance.t(), String.t(), Model.t(), map()) ::
          {:ok, [step()]} | {:error, Error.t()}
  def serve_alone(instance, app, model, sources) do
    call(instance, {:serve_alone, app, model, sources}, :infinity)
  end

  @doc "The keys of an application that is gone which no member deletes: its slots, and statuses of lost members."
  @spec leftovers(Instance.t(), String.t()) :: [String.t()]
  def leftovers(instance, app) do
    with {:error, _away} <- call(instance, {:leftovers, app}, @call_timeout), do: []
  end

  @doc "The records of all applications that this host knows."
  @spec records(Instance.t()) :: [Record.t()]
  def records(instance) do
    with {:error, _away} <- call(instance, :records, @call_timeout), do: []
  end

  @doc "Makes the share of an application again: what of it failed is tried at once."
  @spec retry(Instance.t(), String.t()) :: :ok
  def retry(instance, app), do: GenServer.cast(via(instance), {:retry, app})

  @doc "Tells the other members that this host stops. Waits for nobody."
  @spec leave(Instance.t()) :: :ok
  def leave(instance), do: beat(instance, leaving: true)

  defp via(instance), do: Directory.via(instance.name, __MODULE__)

  defp call(instance, request, timeout) do
    GenServer.call(via(instance), request, timeout)
  catch
    :exit, _fallen_or_late ->
      {:error,
       Error.new(:unavailable, "what runs the applications on this host is starting again")}
  end

  @impl GenServer
  def init(state) do
    # The copy is written at the end.
    Process.flag(:trap_exit, true)
    {:ok, state, {:continue, :join}}
  end

  @impl GenServer
  def handle_continue(:join, %{instance: instance} = state) do
    :ok = Lattice.Local.subscribe(instance.name)
    {:ok, beats} = patiently(fn -> Bus.subscribe(instance.lattice, Beat.subject(instance)) end)
    alone? = Session.alone?(instance.lattice)
    options = [now: now(), copy: read_copy(instance), alone: alone?]
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
    {:noreply, state |> act(actions) |> send_beat()}
  end

  @impl GenServer
  def handle_call(:list, _from, state), do: {:reply, Overview.list(state.machine), state}

  def handle_call({:status, app}, _from, state) do
    {:reply, Overview.status(state.machine, app, names(state.instance)), state}
  end

  def handle_call({:leftovers, app}, _from, %{machine: machine} = state) do
    lost = for {host, ^app} <- Machine.lost_statuses(machine), do: {:status, host, app}
    keys = [{:slots, app} | lost]
    {:reply, Enum.map(keys, &Keys.encode/1), state}
  end

  def handle_call(:records, _from, state), do: {:reply, known_records(state), state}

  def handle_call({:serve_alone, app, model, sources}, from, state) do
    if state.store == :up or Machine.record(state.machine, app) != nil do
      {:reply, {:ok, []}, state}
    else
      order = alone(state, app, model, sources)
      {:noreply, run(%{state | waiting: [{from, app, :alone, :never} | state.waiting]}, order)}
    end
  end

  def handle_call({:await, app, version, timeout}, from, state) do
    until = now() + timeout
    {:noreply, answer(%{state | waiting: [{from, app, version, until} | state.waiting]})}
  end

  @impl GenServer
  def handle_cast({:retry, app}, state) do
    case Orders.fetch(state.orders, app) do
      nil -> {:noreply, state}
      %{order: order} -> {:noreply, run_again(state, order)}
    end
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
    error = Error.new(:internal, "a task of the application crashed; the host's log says more")
    {:noreply, finished(%{state | running: running}, purpose, {:error, error})}
  end

  def handle_info(:tick, state) do
    Process.send_after(self(), :tick, @tick)
    due? = state.beat_due? or now() - state.last_beat >= @beat
    state = if due?, do: send_beat(state), else: state
    state = if now() - state.heard >= @deaf, do: bus(state, :down), else: state
    state = state |> write_copy() |> end_strays()
    {:noreply, state |> handle({:tick, now()}) |> answer()}
  end

  def handle_info(:sweep, state) do
    Process.send_after(self(), :sweep, @sweep)
    {:noreply, if(sweeps?(state), do: sweep(state), else: %{state | unnamed: MapSet.new()})}
  end

  def handle_info({:exosuit_event, %Event{type: type}}, state) do
    if concerns_share?(type), do: {:noreply, look_soon(state)}, else: {:noreply, state}
  end

  def handle_info({:current, tag}, %{current: tag, store: :up} = state) do
    {:noreply, current(state)}
  end

  def handle_info(:look, state) do
    {:noreply, Enum.reduce(Orders.all(state.orders), %{state | looking?: false}, &look/2)}
  end

  # A watch or a subscription of the local store is linked to this process: without it, it would hear nothing more.
  def handle_info({:EXIT, pid, reason}, state) do
    if pid in state.links, do: {:stop, reason, state}, else: {:noreply, state}
  end

  # Of an order that was made again meanwhile, or replaced, the timer counts no more.
  def handle_info({:run_again, app, token}, state) do
    case Orders.fetch(state.orders, app) do
      %{token: ^token, order: order} -> {:noreply, run_again(state, order)}
      _another -> {:noreply, state}
    end
  end

  @impl GenServer
  def terminate(_reason, %{unwritten: nil}), do: :ok
  def terminate(_reason, state), do: Copy.write(state.instance, state.unwritten)

  # One write at a time.
  defp write_copy(%{unwritten: copy, instance: instance} = state) do
    if copy == nil or :copy in Map.values(state.running),
      do: state,
      else: start(%{state | unwritten: nil}, :copy, fn -> Copy.write(instance, copy) end)
  end

  # What a local store is written by may be starting again: each try at once would exhaust the supervisor's restarts.
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
    act(%{state | machine: machine}, actions)
  end

  defp act(state, actions), do: Enum.reduce(actions, state, &act_one/2)

  defp act_one(:beat, state) do
    if now() - state.last_beat >= @pause, do: send_beat(state), else: %{state | beat_due?: true}
  end

  # Written with the next tick: a disk may be slow, and much may change at once.
  defp act_one({:keep, copy}, state), do: %{state | unwritten: copy}

  defp act_one({:announce, type, data}, state) do
    Lattice.announce(state.instance, Atom.to_string(type), data)
    state
  end

  defp act_one({:apply_share, app, version, share}, state) do
    run(state, order(state, app, version, share))
  end

  defp act_one({:fetch_model, digest}, %{instance: instance} = state) do
    start(state, {:model, digest}, fn ->
      with {:ok, text} <- Objects.fetch(instance, digest), do: Model.decode(text)
    end)
  end

  defp act_one({:fetch_objects, app, version, digests}, %{instance: instance} = state) do
    start(state, {:objects, app, version, digests}, fn -> Objects.ensure(instance, digests) end)
  end

  defp act_one({:write_record, name, record, revision}, %{instance: instance} = state) do
    start(state, {:written, {:record, name}}, fn -> Writes.record(instance, record, revision) end)
  end

  defp act_one({:put_back, name, record}, %{instance: instance} = state) do
    start(state, {:written, {:record, name}}, fn -> Writes.put_back(instance, record) end)
  end

  defp act_one({:write_status, app, status}, %{instance: instance} = state) do
    start(state, {:written, {:status, app}}, fn -> Writes.status(instance, app, status) end)
  end

  defp act_one({:write_slots, app, slots, revision}, %{instance: instance} = state) do
    start(state, {:written, {:slots, app}}, fn -> Writes.slots(instance, app, slots, revision) end)
  end

  defp act_one({:write_generation, old}, %{instance: instance} = state) do
    start(state, {:written, :generation}, fn -> Writes.generation(instance, old) end)
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
    Lattice.announce(state.instance, "application_ignored", %{key: key})
    state
  end

  defp take(state, :none), do: state

  defp take(state, {:ignored, key, error, event}) do
    data = %{key: key, reason: error.reason, error: Exception.message(error)}
    Lattice.announce(state.instance, "application_ignored", data)
    take(state, event)
  end

  defp take(state, {:generation, generation} = event) do
    handle(%{state | generation: generation}, event)
  end

  defp take(state, event), do: handle(state, event)

  defp store(%{store: same} = state, same), do: state

  defp store(state, link) do
    handle(%{state | store: link, current: nil}, {:store, link, now()})
  end

  # Where the store stands is asked for in a task: it takes a question to the server.
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

  # Without a connection it is lost, and this host does not hear itself.
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
    model = if share != %{}, do: Machine.model(state.machine, app, version)

    %{
      app: app,
      version: version,
      share: share,
      model: model,
      former: [],
      keep_links?: share == %{} and record != nil and record.state == :deployed,
      allow_issuer_change?: record != nil and Record.issuer_change?(record, version),
      alone?: state.store == :down and not Session.alone?(state.instance.lattice),
      sources: %{}
    }
  end

  # As a lattice of this host alone would have it.
  defp alone(state, app, model, sources) do
    placed = [%{name: app, workloads: Model.workloads(model)}]
    own = Beat.member(state.instance)

    %{
      app: app,
      version: 0,
      share: Map.get(Placement.share(placed, [own], %{}, own.id), app, %{}),
      model: model,
      former: [],
      keep_links?: false,
      allow_issuer_change?: false,
      alone?: true,
      sources: sources
    }
  end

  # The lattice is back: what was made without it is shared.
  defp share_again({_app, %{order: %{alone?: true} = order}}, state) do
    run(state, %{order | alone?: false})
  end

  defp share_again(_shared, state), do: state

  # What runs here though the machine never told this host to: it was served alone and is not this host's share,
  # or a crash forgot it. An application that was served alone and has no record yet is about to get one.
  defp end_strays(%{machine: machine, instance: instance} = state) do
    if current?(state) and Machine.known?(machine) do
      for(%{app: app} when app != nil <- Specifications.list(instance), do: app)
      |> Enum.uniq()
      |> Enum.filter(&stray?(state, &1))
      |> Enum.reduce(state, &run(&2, stop(&1)))
    else
      state
    end
  end

  defp stray?(state, app) do
    told = Machine.share(state.machine, app)
    record = Machine.record(state.machine, app)

    cond do
      Orders.busy?(state.orders, app) or elem(told, 1) != %{} -> false
      # A record that a newer version of Exosuit wrote: what runs is left as it is.
      record == nil and app in Machine.apps(state.machine) -> false
      record == nil -> not match?(%{order: %{version: 0}}, Orders.fetch(state.orders, app))
      record.state == :undeployed -> true
      true -> Progress.nothing_here?(state.machine, app, state.instance.source)
    end
  end

  defp stop(app) do
    %{
      app: app,
      version: -1,
      share: %{},
      model: nil,
      former: [],
      keep_links?: true,
      allow_issuer_change?: false,
      alone?: false,
      sources: %{}
    }
  end

  # The links of the model that was applied last, and of all before that some step could not remove.
  defp former(state, app) do
    case Orders.fetch(state.orders, app) do
      nil -> []
      %{order: %{model: nil, former: former}} -> former
      %{order: %{model: model, former: former}} -> Enum.uniq(Model.links(model) ++ former)
    end
  end

  defp run(state, order) do
    case Orders.add(state.orders, order) do
      {:run, orders} -> start_order(%{state | orders: orders}, order)
      {:wait, orders} -> %{state | orders: orders}
    end
  end

  # An older order must not take the place of one that runs or waits.
  defp run_again(state, order) do
    if Orders.busy?(state.orders, order.app), do: state, else: run(state, order)
  end

  # What the order before it left is known only now.
  defp start_order(%{instance: instance} = state, order) do
    order = %{order | former: former(state, order.app)}
    start(state, {:share, order}, fn -> Runner.run(instance, order) end)
  end

  defp finished(state, {:share, %{app: app} = order}, result) do
    {orders, next} = Orders.finished(state.orders, order, result)
    state = %{state | orders: orders}
    told = Orders.fetch(orders, app).told
    state = handle(state, {:applied, app, order.version, order.share, told})
    state = if next, do: start_order(state, next), else: state
    state = state |> answer() |> again_later(order)

    if order.alone? and next == nil and current?(state),
      do: share_again({app, Orders.fetch(state.orders, app)}, state),
      else: state
  end

  defp finished(state, :sweep, {:ok, unnamed}), do: %{state | unnamed: unnamed}
  defp finished(state, :sweep, {:error, _error}), do: state
  defp finished(state, :copy, :ok), do: state

  defp finished(state, :copy, {:error, error}) do
    data = %{reason: error.reason, error: Exception.message(error)}
    Lattice.announce(state.instance, "applications_not_kept", data)
    state
  end

  defp finished(state, {:model, digest}, {:ok, model}) do
    handle(state, {:model, digest, model})
  end

  defp finished(state, {:model, digest}, {:error, error}) do
    handle(state, {:model, digest, {:error, error}})
  end

  defp finished(state, {:objects, app, version, digests}, :ok) do
    handle(state, {:objects, app, version, digests, :here})
  end

  defp finished(state, {:objects, app, version, digests}, {:error, error}) do
    handle(state, {:objects, app, version, digests, {:error, error}})
  end

  defp finished(state, {:written, key}, result), do: handle(state, {:written, key, result})

  defp finished(
         %{current: tag, store: :up} = state,
         {:current, tag},
         {:ok, %{revision: position}}
       ) do
    facts = %{generation: state.generation, position: position}
    state = handle(%{state | current: :known}, {:records_current, facts, now()})
    answer(Enum.reduce(Orders.all(state.orders), state, &share_again/2))
  end

  defp finished(%{current: tag, store: :up} = state, {:current, tag}, {:error, _error}) do
    Process.send_after(self(), {:current, tag}, @again)
    state
  end

  # The connection was lost in the meantime: the watch tells all anew.
  defp finished(state, {:current, _tag}, _late), do: state

  # Links and updates that were refused are tried again; specifications are, by the reconciler.
  defp again_later(state, %{app: app} = order) do
    {delay, orders} = Orders.retry(state.orders, app, now())
    state = %{state | orders: orders}

    cond do
      delay != nil ->
        Process.send_after(self(), {:run_again, app, Orders.fetch(orders, app).token}, delay)
        state

      order.share == %{} and Machine.record(state.machine, app) == nil ->
        %{state | orders: Orders.forget(orders, app)}

      true ->
        state
    end
  end

  # What became of workloads since.

  defp concerns_share?("actor_" <> _rest), do: true
  defp concerns_share?("provider_" <> _rest), do: true
  defp concerns_share?("health_check_" <> _rest), do: true
  defp concerns_share?("linkdef_" <> _rest), do: true
  defp concerns_share?(_other), do: false

  defp look_soon(%{looking?: true} = state), do: state

  defp look_soon(state) do
    Process.send_after(self(), :look, @look)
    %{state | looking?: true}
  end

  # While it is changed, what comes of that is told at its end.
  defp look({app, %{order: order} = done}, state) do
    if Orders.busy?(state.orders, app) do
      state
    else
      states = Runner.states(state.instance, order.share, done.failures)
      news = Map.reject(states, fn {id, outcome} -> done.told[id] == outcome end)
      if news == %{}, do: state, else: tell(state, app, order.version, news)
    end
  end

  defp tell(state, app, version, news) do
    handle(%{state | orders: Orders.tell(state.orders, app, news)}, {:health, app, version, news})
  end

  # Objects that nobody names.

  # What a newer version of Exosuit wrote may name objects that this one does not know of.
  defp sweeps?(%{machine: machine} = state) do
    [first | _others] = Machine.members(machine)
    state.store == :up and first.id == state.instance.source and not Machine.newer?(machine)
  end

  defp sweep(%{instance: instance, unnamed: found} = state) do
    named = Sweep.named(known_records(state))
    now = System.system_time(:millisecond)
    lost = for {host, app} <- Machine.lost_statuses(state.machine), do: {:status, host, app}
    keys = Enum.map(lost, &Keys.encode/1)

    start(state, :sweep, fn ->
      for key <- keys, do: Store.delete(instance.lattice, @bucket, key)
      Sweep.run(instance.lattice, named, found, now)
    end)
  end

  defp known_records(%{machine: machine}) do
    for app <- Machine.apps(machine), record = Machine.record(machine, app), do: record
  end

  # Those who wait.

  defp answer(%{waiting: []} = state), do: state

  defp answer(state) do
    known = %{
      machine: state.machine,
      orders: state.orders,
      store: state.store,
      own: state.instance.source,
      names: names(state.instance)
    }

    waiting = Enum.reject(state.waiting, &answered?(known, &1))
    %{state | waiting: waiting}
  end

  defp answered?(known, {from, app, goal, until}) do
    case Progress.result(known, app, goal) do
      :wait when until == :never -> false
      :wait -> late?(known, from, app, until)
      result -> GenServer.reply(from, result) == :ok
    end
  end

  defp late?(known, from, app, until) do
    now() >= until and
      GenServer.reply(from, {:error, late(known.machine, app)}) == :ok
  end

  defp late(machine, app), do: Error.new(:deadline, Overview.unfinished(machine, app))

  # Tasks.

  defp start(state, purpose, work) do
    task = Task.Supervisor.async_nolink(state.tasks, work)
    put_in(state.running[task.ref], purpose)
  end

  defp read_copy(instance) do
    case Copy.read(instance) do
      {:ok, copy} ->
        copy

      {:error, error} ->
        data = %{reason: error.reason, error: Exception.message(error)}
        Lattice.announce(instance, "applications_not_kept", data)
        nil
    end
  end

  defp names(instance) do
    peers = for peer <- Lattice.Peers.list(instance), do: {peer.host_id, peer.friendly_name}
    Map.new([{instance.source, instance.friendly_name} | peers])
  end

  defp now, do: System.monotonic_time(:millisecond)
end
