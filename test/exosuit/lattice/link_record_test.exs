defmodule Exosuit.Lattice.LinkRecordTest do
  use ExUnit.Case, async: true

  alias Exosuit.{Error, Json}
  alias Exosuit.Lattice.{LinkRecord, Records}
  alias Exosuit.Model.Link

  doctest LinkRecord

  @link %Link{
    source: "a",
    target: "kv",
    namespace: "wasi",
    package: "keyvalue",
    interfaces: ["store"],
    source_config: %{"a" => "1"},
    target_configs: ["db"]
  }

  test "gives back what it was given, in the place of the key" do
    "LINK_" <> _ = key = LinkRecord.key(Link.key(@link))
    {:ok, record} = LinkRecord.encode([@link])
    assert Records.read_links(key, record) == {:ok, [@link], []}
  end

  test "has no application, and of a configuration with names these alone" do
    link = %{@link | app: "shop", outlives: true, target_config: %{"bucket" => "b"}}
    assert LinkRecord.stored(link) == @link
  end

  test "what is no link is an error, and takes no other link with it" do
    {:ok, record} = LinkRecord.encode([@link])
    {:ok, %{"links" => [fields]}} = Json.decode(record)

    for wrong <- [
          %{fields | "source_values" => %{"a" => 1}},
          %{fields | "target" => "no id"},
          Map.delete(fields, "target_values"),
          "text"
        ] do
      {:ok, record} = Json.encode(%{links: [wrong, fields]})
      assert {:ok, [@link], [%Error{reason: :invalid_input}]} = LinkRecord.decode(record)
    end

    for record <- ["", "[]", "{}", ~s({"links":1})],
        do: {:error, %Error{}} = LinkRecord.decode(record)
  end
end
