defmodule Exosuit.App.Shares do
  @moduledoc """
  Makes this host run its shares as its member orders (`Exosuit.App.Member`), and reports the outcomes to the
  member. One share of each application is made at a time, in a task (`Exosuit.App.Runner`). A later order waits,
  and replaces an order that waits already. Refused parts that may work later are tried again. At events of the
  host, this process looks at the workloads again.

  Slow work is here and not in the member, whose beats must not be late. This process answers callers that wait for a
  share. It also writes the table of snapshots, which callers read without asking a process (`Exosuit.App.Reader`).
  The member and this process end together (`Exosuit.App.Supervisor`).

  ## The life of an order

      make ──► waits (one per application; a newer one replaces it)
                 │ the order before it has ended
                 ▼
               a task: Runner.run ──► finished ──► {:applied, …} to the member
                 ▲                       │
                 │                       ├─ refused, may work later: again after `Exosuit.Retry`'s pause
                 └───────────────────────┘
                                         └─ then looks: later states go to the member as {:health, …}

  An order cannot be withdrawn once it runs: its task may be in the middle of an update. A newer order waits for it. It
  gets the links that the order before it left (`former`), which are known only then.

  ## Callers that wait

  A caller of `await/4` gets its answer when the outcome is known here *and* in the member. `untold` counts the
  outcomes that were cast to the member and not acknowledged (`told/2`). Without it, a caller could read a status that
  is older than the answer it just got. Waiting callers are checked after each change, and at each tick (500 ms) for
  their timeouts.

  ## Strays

  An application may run here without an order: it was served alone, or the member crashed and its copy did not have
  it. At each tick, this process looks for specifications of such applications, and stops them. It does so only while
  the store's whole content and all members are known, because before that it cannot tell what belongs here.

  ## Bounds

  - one task for each application; one waiting order for each
  - a look at the host's workloads every 300 ms at most, however many events come
  - the outcome of a deleted application is kept for a minute, for callers that ask late

  ## Messages

  Casts `{:applied, app, version, share, outcomes}` and `{:health, app, version, outcomes}` to the member, as
  `Exosuit.App.Machine` takes them. Subscribes to the events of its host.
  """

  use Exosuit.Server, hides_state: true

  alias Exosuit.{Directory, Error, Event, Instance, Lattice}
  alias Exosuit.App.{Beat, Model, Orders, Overview, Placement, Progress}
  alias Exosuit.App.{Runner, Snapshot, Snapshots}
  alias Exosuit.Host.Specifications

  @tick 500

  # The shortest time between two looks at the host's workloads.
  @look 300

  # The time for which the outcome of a deleted application is kept, for callers that ask late.
  @forget 60_000

  @call_timeout 30_000

  @enforce_keys [:instance, :tasks, :reports_to]
  defstruct [
    :instance,
    :tasks,
    :reports_to,
    :table,
    member: %{store: :down, current?: false, known?: false},
    orders: %Orders{},
    running: %{},
    untold: %{},
    waiting: [],
    asking: [],
    looking?: false
  ]

  @typedoc """
  Whether the store is up, whether its whole content has arrived, and whether the members are known.
  """
  @type member :: %{store: :up | :down, current?: boolean(), known?: boolean()}

  @typedoc "An order, with the number of the version that it makes."
  @type order :: Runner.order()

  @doc """
  `tasks` is the name of a `Task.Supervisor`. `reports_to` gets `{:tell, event}`, an event of `Exosuit.App.Machine`, for
  the outcome of a share.
  """
  @spec start_link({Instance.t(), GenServer.name(), GenServer.name()}) :: GenServer.on_start()
  def start_link({instance, tasks, reports_to}) do
    state = %__MODULE__{instance: instance, tasks: tasks, reports_to: reports_to}
    GenServer.start_link(__MODULE__, state, name: via(instance))
  end

  @doc """
  Orders a share. The orders of an application are carried out in the order of these calls, apart from those that a
  later one replaces while they wait. Does not wait.
  """
  @spec make(Instance.t(), order()) :: :ok
  def make(instance, order), do: GenServer.cast(via(instance), {:make, order})

  @doc """
  Takes the member's facts: its own state, the members (`nil`: unchanged), and the applications that changed.
  Returns at once.

  The member calls this after the orders of the same event. Messages between two processes keep their order, so this
  process never knows a record without the order that follows from it.
  """
  @spec know(Instance.t(), member(), Placement.candidates() | nil, [
          {String.t(), Snapshot.t() | nil}
        ]) :: :ok
  def know(instance, member, candidates, snapshots) do
    GenServer.cast(via(instance), {:know, member, candidates, snapshots})
  end

  @doc """
  Waits until this host has made its share of a version, or need not make it any more. Blocks the calling process.

  - `:conflict`: another version replaced it
  - `:deadline`: the timeout has passed; the text says what is missing
  - `:unavailable`: this process restarted in the meantime

  `Exosuit.App.Progress` decides.
  """
  @spec await(Instance.t(), String.t(), Progress.goal(), timeout()) ::
          {:ok, [Progress.step()]} | {:error, Error.t()}
  def await(instance, app, goal, timeout) do
    limit = if timeout == :infinity, do: :infinity, else: timeout + @call_timeout
    call(instance, {:await, app, goal, timeout}, limit)
  end

  @doc """
  Runs an application on this host alone, while the lattice cannot be reached and this host has no record of the
  application. Blocks the calling process, without a limit, until the order has ended. `sources` are the objects of the
  model, by their digests. If the store is up or the application has a record here, returns `{:ok, []}` at once.
  """
  @spec serve_alone(Instance.t(), String.t(), Model.t(), map()) ::
          {:ok, [Progress.step()]} | {:error, Error.t()}
  def serve_alone(instance, app, model, sources) do
    call(instance, {:serve_alone, app, model, sources}, :infinity)
  end

  @doc "Notes that the member has received the outcome of a share. Returns at once."
  @spec told(Instance.t(), String.t()) :: :ok
  def told(instance, app), do: GenServer.cast(via(instance), {:told, app})

  @doc """
  Makes the share of an application again: failed parts are tried at once. Does nothing while an order of the
  application runs or waits, or if there never was one. Does not wait.
  """
  @spec retry(Instance.t(), String.t()) :: :ok
  def retry(instance, app), do: GenServer.cast(via(instance), {:retry, app})

  @doc """
  The table of snapshots. Waits until the member has read its copy, for 30 s at most; `:unavailable` after that, or
  while this process restarts. Once the table is filled, no process is asked.
  """
  @spec table(Instance.t()) :: {:ok, Snapshots.table()} | {:error, Error.t()}
  def table(instance) do
    case Snapshots.table(instance, __MODULE__) do
      nil -> {:error, starting()}
      table -> if(Snapshots.filled?(table), do: {:ok, table}, else: call(instance, :table))
    end
  end

  @doc "The error `:unavailable` while the processes of this host's applications start."
  @spec starting() :: Error.t()
  def starting,
    do:
      Error.new(
        :unavailable,
        "the processes of applications are restarting on this host: try again"
      )

  @doc "The friendly names of the hosts that this host knows by their heartbeats, by their ids; its own among them."
  @spec names(Instance.t()) :: Overview.names()
  def names(instance) do
    peers = for peer <- Lattice.Peers.list(instance), do: {peer.host_id, peer.friendly_name}
    Map.new([{instance.source, instance.friendly_name} | peers])
  end

  defp tell(state, event), do: GenServer.cast(state.reports_to, {:tell, event})

  defp via(instance), do: Directory.via(instance.name, __MODULE__)

  defp call(instance, request, timeout \\ @call_timeout) do
    GenServer.call(via(instance), request, timeout)
  catch
    :exit, _fallen_or_late -> {:error, starting()}
  end

  @impl GenServer
  def init(%{instance: instance} = state) do
    :ok = Lattice.Events.subscribe(instance.name)
    Process.send_after(self(), :tick, @tick)
    {:ok, %{state | table: Snapshots.new(instance.name, __MODULE__)}}
  end

  @impl GenServer
  def handle_call(:table, from, state) do
    if Snapshots.filled?(state.table),
      do: {:reply, {:ok, state.table}, state},
      else: {:noreply, %{state | asking: [from | state.asking]}}
  end

  def handle_call({:serve_alone, app, model, sources}, from, state) do
    if state.member.store == :up or record(state, app) != nil do
      {:reply, {:ok, []}, state}
    else
      order = alone(state, app, model, sources)
      {:noreply, run(%{state | waiting: [{from, app, :alone, :never} | state.waiting]}, order)}
    end
  end

  def handle_call({:await, app, goal, timeout}, from, state) do
    until = if timeout == :infinity, do: :never, else: now() + timeout
    {:noreply, answer(%{state | waiting: [{from, app, goal, until} | state.waiting]})}
  end

  @impl GenServer
  def handle_cast({:make, order}, state), do: {:noreply, run(state, order)}

  def handle_cast({:know, member, candidates, snapshots}, state) do
    # The members come last: from then on, a reader gets `:not_found` for an application that the table lacks.
    for {app, snapshot} <- snapshots, do: Snapshots.put(state.table, app, snapshot)
    if candidates, do: Snapshots.put_candidates(state.table, candidates)
    for from <- state.asking, do: GenServer.reply(from, {:ok, state.table})
    back? = member.current? and not state.member.current?
    state = %{state | member: member, asking: []}
    state = if back?, do: share_again(state), else: state
    {:noreply, if(snapshots == [], do: state, else: answer(state))}
  end

  # The member has received the outcome, so waiting callers may get it as well.
  def handle_cast({:told, app}, state) do
    {_count, untold} =
      Map.get_and_update(state.untold, app, fn
        count when count in [nil, 1] -> :pop
        count -> {count, count - 1}
      end)

    {:noreply, answer(%{state | untold: untold})}
  end

  def handle_cast({:retry, app}, state) do
    case Orders.fetch(state.orders, app) do
      nil -> {:noreply, state}
      %{order: order} -> {:noreply, run_again(state, order)}
    end
  end

  @impl GenServer
  def handle_info({task, result}, state) when is_map_key(state.running, task) do
    Process.demonitor(task, [:flush])
    {order, running} = Map.pop!(state.running, task)
    {:noreply, finished(%{state | running: running}, order, result)}
  end

  def handle_info({:DOWN, task, :process, _pid, _reason}, state)
      when is_map_key(state.running, task) do
    {order, running} = Map.pop!(state.running, task)
    error = Error.new(:internal, "a task of the application crashed; see the host's log")
    {:noreply, finished(%{state | running: running}, order, {:error, error})}
  end

  def handle_info(:tick, state) do
    Process.send_after(self(), :tick, @tick)
    {:noreply, state |> end_strays() |> answer()}
  end

  def handle_info({:exosuit_event, %Event{type: type}}, state) do
    if concerns_share?(type), do: {:noreply, look_soon(state)}, else: {:noreply, state}
  end

  def handle_info(:look, state) do
    {:noreply, Enum.reduce(Orders.all(state.orders), %{state | looking?: false}, &look/2)}
  end

  # Ignore the timer of an order that was repeated or replaced in the meantime.
  def handle_info({:run_again, app, token}, state) do
    case Orders.fetch(state.orders, app) do
      %{token: ^token, order: order} -> {:noreply, run_again(state, order)}
      _another -> {:noreply, state}
    end
  end

  def handle_info({:forget, app, token}, state) do
    done = Orders.fetch(state.orders, app)
    gone? = match?(%{token: ^token}, done) and record(state, app) == nil
    {:noreply, if(gone?, do: %{state | orders: Orders.forget(state.orders, app)}, else: state)}
  end

  # Orders.

  defp run(state, order) do
    case Orders.add(state.orders, order) do
      {:run, orders} -> start(%{state | orders: orders}, order)
      {:wait, orders} -> %{state | orders: orders}
    end
  end

  # An older order must not take the place of one that runs or waits.
  defp run_again(state, order) do
    if Orders.busy?(state.orders, order.app), do: state, else: run(state, order)
  end

  # The links that the previous order left are known only now.
  defp start(%{instance: instance} = state, order) do
    order = %{order | former: former(state, order.app)}
    task = Task.Supervisor.async_nolink(state.tasks, fn -> Runner.run(instance, order) end)
    put_in(state.running[task.ref], order)
  end

  # The links of the model that was applied last, and older links that could not be removed.
  defp former(state, app) do
    case Orders.fetch(state.orders, app) do
      nil -> []
      %{order: %{model: nil, former: former}} -> former
      %{order: %{model: model, former: former}} -> Enum.uniq(Model.links(model) ++ former)
    end
  end

  defp finished(state, %{app: app} = order, result) do
    {orders, next} = Orders.finished(state.orders, order, result)
    state = %{state | orders: orders}
    told = Orders.fetch(orders, app).told
    tell(state, {:applied, app, order.version, order.share, told})
    state = %{state | untold: Map.update(state.untold, app, 1, &(&1 + 1))}
    state = if next, do: start(state, next), else: state
    state = again_later(state, order)

    if order.alone? and next == nil and state.member.current?,
      do: share_again({app, Orders.fetch(state.orders, app)}, state),
      else: state
  end

  # Tries refused links and updates again. The reconciler retries specifications.
  defp again_later(state, %{app: app} = order) do
    {delay, orders} = Orders.retry(state.orders, app, now())
    state = %{state | orders: orders}

    cond do
      delay != nil ->
        Process.send_after(self(), {:run_again, app, Orders.fetch(orders, app).token}, delay)
        state

      order.share == %{} and record(state, app) == nil ->
        Process.send_after(self(), {:forget, app, Orders.fetch(orders, app).token}, @forget)
        state

      true ->
        state
    end
  end

  # The share that this host would have as the only member. Without the store, it has no lease of a singleton.
  defp alone(state, app, model, sources) do
    placed = [%{name: app, workloads: Enum.reject(Model.workloads(model), & &1.singleton?)}]
    own = Beat.member(state.instance)
    share = Map.get(Placement.share(placed, [own], %{}, own.id), app, %{})
    order = %{Runner.order(app, 0, share) | model: model, sources: sources}
    %{order | keep_links?: false, alone?: true}
  end

  # The lattice is back, so links and configurations that were made without it are written to it.
  defp share_again(state),
    do: answer(Enum.reduce(Orders.all(state.orders), state, &share_again/2))

  defp share_again({_app, %{order: %{alone?: true} = order}}, state) do
    run(state, %{order | alone?: false})
  end

  defp share_again(_shared, state), do: state

  # Stops applications that run here without an order of the machine: those that were served alone and are not in
  # this host's share, and those that the machine forgot in a crash. An application that was served alone and has no
  # record yet is about to get one.
  defp end_strays(%{member: %{current?: true, known?: true}, instance: instance} = state) do
    for(%{app: app} when app != nil <- Specifications.list(instance), do: app)
    |> Enum.uniq()
    |> Enum.filter(&stray?(state, &1))
    |> Enum.reduce(state, &run(&2, Runner.order(&1, -1, %{})))
  end

  defp end_strays(state), do: state

  defp stray?(state, app) do
    %{told: {_version, told}, record: record} = snapshot = snapshot(state, app) || %Snapshot{}

    cond do
      Orders.busy?(state.orders, app) or told != %{} -> false
      # A newer version of Exosuit wrote the record: the running share is left as it is.
      record == nil and snapshot.newer? -> false
      record == nil -> not match?(%{order: %{version: 0}}, Orders.fetch(state.orders, app))
      record.state == :undeployed -> true
      true -> Snapshot.nothing_for?(snapshot, candidates(state), state.instance.source)
    end
  end

  # Later states of workloads.

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

  # While an order of the application runs, its end reports the states.
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
    tell(state, {:health, app, version, news})
    %{state | orders: Orders.tell(state.orders, app, news)}
  end

  # Waiting callers.

  defp answer(%{waiting: []} = state), do: state

  defp answer(state) do
    known = %{
      snapshot: nil,
      candidates: candidates(state),
      names: names(state.instance),
      orders: state.orders,
      store: state.member.store,
      own: state.instance.source
    }

    waiting =
      Enum.reject(state.waiting, fn {_from, app, _goal, _until} = one ->
        answered?(%{known | snapshot: snapshot(state, app)}, state.untold, one)
      end)

    %{state | waiting: waiting}
  end

  # A caller may ask for the status right after this answer, so the member must have the outcome first.
  defp result(_known, untold, app, _goal) when is_map_key(untold, app), do: :wait
  defp result(known, _untold, app, goal), do: Progress.result(known, app, goal)

  defp answered?(known, untold, {from, app, goal, until}) do
    case result(known, untold, app, goal) do
      :wait when until == :never -> false
      :wait -> late?(known, from, app, until)
      result -> GenServer.reply(from, result) == :ok
    end
  end

  defp late?(known, from, app, until) do
    now() >= until and GenServer.reply(from, {:error, Progress.late(known, app)}) == :ok
  end

  defp record(state, app), do: (snapshot(state, app) || %Snapshot{}).record
  defp snapshot(state, app), do: Snapshots.get(state.table, app)
  defp candidates(state), do: Snapshots.candidates(state.table)

  defp now, do: System.monotonic_time(:millisecond)
end
