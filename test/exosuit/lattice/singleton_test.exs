defmodule Exosuit.Lattice.SingletonTest do
  # A singleton on the hosts of a lattice, over a real server: it runs on one of them, whatever happens to it.
  use Exosuit.HostCase, async: true

  alias Exosuit.{App, Directory, Nats}

  @moduletag timeout: 300_000

  @traits """
        traits:
          - type: spreadscaler
            properties: {instances: 4}
          - type: exosuit
            properties: {singleton: true}
  """

  setup do
    {:ok, {_public_key, seed}} = Exosuit.Claims.generate_key("cluster")
    server = Nats.start!()
    nats = Nats.options(server, cluster_seed: seed)
    %{manifest: echo_manifest!(@traits), server: server, nats: nats}
  end

  test "runs on one host, and on the other when the first stops or is lost", it do
    hosts = [host!(it), host!(it)]
    {:ok, %{version: 1}} = App.apply(hd(hosts), it.manifest)
    holder = await_holder(hosts)
    [other] = hosts -- [holder]
    assert {:ok, %{instances: 4}} = Exosuit.fetch_actor(holder, "app-echo")
    assert await_running(other)

    assert {:ok, %{components: [component]}} = App.status(other, "app")
    assert %{singleton: true, holder: name, hosts: [%{running: 4} = host]} = component
    assert name in [host.host_name, host.host]

    :ok = stop(holder)
    assert await_holder([other]) == other

    third = host!(it)
    holder = await_holder([other, third])
    [left] = [other, third] -- [holder]
    :ok = kill_host(holder)
    assert await_holder([left]) == left
  end

  test "ends when the store is away, and comes back with it", it do
    host = host!(it)
    {:ok, %{version: 1}} = App.apply(host, it.manifest)
    assert await_holder([host]) == host

    Nats.kill(it.server)
    assert eventually(fn -> not runs?(host) end)
    assert eventually(fn -> missing(host) =~ "the lattice cannot be reached" end)

    Nats.restart!(it.server)
    assert await_holder([host]) == host
  end

  # Never on two at once, however long it takes.
  defp await_holder(hosts) do
    assert eventually(fn ->
             running = Enum.filter(hosts, &runs?/1)
             assert length(running) <= 1
             running != []
           end)

    Enum.find(hosts, &runs?/1)
  end

  defp runs?(host), do: match?({:ok, %{status: :running}}, Exosuit.fetch_actor(host, "app-echo"))

  defp missing(host) do
    {:ok, %{missing: missing}} = App.status(host, "app")
    Enum.join(missing, "; ")
  end

  defp await_running(host) do
    eventually(fn -> match?({:ok, %{status: :running}}, App.status(host, "app")) end)
  end

  # Nobody starts it again.
  defp host!(it) do
    Process.flag(:trap_exit, true)
    name = Module.concat(__MODULE__, "Host#{System.unique_integer([:positive])}")

    {:ok, _host} =
      Exosuit.start_link(name: name, trusted_issuers: :any, unsigned: :allow, nats: it.nats)

    name
  end

  defp stop(host), do: Supervisor.stop(GenServer.whereis(Directory.via(host, :host)))
  defp kill_host(host), do: kill(GenServer.whereis(Directory.via(host, :host)))
end
