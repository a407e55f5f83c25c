defmodule Exosuit.App.PlacementTest do
  use ExUnit.Case, async: true

  alias Exosuit.App.Placement
  alias Exosuit.Model.Workload

  doctest Placement

  defp workload(changes) do
    struct!(%Workload{role: :actor, id: "echo", reference: "file:///echo.wasm"}, changes)
  end

  defp spread(name, requirements, weight \\ 100) do
    %{name: name, requirements: requirements, weight: weight}
  end

  defp members(zones) do
    for {id, zone} <- zones, do: %{id: id, labels: %{"zone" => zone}, features: [], schema: 1}
  end

  defp counts(workload, members, refusals \\ %{}) do
    {shares, unplaced} =
      Placement.shares([%{name: "shop", workloads: [workload]}], members, refusals)

    counts = for {id, %{"shop" => %{"echo" => count}}} <- shares, into: %{}, do: {id, count}
    {counts, get_in(unplaced, ["shop", "echo"]) || []}
  end

  @three [{"N1", "a"}, {"N2", "a"}, {"N3", "b"}]

  test "without a spread, instances are the total over all members" do
    assert {%{"N1" => 30}, []} = counts(workload(instances: 30), members([{"N1", "a"}]))

    {counts, []} = counts(workload(instances: 31), members(@three))
    assert counts |> Map.values() |> Enum.sort() == [10, 10, 11]

    {counts, []} = counts(workload(instances: 1), members(@three))
    assert Map.values(counts) == [1]
    assert counts(workload(instances: 1), []) == {%{}, [{"default", 1}]}
  end

  test "instances are divided by weight, then evenly over the members that meet a spread" do
    spreads = [spread("a", %{"zone" => "a"}, 2), spread("b", %{"zone" => "b"}, 1)]
    workload = workload(scaler: :spread, instances: 12, spreads: spreads)
    assert counts(workload, members(@three)) == {%{"N1" => 4, "N2" => 4, "N3" => 4}, []}
    assert counts(workload, members([{"N1", "a"}])) == {%{"N1" => 8}, [{"b", 4}]}
  end

  test "a daemon runs on each member that meets one of its spreads" do
    spreads = [spread("a", %{"zone" => "a"}), spread("all", %{})]
    workload = workload(scaler: :daemon, instances: 5, spreads: spreads)
    assert counts(workload, members(@three)) == {%{"N1" => 5, "N2" => 5, "N3" => 5}, []}

    workload = workload(scaler: :daemon, instances: 5, spreads: [spread("c", %{"zone" => "c"})])
    assert counts(workload, members(@three)) == {%{}, [{"c", 5}]}
  end

  test "a provider runs on every member, or on so many members that meet its spreads" do
    everywhere = workload(role: :provider, instances: 7)
    assert counts(everywhere, members(@three)) == {%{"N1" => 1, "N2" => 1, "N3" => 1}, []}

    one = workload(role: :provider, scaler: :spread, spreads: [spread("a", %{"zone" => "a"})])
    {counts, []} = counts(one, members(@three))
    assert Map.values(counts) == [1]
    assert Map.keys(counts) -- ["N1", "N2"] == []

    many = %{one | instances: 6, spreads: [spread("all", %{}), spread("b", %{"zone" => "b"})]}
    assert {counts, [{"b", 3}]} = counts(many, members(@three))
    assert counts == %{"N1" => 1, "N2" => 1, "N3" => 1}
  end

  test "a member without the feature, that refused, or of an older schema is passed over" do
    [first | rest] = members(@three)
    module = workload(reference: "exosuit+module://Clock", instances: 4)
    assert counts(module, [%{first | features: ["module:Clock"]} | rest]) == {%{"N1" => 4}, []}

    refusals = %{
      "shop" => %{"echo" => ["N1", "N3"], "other" => ["N2"]},
      "else" => %{"echo" => ["N2"]}
    }

    assert counts(workload(instances: 4), members(@three), refusals) == {%{"N2" => 4}, []}

    app = %{name: "shop", schema: 2, workloads: [workload(instances: 4)]}
    {shares, _unplaced} = Placement.shares([app], [%{first | schema: 2} | rest], %{})
    assert shares == %{"N1" => %{"shop" => %{"echo" => 4}}, "N2" => %{}, "N3" => %{}}
  end

  test "single instances of many applications are spread well" do
    members = members(for n <- 1..10, do: {"N#{n}", "a"})
    apps = for n <- 1..1_000, do: %{name: "app#{n}", workloads: [workload(instances: 1)]}
    {shares, _unplaced} = Placement.shares(apps, members, %{})
    sizes = for {_id, share} <- shares, do: map_size(share)
    # Five standard deviations of the binomial distribution around 100.
    assert Enum.all?(sizes, &(&1 in 53..147)), inspect(sizes)
  end

  test "every host computes the same, all of it is placed or told, and only what must move does" do
    for seed <- 1..300 do
      :rand.seed(:exsss, {seed, 2, 3})
      {apps, members, refusals} = world()
      {shares, unplaced} = Placement.shares(apps, members, refusals)
      {mixed, refused} = {Enum.shuffle(members), shuffled(refusals)}
      assert Placement.shares(Enum.shuffle(apps), mixed, refused) == {shares, unplaced}

      for member <- members do
        assert Placement.share(apps, mixed, refusals, member.id) == shares[member.id]
      end

      for app <- apps, workload <- app.workloads, do: check_sum(app, workload, shares, unplaced)

      gone = Enum.random(members)
      {fewer, _unplaced} = Placement.shares(apps, List.delete(members, gone), refusals)
      for {id, share} <- fewer, do: assert_no_less(share, shares[id])
      assert Placement.share(apps, members, refusals, "stranger") == %{}
    end
  end

  defp check_sum(app, %{scaler: :daemon} = workload, shares, _unplaced) do
    each = if workload.role == :actor, do: workload.instances, else: 1
    counts = for {_id, share} <- shares, count = share[app.name][workload.id], do: count
    assert Enum.all?(counts, &(&1 == each))
  end

  defp check_sum(_app, %{role: :provider, scaler: :everywhere}, _shares, _unplaced), do: :ok

  defp check_sum(app, workload, shares, unplaced) do
    counts = for {_id, share} <- shares, count = share[app.name][workload.id], do: count
    missing = for {_spread, count} <- get_in(unplaced, [app.name, workload.id]) || [], do: count
    assert Enum.sum(counts) + Enum.sum(missing) == workload.instances
    if workload.role == :provider, do: assert(Enum.all?(counts, &(&1 == 1)))
  end

  defp assert_no_less(after_loss, before) do
    for {app, workloads} <- before, {workload, count} <- workloads do
      assert (after_loss[app][workload] || 0) >= count
    end
  end

  defp world do
    members =
      for n <- 1..random(8) do
        features = Enum.take_random(["module:Clock"], random(2) - 1)
        %{id: "N#{n}", labels: %{"zone" => zone()}, features: features, schema: random(2)}
      end

    apps =
      for a <- 1..random(4) do
        workloads = for w <- 1..random(4), do: any_workload("w#{w}")
        %{name: "app#{a}", schema: random(2), workloads: workloads}
      end

    refusals =
      for app <- apps, workload <- app.workloads, random(4) == 1, reduce: %{} do
        refusals ->
          ids = members |> Enum.take_random(random(3)) |> Enum.map(& &1.id)
          Map.update(refusals, app.name, %{workload.id => ids}, &Map.put(&1, workload.id, ids))
      end

    {apps, members, refusals}
  end

  defp any_workload(id) do
    scaler = Enum.random([:everywhere, :spread, :daemon])

    spreads =
      for n <- 1..random(3),
          do: spread("s#{n}", Enum.random([%{}, %{"zone" => zone()}]), random(5) - 1)

    workload(
      id: id,
      role: Enum.random([:actor, :provider]),
      reference: Enum.random(["file:///echo.wasm", "exosuit+module://Clock"]),
      instances: random(20),
      scaler: scaler,
      spreads: if(scaler == :everywhere, do: [], else: spreads)
    )
  end

  defp shuffled(refusals) do
    Map.new(refusals, fn {app, of_app} ->
      {app, Map.new(of_app, fn {workload, ids} -> {workload, Enum.shuffle(ids)} end)}
    end)
  end

  defp zone, do: Enum.random(~w(a b c))
  defp random(max), do: :rand.uniform(max)
end
