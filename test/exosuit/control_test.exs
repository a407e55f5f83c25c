defmodule Exosuit.ControlTest do
  # The socket as a client meets it that does not know how to behave.
  use Exosuit.HostCase, async: true

  alias Exosuit.{Control, Json}

  setup do
    dir = Path.join(tmp_dir!(), "data")
    %{host: start_supervised_host!(data_dir: dir, actors: [echo: "echo"]), dir: dir}
  end

  test "only its owner can open it, and it goes with its host", it do
    assert mode(it.dir) == 0o700
    assert mode(Control.path(it.dir)) == 0o600
    stop_supervised!(it.host)
    refute File.exists?(Control.path(it.dir))
  end

  test "a directory made by hand is closed to others, but not one that is for all", it do
    for {before, later} <- [{0o755, 0o700}, {0o1777, 0o1777}] do
      dir = tmp_dir!()
      {_output, 0} = System.cmd("chmod", [Integer.to_string(before, 8), dir])
      start_supervised_host!(data_dir: dir)
      assert mode(dir) == later
      assert mode(Control.path(dir)) == 0o600
    end

    assert mode(it.dir) == 0o700
  end

  test "a second host on the same directory is refused, and the first goes on", it do
    options = [name: :second_of_two, trusted_issuers: :any, data_dir: it.dir]
    assert {:error, {reason, _child}} = start_supervised({Exosuit, options})
    assert inspect(reason) =~ "another host runs on"
    assert %{"ok" => _inventory} = ask(it.dir, "inventory")
  end

  test "what a dead host left is replaced; a file that is no socket is left alone" do
    dir = tmp_dir!()
    path = Control.path(dir)
    {:ok, left} = :gen_tcp.listen(0, ifaddr: {:local, path})
    :gen_tcp.close(left)
    assert {:error, :econnrefused} = :gen_tcp.connect({:local, path}, 0, [])
    start_supervised_host!(data_dir: dir)
    assert %{"ok" => %{"actors" => []}} = ask(dir, "inventory")

    other = tmp_dir!()
    File.write!(Control.path(other), "precious")
    host = start_supervised_host!(data_dir: other, actors: [echo: "echo"])
    assert File.read!(Control.path(other)) == "precious"
    assert {:ok, "x"} = Exosuit.call(host, "echo", "op", "x")
  end

  test "a directory whose name is too long for a socket is no obstacle to the host" do
    dir = Path.join(tmp_dir!(), String.duplicate("x", 120))
    host = start_supervised_host!(data_dir: dir, actors: [echo: "echo"])
    assert {:ok, "x"} = Exosuit.call(host, "echo", "op", "x")
  end

  test "no data directory, no socket" do
    host = start_supervised_host!()
    assert [] = Registry.lookup(Exosuit.Registry, {host, Control.Listener})
  end

  test "when its processes are killed, it opens again", it do
    [{listener, _value}] = Registry.lookup(Exosuit.Registry, {it.host, Control.Listener})
    kill(listener)
    eventually(fn -> serves?(it.dir) end)
  end

  test "actors and providers are stopped by their public keys as well", it do
    {wasm, keys} = Guests.sign(tmp_dir!(), "echo", rev: 1)
    {:ok, "mine"} = Exosuit.start_actor(it.host, wasm, id: "mine")
    {:ok, "kv"} = Exosuit.start_provider(it.host, "keyvalue", id: "kv")
    {:ok, %{public_key: provider}} = Exosuit.fetch_provider(it.host, "kv")
    actor = keys.subject["public_key"]

    for {command, key} <- [{"actor.stop", actor}, {"provider.stop", provider}] do
      assert %{"ok" => none} = ask(it.dir, command, %{id: key})
      assert none == %{}
      assert %{"error" => %{"code" => "not_found"}} = ask(it.dir, command, %{id: key})
    end

    assert {:error, _gone} = Exosuit.fetch_actor(it.host, "mine")
    assert {:error, _gone} = Exosuit.fetch_provider(it.host, "kv")
  end

  test "garbage is answered, and the next line is served", it do
    client = connect(it.dir)

    for {garbage, code} <- [
          {"no json", "invalid_input"},
          {<<255, 254>>, "invalid_input"},
          {"[]", "invalid_input"},
          {String.duplicate("[", 100_000), "invalid_input"},
          {~s({"v":2,"command":"inventory"}), "invalid_input"},
          {~s({"v":1,"command":"fly"}), "unknown_operation"}
        ] do
      :ok = :gen_tcp.send(client, garbage <> "\n")
      assert %{"v" => 1, "id" => nil, "error" => %{"code" => ^code}} = answer(client)
    end

    assert %{"ok" => _} = ask_again(client, "inventory")
  end

  test "commands in one piece are answered in their order, each under its id", it do
    client = connect(it.dir)
    lines = for id <- 1..20, do: [request("inventory", %{}, id), ?\n]
    :ok = :gen_tcp.send(client, lines)
    for id <- 1..20, do: assert(%{"id" => ^id, "ok" => _} = answer(client))
  end

  test "a line that does not end is refused, and so is its client", it do
    client = connect(it.dir)
    sender = Task.async(fn -> :gen_tcp.send(client, String.duplicate("x", 25 * 1024 * 1024)) end)
    assert %{"error" => %{"detail" => detail}} = answer(client)
    assert detail =~ "a line has more than"
    assert {:error, _closed} = :gen_tcp.recv(client, 0, 10_000)
    Task.await(sender)
    assert %{"ok" => _} = ask(it.dir, "inventory")
  end

  test "one client too many is told so; when one goes, there is room", it do
    clients = for _n <- 1..32, do: connect(it.dir)
    for client <- clients, do: assert(%{"ok" => _} = ask_again(client, "inventory"))
    surplus = connect(it.dir)
    assert %{"error" => %{"code" => "overloaded"}} = answer(surplus)
    :gen_tcp.close(hd(clients))
    eventually(fn -> serves?(it.dir) end)
  end

  test "a client that follows and does not read harms nobody", it do
    client = connect(it.dir)
    assert %{"ok" => %{"following" => true}} = ask_again(client, "events")
    [{_id, connection, _type, _modules}] = connections(it.host)
    monitor = Process.monitor(connection)

    # Each is an event of some kilobytes, which it never reads.
    operation = String.duplicate("x", 4_000)
    for _n <- 1..8_000, do: Exosuit.call(it.host, "nobody", operation, "")
    assert {:ok, "x"} = Exosuit.call(it.host, "echo", "op", "x")
    assert %{"ok" => _} = ask(it.dir, "inventory")
    assert_receive {:DOWN, ^monitor, :process, _pid, _reason}, 30_000
  end

  test "what a client sends while its commands run waits in the socket", it do
    start_actor!(it.host, "faults", "faults", instances: 1)
    client = connect(it.dir)
    assert %{"ok" => _} = ask_again(client, "inventory")
    [{_id, connection, _type, _modules}] = connections(it.host)
    lines = for id <- 1..20, do: [request("inventory", %{}, id), ?\n]
    spin = %{"actor" => "faults", "operation" => "spin", "timeout_ms" => 60_000}
    flood = String.duplicate("\n", 4_000_000)

    sender =
      Task.async(fn -> :gen_tcp.send(client, [lines, request("call", spin), ?\n, flood]) end)

    for id <- 1..20, do: assert(%{"id" => ^id, "ok" => _} = answer(client))

    call = eventually(fn -> awaited(it.host, connection) end)
    {:messages, messages} = Process.info(connection, :messages)
    assert Enum.count(messages, &match?({:tcp, _socket, _data}, &1)) <= 1

    kill(call)
    assert %{"error" => %{"code" => "internal"}} = answer(client)
    assert :ok = Task.await(sender)
    assert %{"ok" => _} = ask_again(client, "inventory")
  end

  test "a call ends with the client that made it", it do
    start_actor!(it.host, "faults", "faults", instances: 1)
    client = connect(it.dir)
    call = %{"actor" => "faults", "operation" => "spin", "timeout_ms" => 60_000}
    :ok = :gen_tcp.send(client, [request("call", call), ?\n])

    eventually(fn ->
      Task.Supervisor.children(Exosuit.Directory.via(it.host, :control_commands)) != []
    end)

    :gen_tcp.close(client)

    # There is room for one call only.
    assert {:ok, "x"} = Exosuit.call(it.host, "faults", "echo", "x", timeout: 20_000)
  end

  test "commands of clients that left are so many at the most", it do
    commands = Exosuit.Directory.via(it.host, :control_commands)
    wait = fn -> Task.Supervisor.start_child(commands, fn -> receive do: (:end -> :ok) end) end
    [{:ok, task} | _] = Enum.take_while(Stream.repeatedly(wait), &match?({:ok, _task}, &1))

    client = connect(it.dir)
    assert %{"error" => %{"code" => "overloaded"} = error} = ask_again(client, "inventory")
    assert error["detail"] =~ "too many commands"
    kill(task)
    assert %{"ok" => _inventory} = ask_again(client, "inventory")
  end

  # The process of the command that a connection waits for, and not the supervisor that it asks for one.
  defp awaited(host, connection) do
    commands = Task.Supervisor.children(Exosuit.Directory.via(host, :control_commands))

    case Process.info(connection, :monitors) do
      {:monitors, [process: command]} -> if command in commands, do: command
      _none -> nil
    end
  end

  defp connections(host) do
    {:via, _, _} = name = Exosuit.Directory.via(host, :control_connections)
    DynamicSupervisor.which_children(name)
  end

  defp mode(path), do: Bitwise.band(File.stat!(path).mode, 0o7777)

  defp connect(dir) do
    path = {:local, Control.path(dir)}
    options = [:binary, active: false, packet: :line, buffer: 1_000_000]
    {:ok, client} = :gen_tcp.connect(path, 0, options)
    client
  end

  # Whether a client that comes now is answered, be it that the socket is about to close.
  defp serves?(dir) do
    options = [:binary, active: false, packet: :line, buffer: 1_000_000]

    with {:ok, client} <- :gen_tcp.connect({:local, Control.path(dir)}, 0, options),
         :ok <- :gen_tcp.send(client, [request("inventory", %{}), ?\n]),
         {:ok, answer} <- :gen_tcp.recv(client, 0, 10_000),
         do: answer =~ ~s("ok"),
         else: (_not_yet -> false)
  end

  defp ask(dir, command, arguments \\ %{}) do
    client = connect(dir)
    answer = ask_again(client, command, arguments)
    :gen_tcp.close(client)
    answer
  end

  defp ask_again(client, command, arguments \\ %{}) do
    :ok = :gen_tcp.send(client, [request(command, arguments), ?\n])
    answer(client)
  end

  defp request(command, arguments, id \\ 1) do
    {:ok, json} = Json.encode(%{v: 1, id: id, command: command, arguments: arguments})
    json
  end

  defp answer(client) do
    {:ok, line} = :gen_tcp.recv(client, 0, 30_000)
    {:ok, answer} = Json.decode(line)
    answer
  end
end
