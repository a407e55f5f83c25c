defmodule Exosuit.Up.WatchTest do
  # The end of a host, as `exosuit up` sees it: one that gave up, one that was killed, one that was stopped.
  use Exosuit.HostCase, async: true

  alias Exosuit.Directory
  alias Exosuit.Up.Watch

  setup do
    Process.flag(:trap_exit, true)
    # Not of the test's supervisor, which would start it again.
    name = :"Elixir.Exosuit.Up.WatchTest.Host#{System.unique_integer([:positive])}"
    options = [name: name, trusted_issuers: :any, unsigned: :allow]
    {:ok, host} = Exosuit.start_link(options)
    watch = Task.async(fn -> Watch.await(host) end)
    # It watches the host and all of its children.
    eventually(fn -> length(watched(watch.pid)) == 1 + length(Supervisor.which_children(host)) end)

    %{name: name, host: host, watch: watch}
  end

  for {child, role} <- [
        {Exosuit.Edge, nil},
        {Exosuit.Drain, nil},
        {Exosuit.Directory.Nameplate, nil},
        # Its own supervisor gives up again and again.
        {Exosuit.Host, Exosuit.Host.Reconciler}
      ] do
    test "a host that gives up names the child that it gave up: #{inspect(child)}", it do
      reason = if unquote(role), do: "shutdown", else: "killed"
      fall(it, unquote(child), unquote(role))
      assert {:fell, why} = Task.await(it.watch, 30_000)
      assert why == "#{inspect(unquote(child))} ended too often, last with: #{reason}"
    end
  end

  test "a host that is killed as a whole fell as well, and one that is stopped did not", it do
    kill(it.host)
    assert {:fell, "killed"} = Task.await(it.watch, 30_000)
    # A host of its name may start now.
    {:ok, host} = Exosuit.start_link(name: it.name, trusted_issuers: :any)
    watch = Task.async(fn -> Watch.await(host) end)
    eventually(fn -> watched(watch.pid) != [] end)
    :ok = Exosuit.Host.Shutdown.end_host(host)
    assert :stopped = Task.await(watch, 30_000)
  end

  # Kills the child, or what makes it fall, until the host has ended.
  defp fall(it, child, role) do
    monitor = Process.monitor(it.host)
    fall(it, child, role, monitor)
  end

  defp fall(it, child, role, monitor) do
    with victim when is_pid(victim) <- victim(it, child, role), do: kill(victim)

    receive do
      {:DOWN, ^monitor, :process, _host, reason} -> assert reason == :shutdown
    after
      0 -> fall(it, child, role, monitor)
    end
  end

  defp victim(it, child, nil) do
    with {_id, pid, _type, _modules} <-
           it.host |> Supervisor.which_children() |> List.keyfind(child, 0),
         do: pid
  catch
    :exit, _ended -> nil
  end

  defp victim(it, _child, role), do: GenServer.whereis(Directory.via(it.name, role))

  defp watched(pid) do
    {:monitors, monitors} = Process.info(pid, :monitors)
    monitors
  end
end
