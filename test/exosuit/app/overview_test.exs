defmodule Exosuit.App.OverviewTest do
  use ExUnit.Case, async: true

  alias Exosuit.App.{Overview, Placement, Snapshot}
  alias Exosuit.Model.Workload

  doctest Overview

  test "what has no place is told with what its hosts lack" do
    clock = "exosuit+module://Clock"
    assert [why] = unplaced(clock, "eu", [member(%{"zone" => "us"}, ["module:Clock"])])
    assert why == "no host has the labels of spread eu"
    assert [why] = unplaced(clock, "eu", [member(%{"zone" => "eu"}, [])])
    assert why == "no host of spread eu has the provider module Clock (option `providers`)"
    assert [] = unplaced(clock, "eu", [member(%{"zone" => "eu"}, ["module:Clock"])])
  end

  defp unplaced(reference, spread, members) do
    workload = %Workload{
      role: :actor,
      id: "clock",
      reference: reference,
      instances: 1,
      scaler: :spread,
      spreads: [%{name: spread, requirements: %{"zone" => spread}, weight: 1}]
    }

    snapshot = %Snapshot{placed: %{name: "shop", schema: 1, workloads: [workload]}}

    for {"clock", ^spread, 1, why} <-
          Overview.unplaced({snapshot, Placement.candidates(members), %{}}),
        do: why
  end

  defp member(labels, features), do: %{id: "N1", labels: labels, features: features, schema: 1}
end
