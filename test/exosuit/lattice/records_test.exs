defmodule Exosuit.Lattice.RecordsTest do
  use ExUnit.Case, async: true

  alias Exosuit.{Error, Json}
  alias Exosuit.Lattice.Records
  alias Exosuit.Model.Link

  @old %Link{source: "Mbob", target: "V", namespace: "wasmcloud", package: "testy"}
  @new %Link{
    source: "a",
    target: "kv",
    namespace: "wasi",
    package: "keyvalue",
    interfaces: ["store"]
  }

  test "a link of the OTP era is called as the peers call it" do
    assert {"LINKDEF_B40411AD09B70A2C83D59923584F66BA2C5A3C274DC4F19416DA49CCD6531F9C",
            "COMPONENT_Mbob"} = Records.places(Link.key(@old))
  end

  test "what the OTP era can have is written so that it can" do
    link = %{@old | target_config: %{"URL" => "x"}}
    assert Records.definition?(link)
    {place, _other} = Records.places(Link.key(link))
    {:ok, record} = Records.write_definition(link)

    assert {:ok, fields} = Json.decode(record)
    assert fields["id"] == String.replace_prefix(place, "LINKDEF_", "")
    assert fields["values"] == %{"URL" => "x"}
    assert {:ok, [^link], []} = Records.read_links(place, record)
  end

  test "what it cannot is not" do
    for more <- [[interfaces: ["store"]], [source_config: %{"a" => "b"}], [target_configs: ["c"]]] do
      refute Records.definition?(struct!(@old, more))
    end
  end

  test "a definition may lack what follows, and a link of another contract has colons" do
    {:ok, record} =
      Json.encode(%{actor_id: "M", provider_id: "V", contract_id: "wasmcloud:builtin:logging"})

    assert {:ok, [%Link{name: "default", package: "builtin:logging", target_config: none}], []} =
             Records.read_links("LINKDEF_x", record)

    assert none == %{}
  end

  test "a component keeps what else is said of it, and links that nobody here can read" do
    strange = %{source_id: "a", target: "b", future: true}
    {:ok, old} = Json.encode(%{url: "file://x", more: 1, links: [strange]})

    {:ok, with_link} = Records.write_component(old, [], [@new])

    assert {:ok, [@new], [%Error{reason: :invalid_input}]} =
             Records.read_links("COMPONENT_a", with_link)

    {:ok, without} = Records.write_component(with_link, [@new], [])
    assert {:ok, same} = Json.decode(without)
    assert {:ok, ^same} = Json.decode(old)
  end

  test "what is no record of links is an error, and what is about something else is not" do
    for value <- ["", "[]", "{", "\xFF", ~s({"links": 1})] do
      assert {:error, %Error{}} = Records.read_links("COMPONENT_a", value)
    end

    for change <- [%{actor_id: "a.b"}, %{contract_id: "x"}, %{values: %{a: 1}}, %{link_name: "*"}] do
      fields = %{actor_id: "M", provider_id: "V", contract_id: "a:b", values: %{}}
      {:ok, record} = Json.encode(Map.merge(fields, change))
      assert {:error, %Error{reason: :invalid_input}} = Records.read_links("LINKDEF_x", record)
    end

    assert :other = Records.read_links("CLAIMS_M", "{}")
    assert {:error, %Error{}} = Records.read_links("COMPONENT_a", String.duplicate("[", 100_000))
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

  test "a configuration is an object of texts, under a name that the store takes" do
    assert {:ok, %{"a" => "b"}} = Records.read_configuration(~s({"a": "b"}))

    for value <- ["", "[]", ~s({"a": 1})],
        do: assert({:error, _} = Records.read_configuration(value))

    for name <- ["a", "a.b", "a/b=c"], do: assert(Records.configuration_name?(name))
    for name <- ["", ".a", "a.", "*", "a b", "é"], do: refute(Records.configuration_name?(name))
  end
end
