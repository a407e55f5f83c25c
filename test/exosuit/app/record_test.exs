defmodule Exosuit.App.RecordTest do
  use ExUnit.Case, async: true

  alias Exosuit.App.Record
  alias Exosuit.Model.Digest
  alias Exosuit.{Error, Json}

  doctest Record

  defp applied(code, changes \\ []) do
    digest = Digest.of(code)

    Map.merge(
      %{model: digest, manifest: digest, objects: [digest], at: 1, by: "me"},
      Map.new(changes)
    )
  end

  defp record(codes) do
    {:ok, record} = Record.new("shop", applied(hd(codes)))

    Enum.reduce(tl(codes), record, fn code, record ->
      {:ok, record} = Record.apply_version(record, applied(code))
      record
    end)
  end

  test "each apply is a version of its own, which should run, and counts an edition" do
    record = record(~w(a b c))
    assert Enum.map(record.versions, & &1.version) == [1, 2, 3]
    assert {record.version, record.edition, record.state} == {3, 3, :deployed}
  end

  test "an apply of what should run anyway changes nothing, unless it was undeployed" do
    record = record(~w(a b))
    assert Record.apply_version(record, applied("b", at: 9)) == :unchanged
    assert {:ok, %{version: 3}} = Record.apply_version(record, applied("a"))
    assert {:ok, deployed} = record |> Record.undeploy() |> Record.apply_version(applied("b"))
    assert {deployed.state, deployed.version} == {:deployed, 3}
  end

  test "at most 16 versions are kept, and fewer if they have many files" do
    record = record(for n <- 1..20, do: "#{n}")
    assert Enum.map(record.versions, & &1.version) == Enum.to_list(5..20)

    many = for n <- 1..256, do: Digest.of("#{n}")
    {:ok, record} = Record.apply_version(record, applied("x", objects: many))
    {:ok, record} = Record.apply_version(record, applied("y", objects: many))
    {:ok, record} = Record.apply_version(record, applied("z", objects: many))
    assert Enum.map(record.versions, & &1.version) == [22, 23]
    assert {:ok, text} = Record.encode(record)
    assert byte_size(text) <= 65_536
  end

  test "a rollback passes over versions that failed" do
    record = record(~w(a b c))
    assert {:ok, failed} = Record.fail(record, 3, "it trapped")
    assert {failed.version, Record.fetch(failed, 3).failed} == {2, "it trapped"}
    assert {:ok, record} = Record.apply_version(failed, applied("d"))
    assert {:ok, %{version: 2} = record} = Record.rollback(record)
    assert {:ok, %{version: 4} = record} = Record.deploy(record)
    assert {:ok, failed} = Record.fail(record, 4, "it trapped")
    assert {:ok, %{version: 2}} = Record.deploy(failed)
  end

  test "only the version that should run can fail, and only if there is an older one" do
    record = record(~w(a b))
    assert {:error, %Error{reason: :conflict}} = Record.fail(record, 1, "no")
    assert {:error, %Error{reason: :conflict}} = Record.fail(Record.undeploy(record), 2, "no")
    assert {:error, %Error{reason: :not_found}} = Record.fail(record(~w(a)), 1, "no")
  end

  test "a failed version is deployed by its number alone, and counts as good then" do
    {:ok, failed} = Record.fail(record(~w(a b)), 2, "no")
    assert {:ok, %{version: 1}} = Record.deploy(failed)
    assert {:ok, deployed} = Record.deploy(failed, 2)
    assert {deployed.version, Record.fetch(deployed, 2).failed} == {2, nil}
    assert {:error, %Error{reason: :not_found}} = Record.deploy(failed, 7)
    # A later apply of a failed version is a version of its own.
    assert {:ok, %{version: 3}} = Record.apply_version(failed, applied("b"))
  end

  test "what is encoded is decoded to the same" do
    {:ok, record} =
      Record.new("shop", applied("a", label: "ä"), origin: "/d", annotations: %{"k" => "v"})

    {:ok, record} = Record.apply_version(record, applied("b"))
    {:ok, record} = Record.fail(record, 2, "it trapped")

    for record <- [record, Record.undeploy(record)] do
      assert {:ok, text} = Record.encode(record)
      assert Record.decode("shop", text) == {:ok, record}
      assert {:error, %Error{reason: :invalid_input}} = Record.decode("other", text)
    end
  end

  test "a newer schema is told as such, whatever else the record holds" do
    {:ok, text} = Json.encode(%{schema: 2, anything: true})
    assert Record.decode("shop", text) == {:newer, 2}
  end

  test "no text crashes it, and what it accepts can be written again" do
    {:ok, good} = Record.encode(record(~w(a b)))
    assert {:error, %Error{}} = Record.decode("shop", "")
    assert {:error, %Error{}} = Record.decode("shop", <<255, 0>>)
    assert {:error, %Error{reason: :limit}} = Record.decode("shop", String.duplicate(" ", 65_537))

    {:ok, fields} = Json.decode(good)
    odd = [nil, -1, 0, 1.5, "x", [], [1], %{}, %{"a" => 1}, true, 1_000]

    for key <- Map.keys(fields), value <- odd do
      {:ok, text} = Json.encode(Map.put(fields, key, value))
      check(Record.decode("shop", text))
    end

    for key <- Map.keys(hd(fields["versions"])), value <- odd do
      versions = Enum.map(fields["versions"], &Map.put(&1, key, value))
      {:ok, text} = Json.encode(%{fields | "versions" => versions})
      check(Record.decode("shop", text))
    end
  end

  defp check({:ok, record}), do: assert({:ok, _text} = Record.encode(record))
  defp check({:newer, schema}), do: assert(schema > 1)
  defp check({:error, error}), do: assert(%Error{} = error)

  test "bad names and versions are refused" do
    for name <- ["", "a.b", "a b", String.duplicate("a", 256), nil, "ä"] do
      assert {:error, %Error{reason: :invalid_input}} = Record.new(name, applied("a"))
    end

    for bad <- [[model: "sha256:x"], [objects: ["x"]], [at: -1], [by: nil], [label: <<255>>]] do
      assert {:error, %Error{reason: :invalid_input}} = Record.new("shop", applied("a", bad))
      assert {:error, %Error{}} = Record.apply_version(record(~w(a)), applied("b", bad))
    end
  end

  test "of two, the higher edition wins; what a restored store was given later is not lost" do
    old = record(~w(a))
    {:ok, mine} = Record.apply_version(old, applied("b", at: 10))
    {:ok, mine} = Record.apply_version(mine, applied("c", at: 20))
    assert Record.merge(mine, old) == mine
    assert Record.merge(old, mine) == mine

    {:ok, restored} = Record.apply_version(old, applied("d", at: 30))
    merged = Record.merge(mine, restored)
    assert merged == Record.merge(restored, mine)
    assert Enum.map(merged.versions, & &1.version) == [1, 2, 3, 4]
    assert Record.current(merged).model == Digest.of("d")
    assert merged.edition > mine.edition
    # Once it is written, there is nothing left to do.
    assert Record.merge(mine, merged) == merged
    assert Record.merge(restored, merged) == merged
  end

  test "a version may be stored without being deployed; a rollback passes over it" do
    {:ok, record} = Record.store_version(record(~w(a)), applied("b"))
    assert {record.state, record.version, Record.newest(record)} == {:deployed, 1, 2}
    assert record.origin == nil
    {:ok, record} = Record.apply_version(record, applied("c"))
    assert {record.version, Record.previous(record).version} == {3, 1}
    assert {:ok, %{version: 2} = record} = Record.deploy(record, 2)
    assert Record.fetch(record, 2).deployed
    assert Record.previous(record).version == 1

    {:ok, stored} = Record.new("shop", applied("a"), state: :undeployed)
    assert {stored.state, stored.version} == {:undeployed, 1}
    assert {:ok, %{state: :deployed, version: 1}} = Record.deploy(stored)
  end

  test "the version that should run stays, however many are stored beside it" do
    record =
      Enum.reduce(1..20, record(~w(a)), fn n, record ->
        {:ok, record} = Record.store_version(record, applied("#{n}"))
        record
      end)

    assert Enum.map(record.versions, & &1.version) == [1 | Enum.to_list(7..21)]
    assert {record.state, record.version} == {:deployed, 1}
  end

  test "a deleted version is forgotten; without the version that should run, nothing runs" do
    record = record(~w(a b c))
    assert {:ok, %{state: :deployed, version: 3} = record} = Record.delete_version(record, 1)
    assert {:ok, %{state: :undeployed, version: 2} = record} = Record.delete_version(record, 3)
    assert {:error, %Error{reason: :not_found}} = Record.delete_version(record, 3)
    assert Record.delete_version(record, 2) == :last
  end

  test "what the versions of a restored store lack is added as it was: stored or deployed" do
    {:ok, mine} = Record.apply_version(record(~w(a)), applied("b", at: 10))
    {:ok, mine} = Record.apply_version(mine, applied("c", at: 20))
    {:ok, restored} = Record.store_version(record(~w(a)), applied("d", at: 30))
    merged = Record.merge(mine, restored)
    assert merged == Record.merge(restored, mine)
    assert {merged.state, merged.version, Record.newest(merged)} == {:deployed, 3, 4}
    assert Record.merge(restored, merged) == merged
  end

  test "a record of an older Exosuit is read: all of its versions were deployed" do
    {:ok, text} = Record.encode(record(~w(a b)))
    {:ok, json} = Exosuit.Json.decode(text)

    old =
      update_in(
        json["versions"],
        &Enum.map(&1, fn it -> Map.drop(it, ["deployed", "description"]) end)
      )

    {:ok, text} = Exosuit.Json.encode(old)
    assert Record.decode("shop", text) == {:ok, record(~w(a b))}

    record = record(~w(a b))

    kept =
      update_in(
        record.versions,
        &Enum.map(&1, fn it -> Map.drop(it, [:deployed, :description]) end)
      )

    assert Record.upgrade(kept) == record
  end
end
