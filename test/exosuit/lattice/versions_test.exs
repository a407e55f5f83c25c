defmodule Exosuit.Lattice.VersionsTest do
  # Versions of an application on three hosts, each a process of its own, over a real server and under HTTP load. They
  # are applied by the command line alone, from files that no host can read, by a machine that is no host.
  use Exosuit.HostCase, async: true

  import Exosuit.Program

  alias Exosuit.{Http, Json, Nats, Proxy}

  @moduletag timeout: 600_000

  # As long as a loaded machine needs.
  @timeout 120_000

  setup do
    {:ok, {_public_key, seed}} = Exosuit.Claims.generate_key("cluster")
    dir = tmp_dir!()
    {signed, _keys} = Guests.sign(dir, "web", wasm: Guests.component("web"), caps: caps())
    File.rename!(signed, Path.join(dir, "web.wasm"))
    nats = Nats.start!()
    %{dir: dir, nats: nats, proxy: Proxy.start!(nats.port), seed: seed}
  end

  test "roll over the hosts without a failed request, wait for nobody, and come back if they fail",
       it do
    hosts = [one, two, three] = start_hosts!(it)
    assert {0, _output} = apply!(it, "1")
    for host <- hosts, do: await_version(host, "1")
    clients = for host <- hosts, do: client(host)

    # A new version.
    assert {0, _output} = apply!(it, "2")
    for host <- hosts, do: await_version(host, "2")

    # One host is cut off from the others, and serves what it has; it follows when it is back.
    :ok = Proxy.cut(it.proxy)
    assert {0, _output} = apply!(it, "3")
    for host <- [one, two], do: await_version(host, "3")
    assert version(three) == "2"
    :ok = Proxy.heal(it.proxy)
    await_version(three, "3")

    # A version that is broken.
    File.write!(Path.join(it.dir, "web.wasm"), "no Wasm")
    assert {1, output} = apply!(it, "4")
    assert output =~ "version 4 of web failed, and version 3 is deployed again"
    assert await_status(it, fn app -> app["version"] == 3 and app["status"] == "running" end)
    for host <- hosts, do: assert(version(host) == "3")
    assert [] == Enum.flat_map(clients, &finish/1)

    # A host that starts while the server is away serves what it served before.
    Nats.kill(it.nats)
    :ok = kill_program(three.program)
    await_version(start_host!(it, three), "3")
    assert version(one) == "3"
  end

  defp start_hosts!(it) do
    direct = Nats.url(it.nats)
    behind = "nats://127.0.0.1:#{Proxy.port(it.proxy)}"

    [direct, direct, behind]
    |> Enum.map(&%{url: &1, port: free_port(), data_dir: tmp_dir!()})
    |> Enum.map(&start_host!(it, &1))
    |> Enum.map(&ready/1)
  end

  defp start_host!(it, host) do
    arguments =
      ["--lattice", host.url, "--http-port", "8080=#{host.port}", "--data-dir", host.data_dir] ++
        ["--trust", "any"]

    environment = [{~c"EXOSUIT_CLUSTER_SEED", String.to_charlist(it.seed)}]
    Map.put(host, :program, kill_on_exit(up!(arguments, env: environment)))
  end

  defp ready(host) do
    await_text(host.program, ~r/^connected to the lattice|\(control connection\): connected/m)
    host
  end

  defp apply!(it, version) do
    manifest = Path.join(it.dir, "app.yaml")
    File.write!(manifest, manifest(version))
    exosuit(it, ["apply", manifest, "--timeout", "100s"])
  end

  defp exosuit(it, arguments) do
    arguments = arguments ++ ["--lattice", Nats.url(it.nats)]
    environment = [{"EXOSUIT_CLUSTER_SEED", it.seed}]

    {output, status} =
      System.cmd(Guests.command(), arguments, stderr_to_stdout: true, env: environment, cd: it.dir)

    {status, output}
  end

  defp await_status(it, fun) do
    eventually(fn ->
      with {0, json} <- exosuit(it, ["app", "status", "web", "--json"]),
           {:ok, app} <- Json.decode(json),
           do: fun.(app),
           else: (_not_now -> false)
    end)
  end

  defp await_version(host, version) do
    assert eventually(fn -> version(host) == version end), "expected version #{version}"
  end

  defp version(host) do
    case Http.request(host.port, "GET", "/config?key=version") do
      {200, version} -> version
      other -> other
    end
  end

  # Asks until it is told to stop, and keeps what failed.
  defp client(host), do: Task.async(fn -> ask(host, []) end)

  defp ask(host, failures) do
    receive do
      :stop -> failures
    after
      0 ->
        case Http.request(host.port, "GET", "/hello") do
          {200, _body} -> ask(host, failures)
          failure -> ask(host, Enum.take([failure | failures], 10))
        end
    end
  end

  defp finish(task) do
    send(task.pid, :stop)
    Task.await(task, @timeout)
  end

  defp caps, do: ~w(wasi:http wasi:config wasi:keyvalue wasi:logging)

  defp manifest(version) do
    """
    apiVersion: core.oam.dev/v1beta1
    kind: Application
    metadata:
      name: web
      annotations:
        version: v#{version}
    spec:
      components:
        - name: web
          type: component
          properties:
            image: web.wasm
            config:
              - name: settings
                properties: {version: "#{version}"}
          traits:
            - type: spreadscaler
              properties: {instances: 12}
        - name: httpserver
          type: capability
          properties:
            image: wasmcloud+builtin://http-server
          traits:
            - type: link
              properties:
                namespace: wasi
                package: http
                interfaces: [incoming-handler]
                source:
                  config:
                    - name: web-http
                      properties: {address: "127.0.0.1:8080"}
                target: {name: web}
    """
  end
end
