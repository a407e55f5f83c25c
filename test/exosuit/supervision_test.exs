defmodule Exosuit.SupervisionTest do
  # Each claim about a crash, by killing something.
  use Exosuit.HostCase, async: true

  alias Exosuit.Directory

  defmodule Gate do
    @moduledoc "Starts as the test says: `:open`, or `:shut`."
    use Exosuit.Provider, contract: "test:gate"

    @impl Exosuit.Provider
    def init(_config) do
      send(Exosuit.SupervisionTest.Gatekeeper, {:gate, self()})

      receive do
        :open -> {:ok, nil}
        :shut -> {:error, "the gate is shut"}
      end
    end

    @impl Exosuit.Provider
    def handle_invocation(_operation, payload, _context), do: {:ok, payload}
  end

  # What a caller may see while what serves it is being replaced.
  @in_flight ~w(dropped unavailable unknown_target)a

  test "a killed actor is started again from its specification" do
    host = start_supervised_host!(actors: [echo: "echo"])
    pid = Exosuit.whereis(host, "echo")
    kill(pid)

    assert {:ok, "again"} = Exosuit.call(host, "echo", "op", "again")
    assert eventually(fn -> Exosuit.whereis(host, "echo") not in [nil, pid] end)
  end

  test "a killed actor comes back although its file is gone" do
    host = start_supervised_host!()
    copy = Path.join(System.tmp_dir!(), "exosuit-#{System.unique_integer([:positive])}.wasm")
    File.cp!(Guests.path("echo"), copy)
    {:ok, "echo"} = Exosuit.start_actor(host, copy, id: "echo")
    File.rm!(copy)
    kill(Exosuit.whereis(host, "echo"))

    assert {:ok, "again"} = Exosuit.call(host, "echo", "op", "again")
  end

  test "killing an actor under load fails calls in flight only, and never with a wrong answer" do
    host = start_supervised_host!(actors: [echo: "echo"])

    results =
      under_load(host, fn ->
        # At once, then after one second and after two: calls wait for as long.
        for _ <- 1..3 do
          pid = eventually(fn -> Exosuit.whereis(host, "echo") end)
          kill(pid)
          eventually(fn -> Exosuit.whereis(host, "echo") not in [nil, pid] end)
        end
      end)

    assert results.wrong == 0
    assert Map.keys(results.errors) -- [:dropped] == []
    # Three kills, and at the most every caller had one call in flight.
    assert Enum.sum(Map.values(results.errors)) <= 3 * results.callers
    assert {:ok, "well"} = Exosuit.call(host, "echo", "op", "well")
  end

  for role <- [
        Exosuit.Directory,
        Exosuit.Host.Specifications,
        Exosuit.Host.Links,
        :providers,
        :actors,
        Exosuit.Host.Reconciler,
        Exosuit.Edge.EventLogger,
        Exosuit.Edge.EventForwarder,
        {:child, Exosuit.Directory.Nameplate},
        {:child, Exosuit.Host},
        {:child, Exosuit.Edge},
        Exosuit.Startup,
        {:child, Exosuit.Drain}
      ] do
    test "killing #{inspect(role)} under load: all comes back, and nothing is forgotten" do
      host = start_supervised_host!(actors: [echo: "echo", other: "faults"])
      {:ok, "kv"} = Exosuit.start_provider(host, "keyvalue", id: "kv")
      :ok = Exosuit.put_link(host, source: "echo", target: "kv", contract: "wasmcloud:keyvalue")

      results =
        under_load(host, fn ->
          victim = whereis(host, unquote(role))
          kill(victim)
          eventually(fn -> whereis(host, unquote(role)) not in [nil, victim] end)
          eventually(fn -> all_runs?(host) end)
        end)

      assert results.wrong == 0
      assert Map.keys(results.errors) -- @in_flight == []
      assert {:ok, "well"} = Exosuit.call(host, "echo", "op", "well")
      assert {:ok, "well"} = Exosuit.call(host, "other", "echo", "well")
      assert [%{source: "echo", target: "kv"}] = Exosuit.inventory(host).links
    end
  end

  test "a burst of kills that takes the host's supervisor down forgets nothing" do
    host = start_supervised_host!(actors: [echo: "echo"])
    supervisor = whereis(host, {:child, Exosuit.Host})

    # One more than it starts again in five seconds.
    for _ <- 1..4 do
      victim = eventually(fn -> whereis(host, Exosuit.Host.Reconciler) end)
      kill(victim)
      eventually(fn -> whereis(host, Exosuit.Host.Reconciler) not in [nil, victim] end)
    end

    assert whereis(host, {:child, Exosuit.Host}) not in [nil, supervisor]
    assert {:ok, "well"} = Exosuit.call(host, "echo", "op", "well")
    assert {:ok, _id} = Exosuit.start_actor(host, Guests.path("echo"), id: "another")
  end

  test "a host that falls again and again falls as a whole, and is started empty" do
    host = start_supervised_host!(actors: [echo: "echo"])
    whole = whereis(host, :host)
    monitor = Process.monitor(whole)

    for _ <- 1..3 do
      victim = whereis(host, {:child, Exosuit.Host})
      kill(victim)
      eventually(fn -> whereis(host, {:child, Exosuit.Host}) not in [nil, victim] end)
      assert {:ok, "well"} = Exosuit.call(host, "echo", "op", "well")
    end

    kill(whereis(host, {:child, Exosuit.Host}))
    assert_receive {:DOWN, ^monitor, :process, ^whole, :shutdown}, 10_000
    await_successor(host, whole)
    start_actor!(host, "echo", "echo")
    assert {:ok, "well"} = Exosuit.call(host, "echo", "op", "well")
  end

  test "a host that is killed as a whole is started by whoever supervises it" do
    host = start_supervised_host!(actors: [echo: "echo"])
    whole = whereis(host, :host)
    kill(whole)
    await_successor(host, whole)
    assert %{actors: []} = Exosuit.inventory(host)
    start_actor!(host, "echo", "echo")
    assert {:ok, "well"} = Exosuit.call(host, "echo", "op", "well")
  end

  test "what its options name is there again when a host was killed as a whole" do
    %{host: host} = with_options!()
    whole = whereis(host, :host)
    kill(whole)
    await_successor(host, whole)

    for id <- ["echo", "app-worker"] do
      eventually(fn -> Exosuit.call(host, id, "op", "well") == {:ok, "well"} end)
    end

    assert [%{source: "echo", target: "kv"}] = Exosuit.inventory(host).links
    eventually(fn -> all_runs?(host) and Exosuit.inventory(host).pending == [] end)
  end

  test "a host is up with what its options name, and what was stopped since does not come back" do
    %{host: host} = with_options!()
    assert {:ok, "well"} = Exosuit.call(host, "echo", "op", "well")
    assert {:ok, "well"} = Exosuit.call(host, "app-worker", "op", "well")
    :ok = Exosuit.stop_actor(host, "echo")
    startup = whereis(host, Exosuit.Startup)
    kill(startup)
    eventually(fn -> whereis(host, Exosuit.Startup) not in [nil, startup] end)
    :ok = Exosuit.Startup.await(instance(host))
    assert Exosuit.whereis(host, "echo") == nil
  end

  test "what cannot be applied at first is tried again, shown, and told" do
    path = Path.join(tmp_dir!(), "later.wasm")
    host = start_supervised_host!()
    :ok = Exosuit.subscribe(host)
    :ok = Exosuit.Startup.add(instance(host), {:actor, [path, [id: "later"]]})

    assert_receive {:exosuit_event, %{type: "startup_failed", data: data}}, 5_000
    assert %{option: "actor later", reason: :io, after_ms: delay} = data
    assert delay in 1_000..1_250
    assert [pending] = Exosuit.inventory(host).pending
    assert %{id: "actor later", status: :refused, reason: :io, retry_in_ms: left} = pending
    assert left <= delay

    File.cp!(Guests.path("echo"), path)

    assert_receive {:exosuit_event, %{type: "startup_applied", data: %{option: "actor later"}}},
                   9_000

    assert {:ok, "well"} = Exosuit.call(host, "later", "op", "well")
    assert Exosuit.inventory(host).pending == []
  end

  test "whoever waits for the first try goes on when that falls" do
    host = start_supervised_host!()
    startup = whereis(host, Exosuit.Startup)
    :ok = :sys.suspend(startup)
    waiting = Task.async(fn -> Exosuit.Startup.await(instance(host)) end)
    eventually(fn -> Process.info(startup, :message_queue_len) == {:message_queue_len, 1} end)
    kill(startup)
    assert Task.await(waiting) == :ok
  end

  test "what was added is applied although whoever shall do so falls before it is looked at" do
    host = start_supervised_host!()
    startup = whereis(host, Exosuit.Startup)
    :ok = :sys.suspend(startup)
    :ok = Exosuit.Startup.add(instance(host), {:actor, [Guests.path("echo"), [id: "added"]]})
    kill(startup)
    assert eventually(fn -> Exosuit.call(host, "added", "op", "well") == {:ok, "well"} end)
    assert eventually(fn -> Exosuit.inventory(host).pending == [] end)
  end

  test "a start that was interrupted is waited for, of what has its id from its claims, too" do
    host = start_supervised_host!()
    {path, %{subject: subject}} = Guests.sign(tmp_dir!(), "echo")
    reconciler = whereis(host, Exosuit.Host.Reconciler)
    :ok = :sys.suspend(reconciler)
    :ok = Exosuit.Startup.add(instance(host), {:actor, [path, []]})
    eventually(fn -> asked?(reconciler, :run) end)
    kill(whereis(host, Exosuit.Startup))
    :ok = :sys.resume(reconciler)

    assert eventually(fn -> Exosuit.inventory(host).pending == [] end)
    assert {:ok, "well"} = Exosuit.call(host, subject["public_key"], "op", "well")
  end

  test "an interrupted start that fails is tried again" do
    Process.register(self(), __MODULE__.Gatekeeper)
    host = start_supervised_host!()
    :ok = Exosuit.Startup.add(instance(host), {:provider, [Gate, [id: "gate"]]})
    assert_receive {:gate, first}, 5_000
    kill(whereis(host, Exosuit.Startup))
    # The one whose call was lost, and the successor.
    eventually(fn -> waiters(host, {:provider, "gate"}) == 2 end)
    send(first, :shut)
    assert_receive {:gate, second}, 9_000
    send(second, :open)

    assert eventually(fn -> Exosuit.inventory(host).pending == [] end)
    assert [%{id: "gate", status: :running}] = Exosuit.inventory(host).providers
  end

  test "a mistake in an option that names what runs is one of the programmer" do
    for options <- [
          [actors: [{"a.wasm", instances: 0}]],
          [actors: :none],
          [put_links: [[source: "a"]]],
          [manifests: [1]],
          [start_providers: [{"keyvalue", config: 1}]]
        ] do
      assert_raise ArgumentError, fn ->
        Exosuit.start_link([name: __MODULE__, trusted_issuers: :any] ++ options)
      end
    end
  end

  test "a killed edge does not make the host drain" do
    host = start_supervised_host!(actors: [echo: "echo"])
    :ok = Exosuit.subscribe(host)

    for child <- [Exosuit.Edge, Exosuit.Drain] do
      victim = whereis(host, {:child, child})
      kill(victim)
      eventually(fn -> whereis(host, {:child, child}) not in [nil, victim] end)
    end

    assert {:ok, "well"} = Exosuit.call(host, "echo", "op", "well")
    refute_received {:exosuit_event, %{type: "host_stopped"}}
  end

  test "a start goes on although whoever asked for it ends" do
    host = start_supervised_host!()
    reconciler = whereis(host, Exosuit.Host.Reconciler)
    :ok = :sys.suspend(reconciler)
    asking = spawn(fn -> Exosuit.start_actor(host, Guests.path("echo"), id: "echo") end)
    eventually(fn -> asked?(reconciler, :run) end)
    kill(asking)
    :ok = :sys.resume(reconciler)

    eventually(fn -> Exosuit.whereis(host, "echo") end)
    assert {:ok, "well"} = Exosuit.call(host, "echo", "op", "well")
  end

  test "a stop while it starts ends the start, and the next start is a new one" do
    host = start_supervised_host!()
    reconciler = whereis(host, Exosuit.Host.Reconciler)

    for _ <- 1..20 do
      :ok = :sys.suspend(reconciler)
      start = Task.async(fn -> Exosuit.start_actor(host, Guests.path("echo"), id: "echo") end)

      eventually(fn -> asked?(reconciler, :run) end)

      stop = Task.async(fn -> Exosuit.Host.Reconciler.stop(instance(host), {:actor, "echo"}) end)

      eventually(fn -> asked?(reconciler, :stop) end)

      :ok = :sys.resume(reconciler)

      assert {:error, %Error{reason: :dropped}} = Task.await(start)
      assert :ok = Task.await(stop)
      assert %{actors: []} = Exosuit.inventory(host)

      assert {:error, %Error{reason: :unknown_target}} =
               Exosuit.call(host, "echo", "op", "", timeout: 50)

      assert {:ok, "echo"} = Exosuit.start_actor(host, Guests.path("echo"), id: "echo")
      assert {:ok, "well"} = Exosuit.call(host, "echo", "op", "well")
      :ok = Exosuit.stop_actor(host, "echo")
    end
  end

  test "what a process says that is no longer looked after is no news" do
    host = start_supervised_host!()
    reconciler = whereis(host, Exosuit.Host.Reconciler)
    stranger = spawn(fn -> :gone end)
    send(reconciler, {:exosuit_started, stranger, nil})
    send(reconciler, {:exosuit_failed, stranger, Error.new(:io, "no such file")})

    assert %{} == Exosuit.Host.Reconciler.phases(instance(host))
    assert whereis(host, Exosuit.Host.Reconciler) == reconciler
  end

  test "an actor's successor serves while the last calls of the stopped one finish" do
    host = start_supervised_host!(actors: [actor: "faults"])
    old = Exosuit.whereis(host, "actor")
    running = Task.async(fn -> Exosuit.call(host, "actor", "spin", "", timeout: 1_000) end)
    eventually(fn -> Process.info(running.pid, :status) == {:status, :waiting} end)

    :ok = Exosuit.stop_actor(host, "actor")
    assert Exosuit.whereis(host, "actor") == nil
    start_actor!(host, "actor", "echo")
    assert Exosuit.whereis(host, "actor") not in [nil, old]
    assert {:ok, "new"} = Exosuit.call(host, "actor", "op", "new")
    assert {:error, %Error{reason: :deadline}} = Task.await(running)
    assert {:ok, "new"} = Exosuit.call(host, "actor", "op", "new")
    assert %{actors: [%{status: :running}]} = Exosuit.inventory(host)
  end

  test "a killed announcer is back for the next event of the data plane" do
    host = start_supervised_host!(actors: [faults: "faults"])
    announcer = whereis(host, Exosuit.Edge.EventForwarder)
    kill(announcer)
    eventually(fn -> whereis(host, Exosuit.Edge.EventForwarder) not in [nil, announcer] end)
    :ok = Exosuit.subscribe(host)

    # Until it has said that it listens, what happens is nobody's to hear.
    eventually(fn ->
      Exosuit.call(host, "faults", "trap", "")
      receive do: ({:exosuit_event, %{type: "invocation_failed"}} -> true), after: (100 -> false)
    end)
  end

  test "an actor that keeps falling is tried for ever, with the reason and the time of the next try" do
    host = start_supervised_host!(actors: [echo: "echo"], restart_wait: 500)
    :ok = Exosuit.subscribe(host)
    first = Exosuit.whereis(host, "echo")
    kill(first)
    # The directory forgets a dead process a moment later.
    kill(eventually(fn -> with ^first <- Exosuit.whereis(host, "echo"), do: nil end))

    assert_receive {:exosuit_event, %{type: "restarting", data: %{id: "echo", after_ms: 0}}}

    assert_receive {:exosuit_event, %{type: "restarting", data: %{after_ms: after_ms} = data}}
                   when after_ms > 0

    assert after_ms in 1_000..1_250
    assert data.error =~ ":killed"

    assert %{actors: [%{status: :crashing, pid: nil} = echo]} = Exosuit.inventory(host)
    assert echo.reason == :unavailable and echo.error =~ ":killed"
    assert echo.retry_in_ms in 0..after_ms

    # It is further away than a call waits.
    assert {:error, %Error{reason: :unavailable}} =
             Exosuit.call(host, "echo", "op", "", timeout: 200)

    assert eventually(fn -> Exosuit.whereis(host, "echo") end)
    assert {:ok, "back"} = Exosuit.call(host, "echo", "op", "back")
    assert %{actors: [%{status: :running, error: nil}]} = Exosuit.inventory(host)
  end

  test "a host that stops answers the calls that run, and takes no new ones" do
    host = start_supervised_host!(actors: [faults: "faults"])
    task = Task.async(fn -> Exosuit.call(host, "faults", "spin", "", timeout: 700) end)
    eventually(fn -> Process.info(task.pid, :status) == {:status, :waiting} end)
    probe = Task.async(fn -> until_refused(host) end)
    stop_supervised!(host)

    assert {:error, %Error{reason: :unavailable}} = Task.await(probe)
    assert {:error, %Error{reason: :deadline}} = Task.await(task)
  end

  test "a host that stops under load loses no answer" do
    host = start_supervised_host!(actors: [echo: "echo"])
    callers = for _ <- 1..16, do: Task.async(fn -> call_until_refused(host, 0) end)
    eventually(fn -> Enum.all?(callers, &Process.alive?(&1.pid)) end)
    stop_supervised!(host)

    for {answered, reason} <- Task.await_many(callers, 15_000) do
      assert answered >= 0
      assert reason in [:unavailable, :no_host]
    end
  end

  defp with_options! do
    dir = tmp_dir!()
    File.cp!(Guests.path("echo"), Path.join(dir, "app.wasm"))
    File.write!(Path.join(dir, "app.yaml"), worker_manifest())

    options = [
      name: free_host_name(),
      trusted_issuers: :any,
      unsigned: :allow,
      actors: [echo: Guests.path("echo")],
      start_providers: [{"keyvalue", id: "kv"}],
      put_links: [[source: "echo", target: "kv", contract: "wasmcloud:keyvalue"]],
      manifests: [Path.join(dir, "app.yaml")]
    ]

    start_supervised!({Exosuit, options})
    %{host: options[:name]}
  end

  # Atoms are never freed: one for each test that needs a host of its own making.
  defp free_host_name,
    do: :"Elixir.Exosuit.SupervisionTest.Host#{System.unique_integer([:positive])}"

  defp until_refused(host) do
    with {:ok, _answer} <- Exosuit.call(host, "faults", "echo", ""), do: until_refused(host)
  end

  defp call_until_refused(host, answered) do
    payload = "#{answered}"

    case Exosuit.call(host, "echo", "op", payload) do
      {:ok, ^payload} -> call_until_refused(host, answered + 1)
      {:error, error} -> {answered, error.reason}
    end
  rescue
    ArgumentError -> {answered, :no_host}
  end

  # Calls from eight processes while `fun` runs; each answer is checked.
  defp under_load(host, fun) do
    parent = self()
    callers = for n <- 1..8, do: spawn_link(fn -> load(host, parent, n * 1_000_000, %{}) end)
    fun.()
    Enum.each(callers, &send(&1, :stop))

    counts =
      for caller <- callers, reduce: %{} do
        counts ->
          receive do: ({^caller, more} -> Map.merge(counts, more, fn _k, a, b -> a + b end))
      end

    assert counts[:ok] > 0
    {wrong, counts} = Map.pop(counts, :wrong, 0)
    %{wrong: wrong, errors: Map.delete(counts, :ok), callers: length(callers)}
  end

  defp load(host, parent, n, counts) do
    receive do
      :stop -> send(parent, {self(), counts})
    after
      0 -> load(host, parent, n + 1, Map.update(counts, one_call(host, "#{n}"), 1, &(&1 + 1)))
    end
  end

  defp one_call(host, payload) do
    case Exosuit.call(host, "echo", "op", payload) do
      {:ok, ^payload} -> :ok
      {:ok, _other} -> :wrong
      {:error, error} -> error.reason
    end
  end

  # Its supervisor tells of its children once all of them are up.
  defp await_successor(host, whole) do
    eventually(fn -> whereis(host, :host) not in [nil, whole] end)
    assert is_pid(whereis(host, {:child, Exosuit.Drain}))
  end

  defp waiters(host, key) do
    state = :sys.get_state(whereis(host, Exosuit.Host.Reconciler))
    length(state.attempts[key].waiters)
  end

  defp asked?(pid, request) do
    {:messages, messages} = Process.info(pid, :messages)
    calls = for {:"$gen_call", _from, call} when is_tuple(call) <- messages, do: elem(call, 0)
    request in calls
  end

  defp instance(host), do: Directory.fetch!(host, :instance)

  defp whereis(host, {:child, child}) do
    children = Supervisor.which_children(whereis(host, :host))
    with {_id, pid, _type, _modules} <- List.keyfind(children, child, 0), do: if_pid(pid)
  end

  defp whereis(host, role), do: GenServer.whereis(Directory.via(host, role))

  defp if_pid(pid), do: if(is_pid(pid), do: pid)

  defp all_runs?(host) do
    inventory = Exosuit.inventory(host)
    Enum.all?(inventory.actors ++ inventory.providers, &(&1.status == :running))
  end
end
