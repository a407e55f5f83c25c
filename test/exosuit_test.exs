defmodule ExosuitTest do
  use Exosuit.HostCase, async: true

  describe "a call" do
    test "is answered by the actor" do
      host = start_supervised_host!(actors: [echo: "echo"])
      assert {:ok, "hello"} = Exosuit.call(host, "echo", "Echo.Say", "hello")
    end

    test "is answered in whichever way it is executed" do
      host = start_supervised_host!(actors: [echo: "echo"])

      for execution <- [:auto, :inline, :async] do
        assert {:ok, "hello"} =
                 Exosuit.call(host, "echo", "Echo.Say", "hello", execution: execution)
      end
    end

    test "carries sixteen mebibytes in and out" do
      host = start_supervised_host!(actors: [echo: "echo"])
      payload = :crypto.strong_rand_bytes(16 * 1024 * 1024)
      # One that ends in the middle of another binary is carried alone.
      part = binary_part(payload, 1, 100_000)

      for sent <- [payload, part], execution <- [:auto, :inline, :async] do
        assert {:ok, ^sent} = Exosuit.call(host, "echo", "Echo.Say", sent, execution: execution)
      end
    end

    test "leaves nothing behind for the next one" do
      host = start_supervised_host!(actors: [stateful: "stateful"])
      {:ok, first} = Exosuit.call(host, "stateful", "count", "")
      assert {:ok, ^first} = Exosuit.call(host, "stateful", "count", "")
    end

    test "of nobody says that nobody has that name" do
      host = start_supervised_host!()

      assert {:error, %Error{reason: :unknown_target} = error} =
               Exosuit.call(host, "no", "op", "")

      assert Exception.message(error) =~ "no"
    end

    test "to a host that does not run is the caller's mistake" do
      assert_raise ArgumentError, ~r/no host named :nobody/, fn ->
        Exosuit.call(:nobody, "echo", "op", "")
      end
    end

    test "leaves no message behind, whether it was answered in time or not" do
      host = start_supervised_host!(actors: [faults: "faults"])
      assert {:error, %Error{reason: :deadline}} = spin(host, 20)
      assert {:ok, "x"} = Exosuit.call(host, "faults", "echo", "x", execution: :async)
      refute_received _anything
    end

    test "ends with the process that made it" do
      host = start_supervised_host!(actors: [faults: "faults"], drain_timeout: 60_000)
      caller = spawn(fn -> spin(host, 60_000) end)
      eventually(fn -> waits_for_answer?(caller) end)
      kill(caller)

      # With room for one call only, the next one is answered as soon as that one is gone.
      :ok = Exosuit.scale_actor(host, "faults", 1)
      assert {:ok, "free"} = Exosuit.call(host, "faults", "echo", "free", timeout: 30_000)
    end
  end

  describe "a start" do
    test "of something that is there already is a conflict" do
      host = start_supervised_host!(actors: [echo: "echo"])

      assert {:error, %Error{reason: :conflict}} =
               Exosuit.start_actor(host, Guests.path("echo"), id: "echo")

      assert {:error, %Error{reason: :conflict}} =
               Exosuit.start_provider(host, "keyvalue", id: "echo")

      assert {:ok, "still"} = Exosuit.call(host, "echo", "op", "still")
    end

    test "that fails leaves nothing behind" do
      host = start_supervised_host!()

      assert {:error, %Error{reason: :invalid_module}} =
               Exosuit.start_actor(host, {:bytes, <<0, "asm", 1, 0, 0, 0>>}, id: "bad")

      assert {:error, %Error{reason: :io} = error} =
               Exosuit.start_actor(host, "/no/such.wasm", id: "bad")

      assert Exception.message(error) =~ "/no/such.wasm"
      assert %{actors: []} = Exosuit.inventory(host)
      assert {:ok, "bad"} = Exosuit.start_actor(host, Guests.path("echo"), id: "bad")
    end

    test "refuses an id that no subject could carry" do
      host = start_supervised_host!()

      assert {:error, %Error{reason: :invalid_input}} =
               Exosuit.start_actor(host, Guests.path("echo"), id: "a.b")
    end

    test "takes options that are told in the inventory and in an event" do
      host = start_supervised_host!()
      :ok = Exosuit.subscribe(host)
      start_actor!(host, "echo", "echo", instances: 3, annotations: %{"team" => "blue"})

      assert_receive {:exosuit_event, %{type: "actor_started", data: %{id: "echo"} = data}}
      assert data.annotations == %{"team" => "blue"}

      assert %{actors: [%{id: "echo", instances: 3, status: :running, annotations: annotations}]} =
               Exosuit.inventory(host)

      assert annotations == %{"team" => "blue"}
    end
  end

  test "a stopped actor is gone, and says so in an event" do
    host = start_supervised_host!(actors: [echo: "echo"])
    :ok = Exosuit.subscribe(host)
    :ok = Exosuit.stop_actor(host, "echo")

    assert_receive {:exosuit_event, %{type: "actor_stopped", data: %{id: "echo"}}}
    assert {:error, %Error{reason: :unknown_target}} = Exosuit.call(host, "echo", "op", "")
    assert {:error, %Error{reason: :not_found}} = Exosuit.stop_actor(host, "echo")
  end

  test "stopping an actor lets the calls finish that run" do
    host = start_supervised_host!(actors: [faults: "faults"])
    task = Task.async(fn -> spin(host, 300) end)
    eventually(fn -> waits_for_answer?(task.pid) end)

    :ok = Exosuit.stop_actor(host, "faults")
    assert {:error, %Error{reason: :deadline}} = Task.await(task)
  end

  test "scaling bounds how many calls run and wait" do
    host = start_supervised_host!()
    start_actor!(host, "faults", "faults", instances: 1, queue: 1)
    tasks = for _ <- 1..10, do: Task.async(fn -> spin(host, 400) end)
    reasons = for {:error, error} <- Task.await_many(tasks), do: error.reason

    assert Enum.count(reasons, &(&1 == :overloaded)) == 8
    assert Enum.count(reasons, &(&1 == :deadline)) == 2

    :ok = Exosuit.scale_actor(host, "faults", 10)
    tasks = for _ <- 1..10, do: Task.async(fn -> spin(host, 400) end)
    for {:error, error} <- Task.await_many(tasks), do: assert(error.reason == :deadline)
  end

  test "two hosts in one VM do not see each other" do
    [one, two] = [start_supervised_host!(actors: [echo: "echo"]), start_supervised_host!()]
    :ok = Exosuit.subscribe(two)

    assert {:ok, _answer} = Exosuit.call(one, "echo", "op", "")
    assert {:error, %Error{reason: :unknown_target}} = Exosuit.call(two, "echo", "op", "")
    assert %{actors: []} = Exosuit.inventory(two)
    assert Exosuit.whereis(two, "echo") == nil

    :ok = Exosuit.stop_actor(one, "echo")
    start_actor!(two, "echo", "echo")
    assert_receive {:exosuit_event, %{type: "actor_started", data: %{id: "echo"}}}
    refute_received {:exosuit_event, %{type: "actor_stopped"}}
    refute Exosuit.inventory(one).host_id == Exosuit.inventory(two).host_id
  end

  test "a configuration that is not right is told without its values" do
    host = start_supervised_host!()
    config = %{"password" => "hunter2", "port" => 80}

    error =
      assert_raise ArgumentError, ~r/:config .* at \["port"\]/, fn ->
        Exosuit.start_provider(host, "keyvalue", config: config)
      end

    refute Exception.message(error) =~ "hunter2"
  end

  test "options are checked at the door, and say what was expected" do
    assert_raise ArgumentError, ~r/:trusted_issuers is required/, fn ->
      Exosuit.start_link(name: :nobody)
    end

    assert_raise ArgumentError,
                 ~r/expected :queue to be a number from 1 to 4294967295, got: "ten"/,
                 fn ->
                   Exosuit.start_link(name: :nobody, trusted_issuers: :any, queue: "ten")
                 end

    assert_raise ArgumentError, ~r/unknown options \[:qeue\]/, fn ->
      Exosuit.start_link(name: :nobody, trusted_issuers: :any, qeue: 1)
    end
  end

  test "an argument that is not of its kind is the caller's mistake, and harms nobody else" do
    host = start_supervised_host!(actors: [echo: "echo"])
    echo = Exosuit.whereis(host, "echo")
    wasm = Guests.path("echo")

    mistakes = [
      {~r/expected :instances to be a number of instances from 1 to 100000, got: "ten"/,
       fn -> Exosuit.start_actor(host, wasm, id: "a", instances: "ten") end},
      {~r/expected :instances to be a number of instances from 1 to 100000, got: 5000000000/,
       fn -> Exosuit.start_actor(host, wasm, id: "a", instances: 5_000_000_000) end},
      {~r/expected :id to be a non-empty string/,
       fn -> Exosuit.start_actor(host, wasm, id: <<255>>) end},
      {~r/unknown options \[:instance\]/,
       fn -> Exosuit.start_actor(host, wasm, id: "a", instance: 1) end},
      {~r/expected the actor as a path/, fn -> Exosuit.start_actor(host, :echo, id: "a") end},
      {~r/expected the number of instances to be/,
       fn -> Exosuit.scale_actor(host, "echo", 0) end},
      {~r/expected the provider to be the name of a built-in one/,
       fn -> Exosuit.start_provider(host, :keyvalue) end},
      {~r/expected :config to be a map from strings to strings/,
       fn -> Exosuit.start_provider(host, "keyvalue", config: %{"backend" => :memory}) end},
      {~r/option :target is required/,
       fn -> Exosuit.put_link(host, source: "echo", contract: "a:b") end},
      {~r/expected :source to be a non-empty string/,
       fn -> Exosuit.put_link(host, source: :echo, target: "kv", contract: "a:b") end},
      {~r/expected :contract to be a contract like "wasmcloud:keyvalue", got: "keyvalue"/,
       fn -> Exosuit.put_link(host, source: "echo", target: "kv", contract: "keyvalue") end},
      {~r/unknown options \[:target\]/,
       fn -> Exosuit.delete_link(host, source: "echo", contract: "a:b", target: "kv") end},
      {~r/expected :timeout to be a number of milliseconds from 1 to 86400000, got: :infinity/,
       fn -> Exosuit.call(host, "echo", "op", "", timeout: :infinity) end},
      {~r/expected :execution to be one of/,
       fn -> Exosuit.call(host, "echo", "op", "", execution: :later) end}
    ]

    for {message, mistake} <- mistakes, do: assert_raise(ArgumentError, message, mistake)
    assert Exosuit.whereis(host, "echo") == echo
  end

  test "code without its tag is named, and not shown" do
    host = start_supervised_host!()
    wasm = File.read!(Guests.path("echo"))

    error = assert_raise ArgumentError, fn -> Exosuit.start_actor(host, wasm, id: "a") end

    assert error.message ==
             "expected the actor as a path or {:bytes, wasm}, got the bytes themselves"

    error = assert_raise ArgumentError, fn -> Exosuit.update_actor(host, "a", {:wasm, wasm}) end
    assert error.message =~ "expected the actor as a path or {:bytes, wasm}, got: {:wasm, <<0, 97"
    assert byte_size(error.message) < 300
  end

  test "what is no Wasm is no module, and nothing of it is told" do
    host = start_supervised_host!(unsigned: :deny)
    :ok = Exosuit.subscribe(host)
    secret = Path.join(tmp_dir!(), "shadow")
    File.write!(secret, "root:$6$x:19000:0:99999:7:::")

    assert {:error, %Error{reason: :invalid_module} = error} = Exosuit.start_actor(host, secret)
    assert_receive {:exosuit_event, %{type: "actor_start_failed", data: %{error: told}}}

    for text <- [Exception.message(error), told] do
      assert text =~ "this is not a wasm module or component: expected it to begin with the bytes"
      refute text =~ "root" or text =~ "0x72" or text =~ "\n"
    end
  end

  test "a host may trust nobody where actors without a token may run" do
    host = start_supervised_host!(trusted_issuers: [], unsigned: :allow, actors: [echo: "echo"])
    assert {:ok, "hi"} = Exosuit.call(host, "echo", "op", "hi")

    {signed, _keys} = Guests.sign(tmp_dir!(), "echo")
    assert {:error, %Error{reason: :invalid_claims}} = Exosuit.start_actor(host, signed)

    assert_raise ArgumentError, ~r/with neither, no actor may run/, fn ->
      Exosuit.start_link(name: :nobody, trusted_issuers: [], unsigned: :deny)
    end
  end

  test "a name is one host's" do
    host = start_supervised_host!()

    assert {:error, {:already_started, _pid}} =
             Exosuit.start_link(name: host, trusted_issuers: :any)
  end

  test "a host tells of its start and of its end" do
    {:ok, _owner} = Registry.register(Exosuit.Registry, {:claimed, :told}, nil)
    :ok = Exosuit.subscribe(:told)
    start_supervised!({Exosuit, name: :told, trusted_issuers: :any, labels: %{"zone" => "home"}})
    assert_receive {:exosuit_event, %{type: "host_started", data: data, source: "N" <> _}}
    assert %{labels: %{"zone" => "home"}, version: _} = data
    stop_supervised!(:told)
    assert_receive {:exosuit_event, %{type: "host_stopped"}}
  end

  defp spin(host, timeout), do: Exosuit.call(host, "faults", "spin", "", timeout: timeout)

  defp waits_for_answer?(pid), do: Process.info(pid, :status) == {:status, :waiting}
end
