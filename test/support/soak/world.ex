defmodule Exosuit.Soak.World do
  @moduledoc """
  Two hosts in one lattice, and what runs on each of them:

  | id | what | HTTP port | keeps its count |
  |---|---|---|---|
  | `counter` | the actor of examples/counter | 8080 | on JetStream, for both hosts |
  | `ping`, `pong` | the actors of examples/pingpong | 8081 | – |
  | `web` | the component of examples/counter | 8082 | on JetStream, for both hosts |
  | `ledger-N` | the counter again, on host N alone | 8082 + N | in a file, on a small disk |
  | `mayfly-N` | a test guest whose token expires, on host N alone | – | – |

  `deploy!/1` may be called again and again: it starts and links what is not there.
  """

  alias Exosuit.{Guests, HostCase, Nats}

  @examples Path.expand("../../../examples", __DIR__)

  @enforce_keys [:nats, :dir, :hosts, :keys]
  defstruct [:nats, :dir, :hosts, :keys]

  @type host :: %{name: atom(), number: pos_integer(), ports: map(), disk: Path.t()}
  @type t :: %__MODULE__{}

  # Bytes of the disk that a host's files are on: full with a ballast of a few MiB.
  @disk "24m"

  @doc "Starts the servers and the hosts, and deploys to both."
  @spec start!() :: t()
  def start! do
    dir = HostCase.tmp_dir!()
    {:ok, {_key, seed}} = Exosuit.Claims.generate_key("cluster")
    [mayfly, ledger] = for _ <- 1..2, do: Guests.key("module")
    keys = %{issuer: Guests.key("account"), mayfly: mayfly, ledger: ledger, cluster: seed}
    world = %__MODULE__{nats: Nats.start!(), dir: dir, keys: keys, hosts: []}
    world = %{world | hosts: for(number <- 1..2, do: start_host!(world, number))}
    Enum.each(world.hosts, &deploy!(world, &1))
    world
  end

  @doc "Starts and links on a host what is not there. Raises where something does not come about."
  @spec deploy!(t(), host()) :: :ok
  def deploy!(world, %{name: name, number: number} = host) do
    for {id, code} <- actors(world, number), do: start_actor(name, id, code)
    for {id, options} <- providers(number), do: start_provider(name, id, options)
    for link <- links(number), do: :ok = Exosuit.put_link(name, link)
    renew_mayfly!(world, host, 3_600)
  end

  @doc "What a host answers by HTTP: `{app, port, path}`."
  @spec services(host()) :: [{String.t(), :inet.port_number(), String.t()}]
  def services(%{number: number, ports: ports}) do
    [
      {"counter", ports[8080], "/counter"},
      {"ping", ports[8081], "/here"},
      {"web", ports[8082], "/web"},
      {"ledger-#{number}", ports[8082 + number], "/ledger"}
    ]
  end

  @doc "Gives the mayfly of a host a token that holds for so many seconds from now."
  @spec renew_mayfly!(t(), host(), pos_integer()) :: :ok
  def renew_mayfly!(world, %{name: name, number: number}, seconds) do
    code = mayfly(world, seconds)

    case Exosuit.start_actor(name, code, id: "mayfly-#{number}", instances: 8) do
      {:ok, _id} ->
        :ok

      {:error, _there} ->
        :ok = Exosuit.update_actor(name, "mayfly-#{number}", code, force: true)
    end
  end

  defp mayfly(world, seconds) do
    {signed, _keys} =
      Guests.sign(world.dir, "echo",
        issuer: world.keys.issuer,
        subject: world.keys.mayfly,
        arguments: ["--expires-in", "#{seconds}s"]
      )

    {:bytes, File.read!(signed)}
  end

  defp start_host!(world, number) do
    disk = mount!(Path.join(world.dir, "disk-#{number}"))
    ports = Map.new(8080..8084, &{&1, HostCase.free_port()})

    name =
      HostCase.start_supervised_host!(
        data_dir: disk,
        http_ports: ports,
        nats: Nats.options(world.nats, cluster_seed: world.keys.cluster)
      )

    %{name: name, number: number, ports: ports, disk: disk}
  end

  defp mount!(path) do
    File.mkdir_p!(path)
    {_output, 0} = System.cmd("mount", ["-t", "tmpfs", "-o", "size=#{@disk}", "tmpfs", path])
    ExUnit.Callbacks.on_exit(fn -> System.cmd("umount", ["--lazy", path]) end)
    path
  end

  defp actors(world, number) do
    [
      {"counter", example("counter/counter_s.wasm")},
      {"ping", example("pingpong/ping_s.wasm")},
      {"pong", example("pingpong/pong_s.wasm")},
      {"web", example("counter/counter_component_s.wasm")},
      {"ledger-#{number}", ledger(world)}
    ]
  end

  defp ledger(world) do
    counter = example("counter/counter_s.wasm")
    caps = ["wasmcloud:httpserver", "wasmcloud:keyvalue"]
    # The same keys at every start: a lattice keeps the claims of every key.
    keys = [issuer: world.keys.issuer, subject: world.keys.ledger]
    {signed, _keys} = Guests.sign(world.dir, "ledger", [wasm: counter, caps: caps] ++ keys)
    signed
  end

  defp example(path), do: Path.join(@examples, path)

  defp start_actor(name, id, code) do
    case Exosuit.fetch_actor(name, id) do
      {:ok, _there} -> :ok
      {:error, _absent} -> {:ok, _id} = Exosuit.start_actor(name, code, id: id, instances: 8)
    end
  end

  defp providers(number) do
    [
      {"http", reference: "http-server"},
      {"kv", reference: "keyvalue"},
      {"disk-#{number}", reference: "keyvalue", config: %{"backend" => "file"}}
    ]
  end

  defp start_provider(name, id, [{:reference, reference} | options]) do
    case Exosuit.fetch_provider(name, id) do
      {:ok, _there} ->
        :ok

      {:error, _absent} ->
        {:ok, _id} = Exosuit.start_provider(name, reference, [id: id] ++ options)
    end
  end

  defp links(number) do
    [
      serves("counter", 8080),
      serves("ping", 8081),
      [
        source: "http",
        target: "web",
        contract: "wasi:http",
        interfaces: ["incoming-handler"],
        source_config: %{"address" => "127.0.0.1:8082"}
      ],
      serves("ledger-#{number}", 8082 + number),
      [source: "counter", target: "kv", contract: "wasmcloud:keyvalue"],
      [
        source: "web",
        target: "kv",
        contract: "wasi:keyvalue",
        interfaces: ["store", "atomics"]
      ],
      [source: "ledger-#{number}", target: "disk-#{number}", contract: "wasmcloud:keyvalue"]
    ]
  end

  @doc "The link by which an actor is served on a port."
  @spec serves(String.t(), :inet.port_number(), map()) :: keyword()
  def serves(actor, port, more \\ %{}) do
    values = Map.merge(%{"address" => "127.0.0.1:#{port}"}, more)
    [source: actor, target: "http", contract: "wasmcloud:httpserver", target_config: values]
  end
end
