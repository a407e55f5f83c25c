defmodule Exosuit.Lattice.ApplicationTest do
  # Applications on the hosts of a lattice: several of them in one VM, over a real server.
  use Exosuit.HostCase, async: true

  alias Exosuit.{App, Directory, Nats}

  @moduletag timeout: 180_000

  setup do
    {:ok, {_public_key, seed}} = Exosuit.Claims.generate_key("cluster")
    dir = tmp_dir!()
    {signed, keys} = Guests.sign(dir, "echo")
    File.rename!(signed, Path.join(dir, "app.wasm"))
    manifest = Path.join(dir, "app.yaml")
    File.write!(manifest, worker_manifest())
    server = Nats.start!()
    options = Nats.options(server, cluster_seed: seed)
    %{dir: dir, keys: keys, manifest: manifest, server: server, nats: options}
  end

  test "each host runs its share, also of what only a host can be told, and a lost share moves",
       it do
    File.write!(it.manifest, worker_manifest() <> settings("UTC"))
    one = host!(it)
    two = lost_host!(it)

    # Applied on one host, from files that the other does not read.
    assert {:ok, _steps, []} = Exosuit.apply_manifest(one, it.manifest)
    assert await_running(two)
    assert Enum.sort(counts([one, two])) == [2, 2]
    assert {:ok, %{warm: %{pool: 4}, grants: grants}} = Exosuit.fetch_actor(two, "app-worker")
    assert grants.environment == ["TZ"]

    # A host that comes gets its share, one that is lost leaves it to the others.
    three = host!(it)
    assert await_running(three)
    assert eventually(fn -> Enum.sort(counts([one, two, three])) == [1, 1, 2] end)
    kill_host(two)
    assert eventually(fn -> Enum.sort(counts([one, three])) == [2, 2] end)
    assert await_running(one)

    assert {:ok, _steps} = Exosuit.delete_app(three, "app")
    assert eventually(fn -> counts([one, three]) == [0, 0] end)
  end

  test "a new version rolls over the hosts, and one that fails is rolled back on all", it do
    File.write!(it.manifest, worker_manifest() <> settings("UTC"))
    hosts = [one, two] = [host!(it), host!(it)]
    {:ok, _steps, []} = Exosuit.apply_manifest(one, it.manifest)
    assert await_running(one)

    {second, _keys} =
      Guests.sign(it.dir, "second", subject: it.keys.subject, issuer: it.keys.issuer)

    File.rename!(second, Path.join(it.dir, "app.wasm"))
    assert {:ok, %{version: 2}} = App.apply(two, it.manifest)

    assert eventually(fn ->
             match?({:ok, %{version: 2, status: :running}}, App.status(one, "app"))
           end)

    for host <- hosts, do: assert({:ok, "second"} = Exosuit.call(host, "app-worker", "op", ""))

    File.write!(Path.join(it.dir, "app.wasm"), "no Wasm")
    assert {:ok, %{version: 3}} = App.apply(one, it.manifest)

    assert eventually(fn ->
             match?(
               {:ok, %{version: 2, status: :running, failed: [%{version: 3}]}},
               App.status(two, "app")
             )
           end)

    for host <- hosts, do: assert({:ok, "second"} = Exosuit.call(host, "app-worker", "op", ""))
  end

  test "a host that starts while the lattice is away serves its last share", it do
    data = tmp_dir!()
    one = host!(it, data_dir: data)
    {:ok, _steps, []} = Exosuit.apply_manifest(one, it.manifest)
    assert await_running(one)
    :ok = stop_supervised!(one)
    File.rm_rf!(it.dir)
    Nats.kill(it.server)

    one = host!(it, data_dir: data)
    assert eventually(fn -> match?({:ok, "hi"}, Exosuit.call(one, "app-worker", "op", "hi")) end)
  end

  test "two applies at once: the later wins, and none is lost without a word", it do
    hosts = [one, _two] = [host!(it), host!(it)]
    labelled = fn label -> String.replace(worker_manifest(), "v0.0.1", label) end

    results =
      for {host, n} <- Enum.with_index(hosts ++ hosts) do
        path = Path.join(it.dir, "app-#{n}.yaml")
        File.write!(path, labelled.("v#{n}"))
        Task.async(fn -> App.apply(host, path) end)
      end
      |> Task.await_many(60_000)

    versions = for {:ok, stored} <- results, do: stored.version
    assert Enum.sort(versions) == [1, 2, 3, 4]
    assert {:ok, %{version: 4, versions: [_, _, _, _]}} = App.history(one, "app")
  end

  test "without a server it is an error, told of soon", it do
    options = [servers: ["nats://127.0.0.1:#{free_port()}"], connect_timeout: 500]
    host = start_supervised_host!(nats: options)
    assert {:error, [%{severity: :error, text: text}]} = Exosuit.apply_manifest(host, it.manifest)
    assert text =~ "lattice"
    assert {:error, %Error{reason: :unavailable}} = Exosuit.delete_app(host, "app")
  end

  test "a manifest of the options stays wanted if its application cannot be deleted", it do
    server = Nats.absent!()
    nats = Nats.options(server, connect_timeout: 500)
    host = start_supervised_host!(nats: nats, manifests: [it.manifest])
    assert {:ok, "hi"} = Exosuit.call(host, "app-worker", "op", "hi")
    assert {:error, %Error{reason: :unavailable}} = Exosuit.delete_app(host, "app")

    Nats.restart!(server)
    assert await_running(host)
    assert {:ok, _steps} = Exosuit.delete_app(host, "app")
    assert {:error, %Error{reason: :not_found}} = App.status(host, "app")
  end

  defp host!(it, options \\ []), do: start_supervised_host!([nats: it.nats] ++ options)

  defp settings(zone) do
    """
          traits:
            - type: spreadscaler
              properties: {instances: 4}
            - type: exosuit
              properties:
                limits: {queue: 7, log: 5}
                grants: {environment: {TZ: #{zone}}}
                instances: warm
    """
  end

  defp counts(hosts) do
    for host <- hosts do
      case Exosuit.fetch_actor(host, "app-worker") do
        {:ok, %{status: :running, instances: instances}} -> instances
        _absent -> 0
      end
    end
  end

  defp await_running(host) do
    eventually(fn -> match?({:ok, %{status: :running}}, App.status(host, "app")) end)
  end

  # One that nobody starts again.
  defp lost_host!(it) do
    Process.flag(:trap_exit, true)

    {:ok, _host} =
      Exosuit.start_link(name: __MODULE__, trusted_issuers: :any, unsigned: :allow, nats: it.nats)

    __MODULE__
  end

  # As a host whose machine has lost its power: it says nothing any more.
  defp kill_host(host), do: kill(GenServer.whereis(Directory.via(host, :host)))
end
