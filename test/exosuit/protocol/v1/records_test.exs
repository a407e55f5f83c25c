defmodule Exosuit.Protocol.V1.RecordsTest do
  use ExUnit.Case, async: true

  alias Exosuit.{Error, Json}
  alias Exosuit.Model.Link
  alias Exosuit.Protocol.V1.Records

  @link %Link{
    source: "a",
    target: "kv",
    namespace: "wasi",
    package: "keyvalue",
    interfaces: ["store"]
  }

  test "a record keeps its other fields, and links that nobody here can read" do
    strange = %{source_id: "a", target: "b", future: true}
    {:ok, old} = Json.encode(%{url: "file://x", more: 1, links: [strange]})

    {:ok, with_link} = Records.encode(old, [], [@link])
    assert {:ok, [@link], [%Error{reason: :invalid_input}]} = Records.decode("a", with_link)

    {:ok, without} = Records.encode(with_link, [@link], [])
    assert {:ok, same} = Json.decode(without)
    assert {:ok, ^same} = Json.decode(old)
  end

  test "a new record has the links alone" do
    {:ok, record} = Records.encode(nil, [], [@link])
    assert {:ok, [@link], []} = Records.decode("a", record)
    assert {:ok, [], [%Error{}]} = Records.decode("another", record)
  end

  test "what is no record is refused" do
    for record <- ["", "[]", "{", "\xFF", ~s({"links": 1}), String.duplicate("[", 100_000)] do
      assert {:error, %Error{}} = Records.decode("a", record)
    end
  end

  test "configurations are names that the store takes" do
    for {name, links} <-
          [{"a", 1}, {"a.b", 1}, {"a/b=c", 1}, {"", 0}, {".a", 0}, {"a.", 0}] ++
            [{"*", 0}, {"a b", 0}, {"é", 0}] do
      {:ok, record} = Records.encode(nil, [], [%{@link | target_configs: [name]}])
      assert {:ok, read, _errors} = Records.decode("a", record)
      assert length(read) == links, name
    end
  end
end
