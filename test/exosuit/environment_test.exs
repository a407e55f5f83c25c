defmodule Exosuit.EnvironmentTest do
  use ExUnit.Case, async: true

  alias Exosuit.{Config, Environment}
  alias Exosuit.Environment.Variables

  @key "A" <> String.duplicate("B", 55)

  test "every variable has its place" do
    assert {:ok, [exosuit: exosuit, logger: [level: :warning]]} =
             Environment.read(%{
               "EXOSUIT_TRUST" => "#{@key},#{@key}",
               "EXOSUIT_UNSIGNED" => "allow",
               "EXOSUIT_LINKS" => "strict",
               "EXOSUIT_LABELS" => "zone=home,size=a=b",
               "EXOSUIT_DATA_DIR" => "/data",
               "EXOSUIT_CACHE_DIR" => "/cache",
               "EXOSUIT_MANIFESTS" => "/a.yaml:/b/c.yaml",
               "EXOSUIT_LOG_LEVEL" => "warning"
             })

    assert exosuit[:manifests] == ["/a.yaml", "/b/c.yaml"]
    assert exosuit[:cache_dir] == "/cache"

    assert %Config{
             trusted_issuers: [@key, @key],
             unsigned: :allow,
             links: :strict,
             labels: %{"zone" => "home", "size" => "a=b"},
             data_dir: "/data"
           } = Config.new!([name: :released] ++ exosuit[:host])
  end

  test "only trust has to be said" do
    assert {:ok, [exosuit: exosuit, logger: [level: :info]]} =
             Environment.read(%{"EXOSUIT_TRUST" => "any", "EXOSUIT_DATA_DIR" => ""})

    assert exosuit[:manifests] == []
    refute Keyword.has_key?(exosuit, :cache_dir)

    assert %Config{trusted_issuers: :any, unsigned: :deny, labels: labels, data_dir: nil} =
             Config.new!([name: :released] ++ exosuit[:host])

    assert Map.keys(labels) == ~w(hostcore.arch hostcore.os hostcore.osfamily)
  end

  test "the engine has limits of its own" do
    assert {:ok, [exosuit: exosuit, logger: _level]} =
             Environment.read(%{
               "EXOSUIT_TRUST" => "any",
               "EXOSUIT_POOL_SLOTS" => "50",
               "EXOSUIT_ACTOR_SHARE" => "10",
               "EXOSUIT_MODULE_BYTES" => "",
               "EXOSUIT_CORE_INSTANCES" => "2000"
             })

    assert exosuit[:engine] == [pool_slots: 50, actor_share: 10, core_instances: 2_000]

    for {name, value, expected} <- [
          {"EXOSUIT_POOL_SLOTS", "many", "an integer"},
          {"EXOSUIT_POOL_SLOTS", "-1", "an integer from 0 to 15000"},
          {"EXOSUIT_POOL_SLOTS", "18446744073709551616", "an integer from 0 to 15000"},
          {"EXOSUIT_ACTOR_SHARE", "0", "an integer from 1 to 100"},
          {"EXOSUIT_ACTOR_SHARE", "101", "an integer from 1 to 100"},
          {"EXOSUIT_MODULE_BYTES", "1.5", "an integer"},
          {"EXOSUIT_TABLES", "0", "an integer from 1 to 100000"}
        ] do
      assert {:error, [mistake]} = Environment.read(%{"EXOSUIT_TRUST" => "any", name => value})
      assert mistake == "expected #{name} to be #{expected}, got: #{inspect(value)}"
    end
  end

  test "all mistakes are told at once" do
    assert {:error, [trust, unsigned, labels, level]} =
             Environment.read(%{
               "EXOSUIT_UNSIGNED" => "yes",
               "EXOSUIT_LABELS" => "zone",
               "EXOSUIT_LOG_LEVEL" => "loud"
             })

    assert trust =~ "EXOSUIT_TRUST must say whose actors may run"
    assert unsigned =~ ~s(EXOSUIT_UNSIGNED to be `allow` or `deny`, got: "yes")
    assert labels =~ ~s(got: "zone")
    assert level =~ ~s(got: "loud")

    assert {:error, [number]} =
             Environment.read(%{"EXOSUIT_TRUST" => "any", "WASMCLOUD_MAX_LINEAR_MEMORY" => "0"})

    assert number =~ "WASMCLOUD_MAX_LINEAR_MEMORY to be a number of bytes from 1 to"
    assert {:error, [key]} = Environment.read(%{"EXOSUIT_TRUST" => "#{@key},M123"})
    assert key =~ ~s(got: "M123")

    assert {:error, [seed]} = Environment.read(%{"EXOSUIT_TRUST" => "SAAVERYSECRETSEED"})
    refute seed =~ "SECRET"
  end

  test "what concerns safety and is not supported keeps a host from starting" do
    for variable <-
          ~w(WASMCLOUD_POLICY_TOPIC WASMCLOUD_POLICY_CHANGES_TOPIC_default) ++
            ~w(WASMCLOUD_SECRETS_TOPIC) do
      assert {:error, [text]} = Environment.read(%{"EXOSUIT_TRUST" => "any", variable => "a.b"})
      assert text =~ "#{variable} is set: a "
      assert text =~ "is not supported yet"
      assert text =~ "unset it"
      assert {:ok, _read} = Environment.read(%{"EXOSUIT_TRUST" => "any", variable => ""})
    end
  end

  test "what has no effect is named, with what stands for it here" do
    for {variable, text} <- [
          {"WASMCLOUD_OCI_ALLOW_LATEST", "has no effect here: registries are not supported yet"},
          {"WASMCLOUD_STRUCTURED_LOG_LEVEL", "set `EXOSUIT_LOG_LEVEL` instead"},
          {"OTEL_EXPORTER_OTLP_ENDPOINT", "it exports no OpenTelemetry"},
          {"WASMCLOUD_LATTICE", "this host is one by itself; name them with EXOSUIT_LATTICE"},
          {"WASMCLOUD_NATS_JWT", "nothing says where the NATS servers of the lattice are"},
          {"EXOSUIT_LATICE", "is not known and has no effect; did you mean EXOSUIT_LATTICE?"},
          {"WASMCLOUD_NEWER_THAN_THIS", "is not known and has no effect"},
          {"HOST_DB_PASSWORD",
           "looks like a secret, and every host of the lattice can read labels"},
          {"HOST_NATS_CREDS", "looks like a secret"},
          {"HOST_DB_PWD", "looks like a secret"}
        ] do
      assert [warning] = Environment.warnings(%{variable => "secret-value"}, :release)
      assert warning =~ variable
      assert warning =~ text
      refute warning =~ "secret-value"
    end

    assert [] =
             Environment.warnings(
               %{"PATH" => "/bin", "HOST_ZONE" => "a", "EXOSUIT_UP" => "{}"},
               :up
             )

    assert [manifests] = Environment.warnings(%{"EXOSUIT_MANIFESTS" => "a.yaml"}, :up)
    assert manifests =~ "`exosuit up` takes manifests as arguments"
    assert [] = Environment.warnings(%{"EXOSUIT_MANIFESTS" => "a.yaml"}, :release)
  end

  test "a flag says true or false, and a slip is told" do
    read = &Environment.read(%{"EXOSUIT_TRUST" => "any", "WASMCLOUD_ALLOW_FILE_LOAD" => &1})

    for {word, flag} <- [{"1", true}, {"YES", true}, {"on", true}, {"0", false}, {"no", false}] do
      assert {:ok, [exosuit: exosuit, logger: _]} = read.(word)
      assert exosuit[:host][:allow_file_load] == flag
    end

    assert {:error, [slip]} = read.("ture")
    assert slip =~ ~s(expected WASMCLOUD_ALLOW_FILE_LOAD to be `true` or `false`, got: "ture")
  end

  test "the levels of other hosts have their names here" do
    for {word, level} <- [{"trace", :debug}, {"warn", :warning}, {"INFO", :info}] do
      assert {:ok, [exosuit: _, logger: [level: ^level]]} =
               Environment.read(%{"EXOSUIT_TRUST" => "any", "WASMCLOUD_LOG_LEVEL" => word})
    end
  end

  test "the guide has the table" do
    assert File.read!("guides/release.md") =~ Variables.docs()
  end
end
