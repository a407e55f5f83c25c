defmodule Exosuit.Model.PlacementTest do
  use ExUnit.Case, async: true

  alias Exosuit.Model.Placement
  alias Exosuit.Model.Workload

  @hosts for {id, zone} <- [{"N1", "a"}, {"N2", "a"}, {"N3", "b"}],
             do: %{id: id, labels: %{"zone" => zone, "os" => "linux"}}

  defp workload(changes) do
    struct!(%Workload{role: :actor, id: "echo", reference: "file:///echo.wasm"}, changes)
  end

  defp spread(name, requirements, weight \\ 100) do
    %{name: name, requirements: requirements, weight: weight}
  end

  defp in_zones(weights) do
    for {zone, weight} <- weights, do: spread(zone, %{"zone" => zone}, weight)
  end

  test "without spread, so many go to every host, and a provider once" do
    assert Placement.place(workload(instances: 7), @hosts) ==
             {%{"N1" => 7, "N2" => 7, "N3" => 7}, []}

    provider = workload(role: :provider, instances: 7)
    assert Placement.place(provider, @hosts) == {%{"N1" => 1, "N2" => 1, "N3" => 1}, []}
  end

  test "instances are divided by weight, the rest to who came closest, then evenly over hosts" do
    spread = workload(scaler: :spread, instances: 10, spreads: in_zones([{"a", 2}, {"b", 1}]))
    # 6.67 and 3.33: 7 and 3.
    assert Placement.place(spread, @hosts) == {%{"N1" => 4, "N2" => 3, "N3" => 3}, []}
  end

  test "1/1/1 over three hosts is one each" do
    spreads = for zone <- ~w(a b c), do: spread(zone, %{"zone" => zone})

    hosts =
      for {id, zone} <- [{"N3", "a"}, {"N1", "b"}, {"N2", "c"}],
          do: %{id: id, labels: %{"zone" => zone}}

    spread = workload(scaler: :spread, instances: 3, spreads: spreads)
    assert Placement.place(spread, hosts) == {%{"N1" => 1, "N2" => 1, "N3" => 1}, []}
  end

  test "what no host meets is told, and is nobody else's" do
    spread = workload(scaler: :spread, instances: 4, spreads: in_zones([{"b", 1}, {"c", 1}]))
    assert Placement.place(spread, @hosts) == {%{"N3" => 2}, [{"c", 2}]}
  end

  test "weights of nothing count alike" do
    spread = workload(scaler: :spread, instances: 4, spreads: in_zones([{"a", 0}, {"b", 0}]))
    assert Placement.place(spread, @hosts) == {%{"N1" => 1, "N2" => 1, "N3" => 2}, []}
  end

  test "a daemon is so many times on each host that it asks for, once for several spreads" do
    spreads = [spread("a", %{"zone" => "a"}), spread("linux", %{"os" => "linux", "zone" => "a"})]
    daemon = workload(scaler: :daemon, instances: 5, spreads: spreads)
    assert Placement.place(daemon, @hosts) == {%{"N1" => 5, "N2" => 5}, []}
  end

  test "a provider goes to so many hosts, and stays where it is" do
    provider =
      workload(role: :provider, scaler: :spread, instances: 1, spreads: in_zones([{"a", 1}]))

    assert Placement.place(provider, @hosts) == {%{"N1" => 1}, []}
    assert Placement.place(provider, @hosts, MapSet.new(["N2"])) == {%{"N2" => 1}, []}
  end

  test "a provider that should be on more hosts than there are is told" do
    spreads = [spread("linux", %{"os" => "linux"}), spread("b", %{"zone" => "b"})]
    provider = workload(role: :provider, scaler: :spread, instances: 6, spreads: spreads)
    assert {counts, [{"b", 3}]} = Placement.place(provider, @hosts)
    assert Enum.sort(Map.keys(counts)) == ["N1", "N2", "N3"]
  end

  test "whatever is asked for, all of it is placed or told, where it may be, in any order of hosts" do
    :rand.seed(:exsss, {1, 2, 3})

    for _case <- 1..500 do
      hosts = for n <- 1..random(6), do: %{id: "N#{n}", labels: %{"zone" => zone()}}

      spreads =
        for n <- 1..random(4),
            do: spread("#{n}", Enum.random([%{}, %{"zone" => zone()}]), random(9) - 1)

      workload = workload(scaler: :spread, instances: random(50), spreads: spreads)
      {counts, unplaced} = placed = Placement.place(workload, hosts)

      missing = for({_spread, count} <- unplaced, do: count) |> Enum.sum()
      assert (counts |> Map.values() |> Enum.sum()) + missing == workload.instances
      assert Enum.all?(counts, fn {id, count} -> count > 0 and allowed?(id, hosts, spreads) end)
      assert Placement.place(workload, Enum.shuffle(hosts)) == placed
    end
  end

  defp allowed?(id, hosts, spreads) do
    host = Enum.find(hosts, &(&1.id == id))
    Enum.any?(spreads, &(Map.merge(host.labels, &1.requirements) == host.labels))
  end

  defp zone, do: Enum.random(~w(a b c))
  defp random(most), do: :rand.uniform(most)
end
