defmodule Exosuit.ProviderTest do
  # Providers in Elixir, called by guests.
  use Exosuit.HostCase, async: true

  alias Exosuit.Directory

  defmodule Tester do
    @moduledoc """
    Does what its operation says, and tells the process whose name is in its configuration.
    """
    use Exosuit.Provider, contract: "test:tester", max_calls: 256

    @impl Exosuit.Provider
    def init(%{"fail" => "text"}), do: {:error, "it does not want to"}
    def init(%{"fail" => "raise"}), do: raise("a secret")

    def init(config) do
      if config["trap"], do: Process.flag(:trap_exit, true)
      state = %{test: pid(config["test"]), links: %{}}
      tell(state, {:init, self(), Map.drop(config, ["test", "trap"])})
      {:ok, state}
    end

    @impl Exosuit.Provider
    def put_link(%{values: %{"refuse" => text}}, _state), do: {:error, text}
    def put_link(%{values: %{"raise" => text}}, _state), do: raise(text)

    def put_link(link, state) do
      tell(state, {:put, link.actor, link.contract, link.name, link.values})
      {:ok, put_in(state.links[link.actor], link.values)}
    end

    @impl Exosuit.Provider
    def delete_link(link, state) do
      tell(state, {:delete, link.actor, link.values})
      {:ok, %{state | links: Map.delete(state.links, link.actor)}}
    end

    @impl Exosuit.Provider
    def handle_invocation("echo", payload, _context), do: {:ok, [payload]}
    def handle_invocation("refuse", payload, _context), do: {:error, payload}
    def handle_invocation("values", _payload, context), do: {:ok, inspect(context.link.values)}
    def handle_invocation("state", _payload, context), do: {:ok, inspect(context.state.links)}
    def handle_invocation("actor", _payload, context), do: {:ok, context.link.actor}
    def handle_invocation("raise", payload, _context), do: raise(ArgumentError, payload)
    def handle_invocation("raise\e[2J", _payload, _context), do: raise("a secret")
    def handle_invocation("throw", payload, _context), do: throw(payload)
    def handle_invocation("exit_with", payload, _context), do: exit({:with, payload})
    def handle_invocation("clauses", payload, _context), do: only_numbers(payload)
    def handle_invocation("exit", _payload, _context), do: exit(:normal)
    def handle_invocation("nonsense", payload, _context), do: payload
    def handle_invocation("kill", _payload, _context), do: Process.exit(self(), :kill)

    def handle_invocation("left", _payload, context) do
      {:ok, to_string(Exosuit.Provider.Context.time_left(context))}
    end

    # Until the test sends something.
    def handle_invocation("wait", payload, context) do
      tell(context.state, {:waits, self(), payload})
      receive do: (:go -> {:ok, payload})
    end

    def handle_invocation(_operation, _payload, _context), do: {:error, :unknown_operation}

    defp only_numbers(number) when is_integer(number), do: {:ok, "#{number}"}

    defp tell(%{test: nil}, _message), do: :ok
    defp tell(%{test: pid}, message), do: send(pid, message)

    defp pid(nil), do: nil
    defp pid(text), do: text |> String.to_charlist() |> :erlang.list_to_pid()
  end

  defmodule Narrow do
    @moduledoc "As Tester, two at a time."
    use Exosuit.Provider, contract: ["test:narrow", "test:tester"], max_calls: 2

    @impl Exosuit.Provider
    defdelegate init(config), to: Tester

    @impl Exosuit.Provider
    defdelegate handle_invocation(operation, payload, context), to: Tester
  end

  defmodule Nameless do
    @moduledoc "Of a contract that is none, which its own code says."
    use Exosuit.Provider, contract: "name:less"

    @impl Exosuit.Provider
    def contracts, do: ["name less:"]

    @impl Exosuit.Provider
    def handle_invocation(_operation, _payload, _context), do: {:ok, ""}
  end

  setup do
    host = start_supervised_host!(actors: [caller: "caller"])
    %{host: host}
  end

  defp serve!(host, options \\ []) do
    {module, options} = Keyword.pop(options, :module, Tester)
    test = self() |> :erlang.pid_to_list() |> to_string()
    {config, options} = Keyword.pop(options, :config, %{})
    config = Map.put(config, "test", test)
    {:ok, id} = Exosuit.start_provider(host, module, [config: config] ++ options)
    :ok = link(host, "caller", id)
    id
  end

  defp link(host, actor, provider, values \\ %{}) do
    fields = [source: actor, target: provider, contract: "test:tester", target_config: values]
    Exosuit.put_link(host, fields)
  end

  # What the guest `caller` is answered by the provider: errors come as its own.
  defp ask(host, operation, payload \\ "", options \\ []) do
    request = Enum.join(["default", "test:tester", operation, payload], <<0>>)
    {actor, options} = Keyword.pop(options, :actor, "caller")
    Exosuit.call(host, actor, "call", request, options)
  end

  describe "a call" do
    test "is answered, in whichever way it is executed", %{host: host} do
      serve!(host)

      for execution <- [:inline, :async, :auto] do
        assert {:ok, "hello"} = ask(host, "echo", "hello", execution: execution)
      end

      assert {:ok, "caller"} = ask(host, "actor")
    end

    test "carries mebibytes both ways", %{host: host} do
      serve!(host)
      payload = :crypto.strong_rand_bytes(4 * 1024 * 1024)

      for execution <- [:inline, :async],
          do: assert({:ok, ^payload} = ask(host, "echo", payload, execution: execution))
    end

    test "may be answered with an error", %{host: host} do
      serve!(host)

      assert {:error, %Error{reason: :guest, detail: "not today"}} =
               ask(host, "refuse", "not today")

      assert {:error, %Error{detail: detail}} = ask(host, "no such thing")
      assert detail =~ "test:tester has no such operation"
    end

    test "needs a link, which can be taken away", %{host: host} do
      id = serve!(host)
      assert {:ok, "1"} = ask(host, "echo", "1")
      :ok = Exosuit.delete_link(host, source: "caller", contract: "test:tester")
      assert {:error, %Error{detail: detail}} = ask(host, "echo", "2")
      assert detail =~ "missing link definition"
      assert_receive {:delete, "caller", %{}}
      :ok = link(host, "caller", id)
      assert {:ok, "3"} = ask(host, "echo", "3")
    end

    test "that raises costs itself, and says no more than what it raised", %{host: host} do
      id = serve!(host)
      :ok = Exosuit.subscribe(host)

      assert {:error, %Error{reason: :guest, detail: detail}} = ask(host, "raise", "a secret")
      assert detail =~ "Tester raised ArgumentError"
      refute detail =~ "secret"

      assert_receive {:exosuit_event, %{type: "invocation_failed", data: %{target: ^id} = data}}
      assert %{source: "caller", operation: "raise", reason: :provider, error: error} = data
      assert error =~ ~r/raised ArgumentError at .*provider_test.exs:\d+/
      refute inspect(data) =~ "secret"
      assert {:ok, "well"} = ask(host, "echo", "well")
    end

    test "that no clause matches leaves its payload out of the log", %{host: host} do
      serve!(host)
      :ok = Exosuit.subscribe(host)

      log =
        ExUnit.CaptureLog.capture_log(fn ->
          for operation <- ["clauses", "raise", "throw", "exit_with"] do
            assert {:error, %Error{reason: :guest}} = ask(host, operation, "a secret")

            # Told after the process of the call has ended, and OTP has logged what it logs of that.
            assert_receive {:exosuit_event, %{type: "invocation_failed"}}
          end
        end)

      refute log =~ "a secret"
    end

    test "whose name would steer a terminal is told of in plain text", %{host: host} do
      id = serve!(host)
      :ok = Exosuit.subscribe(host)
      assert {:error, %Error{reason: :guest}} = ask(host, "raise\e[2J")
      assert_receive {:exosuit_event, %{type: "invocation_failed", data: %{target: ^id} = data}}
      assert data.operation == ~S(raise\e[2J)
    end

    test "that throws, exits, is killed or answers nonsense costs itself", %{host: host} do
      serve!(host)

      for {operation, said} <- [
            {"throw", "threw"},
            {"exit", "without an answer"},
            {"kill", "was killed"},
            {"nonsense", "raised RuntimeError"}
          ] do
        assert {:error, %Error{reason: :guest, detail: detail}} = ask(host, operation, "secret")
        assert detail =~ said
        refute detail =~ "secret"
      end

      assert {:ok, "well"} = ask(host, "echo", "well")
    end

    test "knows its deadline, and is killed when that has passed", %{host: host} do
      serve!(host)
      assert {:ok, left} = ask(host, "left", "", timeout: 60_000)
      assert String.to_integer(left) in 1..60_000

      assert {:error, %Error{reason: :deadline}} = ask(host, "wait", "x", timeout: 50)
      assert_receive {:waits, pid, "x"}
      await_end(pid)
    end

    test "is killed when the caller is gone", %{host: host} do
      serve!(host)
      caller = spawn(fn -> ask(host, "wait", "x", timeout: 60_000) end)
      assert_receive {:waits, pid, "x"}, 5_000
      kill(caller)
      await_end(pid)
    end

    test "does not wait for another: two hundred guests at once", %{host: host} do
      :ok = Exosuit.scale_actor(host, "caller", 256)
      serve!(host)

      tasks =
        for n <- 1..200, do: Task.async(fn -> ask(host, "wait", "#{n}", timeout: 60_000) end)

      pids = for _ <- tasks, do: receive(do: ({:waits, pid, _payload} -> pid))
      assert length(Enum.uniq(pids)) == 200
      Enum.each(pids, &send(&1, :go))

      assert Task.await_many(tasks) == for(n <- 1..200, do: {:ok, "#{n}"})
    end

    test "past as many as may run is refused, until one ends, however it ends", %{host: host} do
      serve!(host, module: Narrow)
      tasks = for n <- 1..2, do: Task.async(fn -> ask(host, "wait", "#{n}", timeout: 60_000) end)
      [one, two] = for _ <- tasks, do: receive(do: ({:waits, pid, _payload} -> pid))

      assert {:error, %Error{detail: detail}} = ask(host, "echo", "x")
      assert detail =~ "already runs 2 calls"

      send(one, :go)
      eventually(fn -> match?({:ok, _}, ask(host, "echo", "x")) end)
      kill(two)

      assert [{:ok, _}, {:error, _}] =
               tasks |> Task.await_many() |> Enum.sort_by(&elem(&1, 0), :desc)

      for _ <- 1..5, do: assert({:error, _} = ask(host, "wait", "x", timeout: 10))
      eventually(fn -> match?({:ok, _}, ask(host, "echo", "x")) end)
    end
  end

  test "calls that were given up count until they are gone, so that none pile up", %{host: host} do
    id = serve!(host, module: Narrow)
    {:links, links} = Process.info(Exosuit.whereis(host, id), :links)
    [dispatcher] = for pid <- links, initial_call(pid) == Exosuit.Provider.Calls, do: pid
    :erlang.suspend_process(dispatcher)

    for _ <- 1..2,
        do: assert({:error, %{reason: :deadline}} = ask(host, "echo", "x", timeout: 20))

    assert {:error, %Error{reason: :guest, detail: detail}} = ask(host, "echo", "x")
    assert detail =~ "already runs 2 calls"

    :erlang.resume_process(dispatcher)
    eventually(fn -> ask(host, "echo", "x") == {:ok, "x"} end)
  end

  describe "a link" do
    test "is given with its values, again when they change, and taken away", %{host: host} do
      id = serve!(host)
      assert_receive {:put, "caller", "test:tester", "default", %{}}

      :ok = link(host, "caller", id, %{"url" => "here"})
      assert_receive {:put, "caller", "test:tester", "default", %{"url" => "here"}}
      assert {:ok, ~s(%{"url" => "here"})} = ask(host, "values")
      assert {:ok, ~s(%{"caller" => %{"url" => "here"}})} = ask(host, "state")

      start_actor!(host, "other", "caller")
      :ok = link(host, "other", id, %{"url" => "there"})
      assert {:ok, ~s(%{"url" => "there"})} = ask(host, "values", "", actor: "other")
      assert {:ok, ~s(%{"url" => "here"})} = ask(host, "values")

      :ok = Exosuit.delete_link(host, source: "other", contract: "test:tester")
      assert_receive {:delete, "other", %{"url" => "there"}}
      assert {:ok, ~s(%{"caller" => %{"url" => "here"}})} = ask(host, "state")
    end

    test "may be refused, and costs no other", %{host: host} do
      id = serve!(host)
      start_actor!(host, "other", "caller")

      assert {:error, %Error{detail: "no such thing"}} =
               link(host, "other", id, %{"refuse" => "no such thing"})

      assert {:error, %Error{detail: detail}} = link(host, "other", id, %{"raise" => "a secret"})
      assert detail =~ "raised RuntimeError"
      refute detail =~ "secret"
      assert {:ok, "well"} = ask(host, "echo", "well")
    end
  end

  describe "a provider" do
    test "that was killed is started again and given its links", %{host: host} do
      id = serve!(host)
      :ok = link(host, "caller", id, %{"url" => "here"})
      assert_receive {:init, keeper, %{}}
      assert_receive {:put, "caller", _contract, "default", %{"url" => "here"}}
      task = Task.async(fn -> ask(host, "wait", "x", timeout: 60_000) end)
      assert_receive {:waits, worker, "x"}
      assert Exosuit.whereis(host, id) == keeper
      kill(keeper)

      assert {:error, %Error{reason: :guest}} = Task.await(task)
      await_end(worker)
      assert_receive {:init, successor, %{}}, 30_000
      assert successor != keeper
      assert_receive {:put, "caller", _contract, "default", %{"url" => "here"}}, 5_000
      eventually(fn -> ask(host, "values") == {:ok, ~s(%{"url" => "here"})} end)
    end

    test "whose dispatcher is killed is started again, too", %{host: host} do
      id = serve!(host)
      assert_receive {:init, keeper, %{}}
      task = Task.async(fn -> ask(host, "wait", "x", timeout: 60_000) end)
      assert_receive {:waits, worker, "x"}
      {:links, links} = Process.info(worker, :links)
      Enum.each(links, &kill/1)

      assert {:error, %Error{reason: :guest}} = Task.await(task)
      await_end(worker)
      await_end(keeper)
      assert_receive {:init, _successor, %{}}, 30_000
      eventually(fn -> Exosuit.whereis(host, id) not in [nil, keeper] end)
      eventually(fn -> ask(host, "echo", "again") == {:ok, "again"} end)
    end

    test "that traps exits falls with its dispatcher all the same", %{host: host} do
      id = serve!(host, config: %{"trap" => "yes"})
      keeper = Exosuit.whereis(host, id)
      task = Task.async(fn -> ask(host, "wait", "x", timeout: 60_000) end)
      assert_receive {:waits, worker, "x"}
      {:links, [dispatcher]} = Process.info(worker, :links)
      kill(dispatcher)

      assert {:error, %Error{reason: :guest}} = Task.await(task)
      await_end(keeper)
      eventually(fn -> ask(host, "echo", "again") == {:ok, "again"} end)
    end

    test "is killed under load, and no answer is a wrong one", %{host: host} do
      id = serve!(host)
      parent = self()
      callers = for n <- 1..8, do: spawn_link(fn -> load(host, parent, n * 1_000_000, 0) end)

      for _ <- 1..3 do
        pid = eventually(fn -> Exosuit.whereis(host, id) end)
        eventually(fn -> match?({:ok, _}, ask(host, "echo", "x")) end)
        kill(pid)
        eventually(fn -> Exosuit.whereis(host, id) not in [nil, pid] end)
      end

      Enum.each(callers, &send(&1, :stop))
      for caller <- callers, do: assert_receive({^caller, good} when good > 0, 10_000)
    end

    test "stops with its calls, and its links wait for its return", %{host: host} do
      id = serve!(host)
      task = Task.async(fn -> ask(host, "wait", "x", timeout: 60_000) end)
      assert_receive {:waits, worker, "x"}
      :ok = Exosuit.stop_provider(host, id)

      assert {:error, %Error{reason: :guest}} = Task.await(task)
      await_end(worker)
      assert {:error, %Error{reason: :guest}} = ask(host, "echo", "x")
      {:ok, ^id} = Exosuit.start_provider(host, Tester, id: id)
      eventually(fn -> ask(host, "echo", "x") == {:ok, "x"} end)
    end

    test "that cannot start says why, and leaves nothing behind", %{host: host} do
      start = &Exosuit.start_provider(host, &1, config: %{"fail" => &2})

      assert {:error, %Error{reason: :provider, detail: "it does not want to"}} =
               start.(Tester, "text")

      assert {:error, %Error{reason: :provider, detail: detail}} = start.(Tester, "raise")
      assert detail =~ "Tester raised RuntimeError at"
      refute detail =~ "secret"
      assert {:error, %Error{reason: :invalid_input, detail: detail}} = start.(Nameless, "")
      assert detail =~ ~s("name less:")
      assert %{providers: []} = Exosuit.inventory(host)
    end

    test "must be one", %{host: host} do
      for nonsense <- [String, NoSuchModule, nil, 1] do
        assert_raise ArgumentError, ~r/expected the provider to be .* got: /, fn ->
          Exosuit.start_provider(host, nonsense)
        end

        assert_raise ArgumentError,
                     ~r/expected :providers to be a map from names to modules/,
                     fn ->
                       Exosuit.start_link(
                         name: :nobody,
                         trusted_issuers: :any,
                         providers: %{"x" => nonsense}
                       )
                     end
      end
    end

    test "is in inventory and events by its name", %{host: host} do
      :ok = Exosuit.subscribe(host)
      assert "tester" = serve!(host)
      assert_receive {:exosuit_event, %{type: "provider_started", data: %{id: "tester"} = data}}
      assert data.image_ref == "exosuit+module://Exosuit.ProviderTest.Tester"
      assert %{providers: [%{id: "tester", status: :running}]} = Exosuit.inventory(host)
      {:ok, state} = Directory.fetch(host, {:provider, "tester"})
      refute inspect(state) =~ "secret"
    end

    test "is linked to by the key that it has on every host", %{host: host} do
      id = serve!(host)
      %{providers: [%{id: ^id, public_key: "V" <> _ = key}]} = Exosuit.inventory(host)
      :ok = Exosuit.delete_link(host, source: "caller", contract: "test:tester")
      :ok = link(host, "caller", key, %{"by" => "key"})
      assert ask(host, "values") == {:ok, ~s(%{"by" => "key"})}

      :ok = Exosuit.stop_provider(host, id)
      assert %{providers: []} = Exosuit.inventory(host)
      assert {:error, %Error{}} = ask(host, "values")
      {:ok, ^id} = Exosuit.start_provider(host, Tester)
      assert ask(host, "values") == {:ok, ~s(%{"by" => "key"})}
      assert [%{public_key: ^key}] = Exosuit.inventory(host).providers
    end

    test "of several contracts serves each", %{host: host} do
      id = serve!(host, module: Narrow)

      assert {:error, %Error{}} =
               Exosuit.put_link(host, source: "caller", target: id, contract: "test:other")

      :ok = Exosuit.put_link(host, source: "caller", target: id, contract: "test:narrow")
      request = Enum.join(["default", "test:narrow", "echo", "x"], <<0>>)
      assert {:ok, "x"} = Exosuit.call(host, "caller", "call", request)
    end
  end

  test "a manifest names a module by the name that the host has for it" do
    host = start_supervised_host!(providers: %{"tester" => Tester})
    dir = tmp_dir!()
    File.cp!(Guests.path("caller"), Path.join(dir, "caller.wasm"))

    assert {:ok, outcomes, []} = Exosuit.apply_manifest(host, manifest!(dir, "tester"))
    assert Enum.all?(outcomes, &match?({_step, :ok}, &1))
    assert {:ok, ~s(%{"url" => "here"})} = ask(host, "values", "", actor: "app-caller")
    assert {:ok, [], []} = Exosuit.apply_manifest(host, manifest!(dir, "tester"))

    assert {:error, [%{text: text}]} = Exosuit.apply_manifest(host, manifest!(dir, "testr"))
    assert text =~ ~s(tester) and text =~ ~s("testr")
  end

  test "a provider that says too little, or nonsense, does not compile" do
    for {options, said} <- [
          {", []", ~r/:contract is required/},
          {", contract: :greeter", ~r/"wasmcloud:keyvalue", or a list of such, got: :greeter/},
          {", contract: \"a:b\", max_calls: 0",
           ~r/:max_calls to be a number from 1 to 4294967295, got: 0/},
          {", contract: \"a:b\", max_cals: 1", ~r/unknown options \[:max_cals\]/}
        ] do
      assert_raise ArgumentError, said, fn ->
        Code.eval_string("defmodule Nothing do use Exosuit.Provider#{options} end")
      end
    end
  end

  defp initial_call(pid) do
    {:dictionary, dictionary} = Process.info(pid, :dictionary)
    with {module, _function, _arity} <- dictionary[:"$initial_call"], do: module
  end

  defp await_end(pid) do
    monitor = Process.monitor(pid)
    assert_receive {:DOWN, ^monitor, :process, ^pid, _reason}, 5_000
  end

  defp load(host, parent, n, good) do
    receive do
      :stop -> send(parent, {self(), good})
    after
      0 -> load(host, parent, n + 1, good + checked(ask(host, "echo", "#{n}"), "#{n}"))
    end
  end

  defp checked({:ok, answer}, payload) do
    ^payload = answer
    1
  end

  defp checked({:error, %Error{reason: :guest}}, _payload), do: 0

  defp manifest!(dir, name) do
    path = Path.join(dir, "app.yaml")

    File.write!(path, """
    apiVersion: core.oam.dev/v1beta1
    kind: Application
    metadata:
      name: app
      annotations:
        version: v0.1.0
    spec:
      components:
        - name: caller
          type: actor
          properties:
            image: caller.wasm
          traits:
            - type: linkdef
              properties:
                target: tester
                values:
                  url: here
        - name: tester
          type: capability
          properties:
            image: exosuit+module://#{name}
            contract: test:tester
    """)

    path
  end
end
