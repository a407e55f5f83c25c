defmodule Exosuit.Bench.Placement do
  @moduledoc false
  # What one member of a large lattice computes, as all others do at the same time: its share of all applications, and
  # its new share when another member is lost. The machine is the one that production runs.

  alias Exosuit.App.{Machine, Model, Placement, Record}
  alias Exosuit.Bench.{Measure, Row}
  alias Exosuit.Model.{Application, Digest, Workload}

  @apps 1_000
  @members 1_000

  # Of this host, 7 s without a beat are more than three intervals.
  @heard 10_000
  @lost 17_000

  @spec rows() :: [Row.t()]
  def rows do
    members = for n <- 1..@members, do: member("N#{n}")
    apps = for n <- 1..@apps, do: %{name: "app-#{n}", workloads: workloads(n)}
    machine = machine(members)

    [placed, lost] =
      Measure.medians([
        fn -> Measure.seconds(fn -> Placement.share(apps, members, %{}, "N1") end) end,
        fn -> Measure.seconds(fn -> lose_one(machine) end) end
      ])

    [
      row("a host's share of #{@apps} applications on #{@members} hosts", placed, 1_000),
      row("  when one of these hosts is lost", lost, 100)
    ]
  end

  defp row(name, seconds, goal),
    do: Row.new(name, "ms", seconds * 1_000, nil, {:at_most, goal, :ours})

  defp lose_one(machine) do
    {machine, _actions} = Machine.handle(machine, {:tick, @lost})
    true = length(Machine.members(machine)) == @members - 1
  end

  # It knows all records, models and members, and has heard all of them but one a moment ago.
  defp machine([own | others] = members) do
    {machine, _actions} = Machine.new(own, now: 0, copy: copy(members))
    connected = [{:bus, :up, 0}, {:store, :up, 0}]
    records = for n <- 1..@apps, do: {:record, "app-#{n}", record(n), n}
    current = [{:records_current, %{generation: "g", position: @apps}, 0}]
    models = for n <- 1..@apps, do: {:model, digest(n), model(n)}
    first = for member <- others, do: {:beat, member, 0}
    last = for member <- tl(others), do: {:beat, member, @heard + 1_001}
    events = connected ++ records ++ current ++ first ++ models ++ last

    Enum.reduce(events, machine, fn event, machine ->
      {machine, _actions} = Machine.handle(machine, event)
      machine
    end)
  end

  defp copy(members) do
    %{
      schema: 1,
      records: %{},
      models: %{},
      members: members,
      shares: %{},
      generation: "g",
      position: 0
    }
  end

  defp member(id), do: %{id: id, labels: %{}, features: [], schema: 1}

  defp workloads(n) do
    [
      %Workload{
        role: :actor,
        id: "app-#{n}-web",
        reference: "exosuit+object://" <> digest(n),
        instances: 10
      }
    ]
  end

  defp model(n) do
    name = "app-#{n}"

    %Model{
      manifest: %{"name" => name, "components" => [], "providers" => []},
      application: %Application{name: name, workloads: workloads(n)}
    }
  end

  defp record(n) do
    version = %{model: digest(n), manifest: digest(n), objects: [digest(n)], at: 0, by: "bench"}
    {:ok, record} = Record.new("app-#{n}", version)
    record
  end

  defp digest(n), do: Digest.of("app-#{n}")
end
