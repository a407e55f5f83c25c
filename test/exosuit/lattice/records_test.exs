defmodule Exosuit.Lattice.RecordsTest do
  use ExUnit.Case, async: true

  alias Exosuit.Error
  alias Exosuit.Lattice.Records
  alias Exosuit.Model.Link
  alias Exosuit.Protocol.{Otp, V1}

  doctest Records

  @old %Link{source: "Mbob", target: "V", namespace: "wasmcloud", package: "testy"}
  @new %Link{
    source: "a",
    target: "kv",
    namespace: "wasi",
    package: "keyvalue",
    interfaces: ["store"]
  }

  test "a link is in one of two records" do
    assert {"LINKDEF_" <> _, "COMPONENT_Mbob"} = {old, new} = Records.places(Link.key(@old))

    {:ok, record} = Otp.Records.encode(@old)
    assert {:ok, [@old], []} = Records.read_links(old, record)
    {:ok, record} = V1.Records.encode(nil, [], [@old])
    assert {:ok, [@old], []} = Records.read_links(new, record)
    assert {:ok, [], []} = Records.read_links(old, nil)
  end

  test "what is no record of links is an error, and what is about something else is not" do
    assert {:error, %Error{}} = Records.read_links("COMPONENT_a", "[]")
    assert {:error, %Error{}} = Records.read_links("LINKDEF_x", "[]")
    assert :other = Records.read_links("CLAIMS_M", "{}")
  end

  test "configuration without a name gets one that is its link's alone" do
    link = %{@new | source_config: %{"a" => "1"}, target_config: %{"a" => "1"}}
    assert {named, configurations} = Records.name_configurations(link)

    assert [["exosuit-" <> _] = source, ["exosuit-" <> _] = target] = [
             named.source_configs,
             named.target_configs
           ]

    assert source != target
    assert configurations == %{hd(source) => %{"a" => "1"}, hd(target) => %{"a" => "1"}}
    assert Records.own_configurations(named) == source ++ target

    assert {^named, ^configurations} = Records.name_configurations(link)
    {other, _} = Records.name_configurations(%{link | name: "other"})
    assert other.target_configs != target

    given = %{@new | target_configs: ["theirs"], target_config: %{"of" => "it"}}
    assert {^given, none} = Records.name_configurations(given)
    assert none == %{}
  end

  test "a configuration is an object of texts" do
    assert {:ok, %{"a" => "b"}} = Records.read_configuration(~s({"a": "b"}))

    for value <- ["", "[]", ~s({"a": 1})],
        do: assert({:error, _} = Records.read_configuration(value))
  end
end
