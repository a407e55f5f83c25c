defmodule Exosuit.StopTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.Host.Facts

  defp await_end(host) do
    [{pid, _value}] = Registry.lookup(Exosuit.Registry, {host, Exosuit})
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
      receive do: ({:EXIT, ^pid, :shutdown} -> :ok)
    end)

    assert_receive :started, 10_000
    assert await_end(:stopped_by_hand) == :shutdown
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
