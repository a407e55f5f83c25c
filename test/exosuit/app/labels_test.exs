defmodule Exosuit.App.LabelsTest do
  use ExUnit.Case, async: true

  alias Exosuit.App.{Labels, Record}
  alias Exosuit.Model.Digest

  doctest Labels

  defp record(labels) do
    [first | others] = for {label, n} <- Enum.with_index(labels), do: applied(label, n)
    {:ok, record} = Record.new("shop", first)

    Enum.reduce(others, record, fn applied, record ->
      {:ok, record} = Record.apply_version(record, applied)
      record
    end)
  end

  defp applied(label, n) do
    digest = Digest.of("#{n}")
    %{label: label, model: digest, manifest: digest, objects: [], at: n, by: "me"}
  end

  test "a version is known by its label, and without one by its number" do
    record = record(["v1", nil, "v1", "v2"])
    assert Enum.map(record.versions, &Labels.text(record, &1)) == ["1", "2", "v1", "v2"]
    assert %{version: 3} = Labels.find(record, "v1")
    assert %{version: 1} = Labels.find(record, "1")
    assert %{version: 2} = Labels.find(record, "2")
    assert Labels.find(record, "3") == nil
    assert Labels.find(record, "") == nil
  end

  test "what should run is told apart from what was stored last" do
    {:ok, record} = Record.store_version(record(["v1"]), applied("v2", 9))
    assert {Labels.deployed(record), Labels.newest(record).label} == {"v1", "v2"}
    assert Labels.deployed(Record.undeploy(record)) == nil
  end
end
