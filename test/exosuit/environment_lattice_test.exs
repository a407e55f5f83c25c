defmodule Exosuit.Environment.LatticeTest do
  use ExUnit.Case, async: true

  alias Exosuit.Config
  alias Exosuit.Environment.Lattice

  @seed "SUAIBDPBAUTWCWBKIO6XHQNINK5FWJW4OHLXC3HQ2KFE4PEJUA44CNHTC4"

  test "without a word of NATS, a host is a lattice by itself" do
    assert [labels: %{}] = Lattice.read(%{"PATH" => "/bin"})
  end

  test "one address does for both connections" do
    options = Lattice.read(%{"EXOSUIT_LATTICE" => "nats://a:4222, nats://b:4222"})
    nats = Config.Nats.new!(options[:nats])
    assert nats.control.servers == {:env, "EXOSUIT_LATTICE"}
    assert nats.rpc == nats.control
  end

  test "the old names say the same of each connection" do
    options =
      Lattice.read(%{
        "WASMCLOUD_LATTICE_PREFIX" => "home",
        "WASMCLOUD_CTL_HOST" => "control",
        "WASMCLOUD_CTL_PORT" => "4333",
        "WASMCLOUD_CTL_TLS" => "true",
        "WASMCLOUD_RPC_HOST" => "calls",
        "WASMCLOUD_RPC_SEED" => @seed,
        "WASMCLOUD_JS_DOMAIN" => "leaf",
        "WASMCLOUD_CTL_TOPIC_PREFIX" => "my.ctl",
        "WASMCLOUD_ALLOW_FILE_LOAD" => "yes",
        "WASMCLOUD_RPC_TIMEOUT_MS" => "1500",
        "EXOSUIT_HTTP_PORTS" => "8080=9080, 80=8000",
        "EXOSUIT_WADM_API" => "true",
        "HOST_ZONE" => "garage",
        "HOST_CONFIG" => "/etc/host.json",
        "WASMCLOUD_LABEL_tier" => "edge"
      })

    assert options[:lattice] == "home"
    assert options[:allow_file_load]
    assert options[:call_timeout] == 1_500
    assert options[:wadm_api] == true
    assert options[:http_ports] == %{8080 => 9080, 80 => 8000}
    assert options[:labels] == %{"zone" => "garage", "tier" => "edge"}
    nats = Config.Nats.new!(options[:nats])
    assert %{servers: ["control:4333"], tls: true, seed: nil} = nats.control
    assert %{servers: ["calls"], tls: false, seed: {:env, "WASMCLOUD_RPC_SEED"}} = nats.rpc
    assert %{domain: "leaf", prefix: "my.ctl"} = nats
  end

  test "a variable that looks like a secret makes no label, as its warning says" do
    for name <- ["HOST_API_TOKEN", "WASMCLOUD_LABEL_API_TOKEN"] do
      env = %{name => "secret-value"}
      assert [warning] = Exosuit.Environment.warnings(env, :release)
      assert warning =~ "it makes no label"
      assert Lattice.read(env)[:labels] == %{}
    end
  end

  test "the limits of buckets are read" do
    options =
      Lattice.read(%{
        "EXOSUIT_LATTICE" => "nats://a",
        "EXOSUIT_JETSTREAM_REPLICAS" => "3",
        "EXOSUIT_JETSTREAM_MAX_BYTES" => "1048576"
      })

    assert %{replicas: 3, state_max_bytes: 1_048_576} = Config.Nats.new!(options[:nats])
  end

  test "the limits of buckets are bounded where they are given" do
    assert %{replicas: 3, state_max_bytes: 1_024} =
             Config.Nats.new!(replicas: 3, state_max_bytes: 1_024)

    for {key, values} <- [
          replicas: [0, 6, -1, 1.0, "3", nil],
          state_max_bytes: [0, -1, 0x8000000000000000, 1.0, "1m"]
        ],
        value <- values do
      assert_raise ArgumentError, ~r/expected :#{key} to be/, fn ->
        Config.Nats.new!([{key, value}])
      end
    end
  end

  test "the variables of 1.x name one server, and each connection may have its own" do
    env = %{
      "WASMCLOUD_LATTICE" => "home",
      "WASMCLOUD_NATS_HOST" => "nats",
      "WASMCLOUD_NATS_PORT" => "4333",
      "WASMCLOUD_NATS_SEED" => @seed,
      "WASMCLOUD_NATS_JWT" => "both",
      "WASMCLOUD_RPC_JWT" => "calls",
      "WASMCLOUD_CTL_TLS_FIRST" => "true",
      "WASMCLOUD_HEARTBEAT_INTERVAL" => "10"
    }

    options = Lattice.read(env)
    assert options[:lattice] == "home"
    nats = Config.Nats.new!(options[:nats])
    assert %{servers: ["nats:4333"], seed: seed, jwt: jwt, tls_first: true} = nats.control
    assert {seed, jwt} == {{:env, "WASMCLOUD_NATS_SEED"}, {:env, "WASMCLOUD_NATS_JWT"}}
    assert %{servers: ["nats:4333"], seed: ^seed, jwt: jwt, tls_first: false} = nats.rpc
    assert jwt == {:env, "WASMCLOUD_RPC_JWT"}
    assert nats.heartbeat_interval == 10_000

    options =
      Lattice.read(%{"WASMCLOUD_NATS_PORT" => "4222", "WASMCLOUD_NATS_CREDS" => "/a.creds"})

    nats = Config.Nats.new!(options[:nats])
    assert %{servers: ["127.0.0.1:4222"], credentials: "/a.creds"} = nats.control
    assert nats.rpc == nats.control

    env = Map.put(env, "WASMCLOUD_LATTICE_PREFIX", "other")
    assert {:mistake, text} = Lattice.read(env)[:lattice]
    assert text =~ "name two lattices"
  end

  test "the seed of the cluster may stand in a file" do
    seed = "SC" <> String.duplicate("A", 56)
    file = Path.join(System.tmp_dir!(), "exosuit-seed-#{System.unique_integer([:positive])}")
    on_exit(fn -> File.rm(file) end)

    read = fn value ->
      Lattice.read(%{"EXOSUIT_LATTICE" => "nats://a", "EXOSUIT_CLUSTER_SEED" => value})[:nats][
        :cluster_seed
      ]
    end

    assert read.(seed) == {:env, "EXOSUIT_CLUSTER_SEED"}
    {:ok, {public_key, generated}} = Exosuit.Claims.generate_key("cluster")

    for content <- [generated <> "\n", ~s({"public_key":"#{public_key}","seed":"#{generated}"})] do
      File.write!(file, content)
      assert {:file, ^file} = read.(file)
      {:ok, secret} = Exosuit.Secret.new({:file, file})
      assert {:ok, ^public_key} = Exosuit.Secret.public_key(secret, "cluster")
    end

    assert {:mistake, text} = read.("/no/such/file")
    assert text =~ "no such file"
    refute text =~ "/no/such"
  end

  test "an address with a password is for a variable that is known to hold one" do
    assert {:mistake, text} =
             Lattice.read(%{"WASMCLOUD_NATS_HOST" => "nats://user:passphrase@nats"})[:nats]

    assert text =~ "WASMCLOUD_NATS_HOST"
    assert text =~ "EXOSUIT_LATTICE"
    refute text =~ "passphrase"
  end

  test "what cannot be is told, and no secret shown" do
    assert {:mistake, text} = Lattice.read(%{"WASMCLOUD_RPC_TIMEOUT_MS" => "soon"})[:call_timeout]

    assert text =~ "WASMCLOUD_RPC_TIMEOUT_MS"
    assert {:mistake, text} = Lattice.read(%{"EXOSUIT_HTTP_PORTS" => "8080=0"})[:http_ports]
    assert text =~ "8080=0"

    options =
      Lattice.read(%{"EXOSUIT_LATTICE" => "nats://a", "WASMCLOUD_CLUSTER_SEED" => "secret"})

    assert {:mistake, text} = options[:nats][:cluster_seed]
    assert text =~ "WASMCLOUD_CLUSTER_SEED"
    refute text =~ ~s("secret")
    error = assert_raise ArgumentError, fn -> Config.Nats.new!(cluster_seed: "secret") end
    assert error.message =~ ":cluster_seed"
    refute error.message =~ ~s("secret")
    refute inspect(Config.Nats.new!(seed: @seed)) =~ @seed
  end
end
