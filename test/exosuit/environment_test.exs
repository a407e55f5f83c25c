defmodule Exosuit.EnvironmentTest do
  use ExUnit.Case, async: true

  alias Exosuit.{Config, Environment}

  @key "A" <> String.duplicate("B", 55)

  test "every variable has its place" do
    assert {:ok, [exosuit: exosuit, logger: [level: :warning]]} =
             Environment.read(%{
               "EXOSUIT_TRUST" => "#{@key},#{@key}",
               "EXOSUIT_UNSIGNED" => "allow",
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

    assert {:error, [key]} = Environment.read(%{"EXOSUIT_TRUST" => "#{@key},M123"})
    assert key =~ ~s(got: "M123")

    assert {:error, [seed]} = Environment.read(%{"EXOSUIT_TRUST" => "SAAVERYSECRETSEED"})
    refute seed =~ "SECRET"
  end
end
