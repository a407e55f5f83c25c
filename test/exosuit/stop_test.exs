defmodule Exosuit.StopTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.Host.Facts

  defp await_end(host) do
    pid = GenServer.whereis(Exosuit.Directory.via(host, :host))
    monitor = Process.monitor(pid)
    assert :ok = Exosuit.stop(host)
    assert_receive {:DOWN, ^monitor, :process, ^pid, reason}, 30_000
    reason
  end

  test "a host that was stopped stays stopped, and says so last" do
    host = start_supervised_host!(actors: [echo: "echo"])
    :ok = Exosuit.subscribe(host)
    assert await_end(host) == :shutdown
    assert_receive {:exosuit_event, %{type: "host_stopped"}}
    # Its supervisor has nothing more to do with it.
    assert_raise ArgumentError, fn -> Exosuit.facts(host) end
  end

  test "one that nobody supervises ends as well" do
    options = [name: :stopped_by_hand, trusted_issuers: :any]
    test = self()

    spawn_link(fn ->
      Process.flag(:trap_exit, true)
      {:ok, pid} = Exosuit.start_link(options)
      send(test, :started)
      receive do: ({:EXIT, ^pid, {:shutdown, :stopped}} -> :ok)
    end)

    assert_receive :started, 10_000
    assert await_end(:stopped_by_hand) == {:shutdown, :stopped}
  end

  test "while a host drains it refuses commands that it would not carry out, and says why" do
    dir = tmp_dir!()
    host = start_supervised_host!(actors: [faults: "faults"], data_dir: dir)
    running = Task.async(fn -> Exosuit.call(host, "faults", "spin", "", timeout: 3_000) end)
    eventually(fn -> Process.info(running.pid, :status) == {:status, :waiting} end)
    client = connect(dir)
    assert ask(client, "inventory", %{}) =~ ~s("ok":)
    :ok = Exosuit.stop(host)
    eventually(fn -> Exosuit.stopping?(host) end)

    for {command, arguments} <- [
          {"actor.start", %{path: Guests.path("echo"), id: "new"}},
          {"actor.scale", %{id: "faults", instances: 2}},
          {"provider.start", %{name: "keyvalue"}},
          {"link.put", %{source: "a", target: "b", contract: "c:d"}},
          {"apply", %{manifest: Path.join(dir, "app.yaml")}}
        ] do
      answer = ask(client, command, arguments)
      assert answer =~ "the host is stopping: it takes no more commands"
      assert answer =~ ~s("code":"unavailable")
    end

    assert ask(client, "inventory", %{}) =~ ~s("ok":)
    assert {:error, %Error{reason: :deadline}} = Task.await(running)
  end

  defp connect(dir) do
    path = Exosuit.Control.path(dir)
    {:ok, socket} = :gen_tcp.connect({:local, path}, 0, [:binary, active: false, packet: :line])
    :ok = :inet.setopts(socket, recbuf: 1_000_000, buffer: 1_000_000)
    socket
  end

  defp ask(socket, command, arguments) do
    {:ok, line} = Exosuit.Json.encode(%{v: 1, id: 1, command: command, arguments: arguments})
    :ok = :gen_tcp.send(socket, [line, "\n"])
    {:ok, answer} = :gen_tcp.recv(socket, 0, 10_000)
    answer
  end

  test "how long a host has been up, for people" do
    assert Facts.duration(0) == "0 seconds"
    assert Facts.duration(61) == "1 minute, 1 second"
    assert Facts.duration(2 * 86_400 + 3_600 + 2) == "2 days, 1 hour, 2 seconds"
  end

  test "a host has a name for people, and a version that is one" do
    host = start_supervised_host!()
    facts = Exosuit.facts(host)
    assert facts.friendly_name =~ ~r/\A[a-z]+-[a-z]+-\d{4}\z/
    assert {:ok, _version} = Version.parse(facts.version)
  end
end
