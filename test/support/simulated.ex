defmodule Exosuit.Simulated do
  @moduledoc """
  Twenty members of a lattice in simulated time: no processes, no clock, everything from a seed. The machines are those
  that production runs (`Exosuit.App.Machine`); bus, store, hosts and clients are simulated.

  A run has a schedule of faults of one profile (`Exosuit.Simulated.Faults`), then all faults end, and the lattice must settle:
  every host runs what placement gives it, all copies are equal to the store, no acknowledged apply is lost, and
  nothing moves any more. Some properties are checked at each moment, see `Exosuit.Simulated.World`.
  """

  alias Exosuit.App.{Machine, Placement, Record, Status}
  alias Exosuit.App.Machine.Members
  alias Exosuit.Model.Workload
  alias Exosuit.Simulated.{Checks, Client, Faults, Promises, Store, Trace, Versions, Wire, World}

  # Shorter than in production, so that more happens in a run.
  @options [grace: 10_000, progress_deadline: 12_000, retry: 2_000]

  # A rolling update takes a few seconds for each of twenty members, and each application may have several to
  # go through when the faults end.
  @settled_by 600_000
  @quiet 20_000

  @doc "Runs a seed: `:ok`, or what went wrong. `without:` switches off rules, see `Exosuit.App.Machine.Options`."
  @spec run(integer(), keyword()) :: :ok | {:error, [String.t()]}
  def run(seed, options \\ []) do
    :rand.seed(:exsss, {seed, 7, 9})
    profiles = Faults.profiles()
    profile = Keyword.get(options, :profile, Enum.at(profiles, rem(seed, length(profiles))))
    without = Keyword.get(options, :without, [])

    %World{
      profile: profile,
      options: [without: without] ++ @options,
      wire: Wire,
      checks: Checks,
      trace: options[:trace]
    }
    |> begin(seed)
    |> suffer(Keyword.get(options, :faults, 12))
    |> recover()
    |> settle(@settled_by)
    |> rest()
    |> verdict()
  end

  defp begin(world, seed) do
    count = if rem(seed, 40) == 0, do: 16, else: 1 + :rand.uniform(6)
    schemas = if world.profile in [:schemas, :all], do: 2, else: 1
    world = Enum.reduce(1..count, world, &World.add_host(&2, "N#{&1}", :rand.uniform(schemas)))
    world = Enum.reduce(Versions.apps(), world, &Client.apply_now(&2, &1, :good))
    World.run_until(world, 20_000, &handle/2)
  end

  defp suffer(world, 0), do: world

  defp suffer(world, count) do
    fault = Faults.draw(world.profile)

    world
    |> Trace.print({:fault, fault})
    |> Faults.commit(fault)
    |> World.run_until(world.now + pause(world), &handle/2)
    |> suffer(count - 1)
  end

  defp pause(%{profile: :joins}), do: 5_000 + :rand.uniform(10_000)
  defp pause(_world), do: :rand.uniform(8_000)

  # All faults end; who has crashed for good stays away. The last of the others starts within half a minute. The longest
  # cut would have ended after 45 s: until then its host may begin a new watch, which freezes its membership again.
  defp recover(world) do
    hosts = Map.new(world.hosts, fn {id, host} -> {id, %{host | side: 0}} end)
    world = %{world | hosts: hosts, recovered?: true}

    Enum.reduce(World.alive(world), world, fn host, world ->
      Enum.reduce(host.cut, world, &World.heal(&2, host.id, &1))
    end)
    |> then(&World.run_until(&1, &1.now + 46_000, fn event, world -> handle(event, world) end))
  end

  defp settle(world, left) do
    cond do
      world.violations != [] -> world
      unsettled(world) == [] -> world
      left <= 0 -> Enum.reduce(unsettled(world), world, &World.violate(&2, "not settled: #{&1}"))
      true -> world |> World.run_until(world.now + 5_000, &handle/2) |> settle(left - 5_000)
    end
  end

  # Nothing moves without a reason.
  defp rest(%{violations: []} = world) do
    before = shares(world)
    world = World.run_until(world, world.now + @quiet, &handle/2)

    moved =
      Enum.uniq(Map.to_list(shares(world)) -- Map.to_list(before)) ++
        (Map.to_list(before) -- Map.to_list(shares(world)))

    world =
      if shares(world) == before,
        do: world,
        else: World.violate(world, "it does not rest: #{inspect(moved)}")

    Enum.reduce(unsettled(world), world, &World.violate(&2, "unsettled again: #{&1}"))
  end

  defp rest(world), do: world

  defp verdict(world) do
    world = Enum.reduce(Promises.broken(world), world, &World.violate(&2, &1))
    if world.violations == [], do: :ok, else: {:error, Enum.reverse(world.violations)}
  end

  defp handle(event, world), do: handled(event, Trace.print(world, event))

  defp handled({:client, event}, world), do: Client.handle(event, world)
  defp handled({:start, _id} = event, world), do: Faults.handle(event, world)
  defp handled({:leave, _id, _epoch} = event, world), do: Faults.handle(event, world)
  defp handled(:join_sides, world), do: Faults.handle(:join_sides, world)
  defp handled(event, world), do: World.handle(event, world)

  defp shares(world) do
    for host <- World.alive(world), {app, run} <- host.runs, into: %{} do
      {{host.id, app}, {run.apply, run.version, run.share, run.running}}
    end
  end

  # What is not as it should be: nothing once the lattice has settled.
  defp unsettled(world) do
    hosts = World.alive(world)
    members = for host <- hosts, do: host.member
    records = Store.records(world.store)

    members(hosts, members) ++
      Enum.flat_map(hosts, &copies(&1, records)) ++
      Enum.flat_map(records, fn {name, record} -> app(world, hosts, members, name, record) end) ++
      for host <- hosts,
          {app, _run} <- host.runs,
          not is_map_key(records, app),
          do: "#{host.id} runs #{app}"
  end

  defp members(hosts, members) do
    ids = members |> Enum.map(& &1.id) |> Enum.sort()

    for host <- hosts,
        known = Enum.map(Machine.members(host.machine), & &1.id),
        known != ids or Members.frozen?(host.machine.members, host.machine.now),
        do: "#{host.id} knows #{inspect(known)}"
  end

  defp copies(host, records) do
    of_schema = Map.filter(records, fn {_name, record} -> record.schema <= host.member.schema end)

    copied =
      for app <- Machine.apps(host.machine),
          record = Machine.record(host.machine, app),
          do: {app, record}

    copied = copied |> Map.new() |> Map.take(Map.keys(of_schema))
    if copied == of_schema, do: [], else: ["#{host.id} has other records"]
  end

  defp app(_world, hosts, _members, name, %{state: :undeployed} = record) do
    for host <- hosts,
        host.member.schema >= record.schema,
        is_map_key(host.runs, name),
        do: "#{host.id} still runs #{name}"
  end

  defp app(world, hosts, members, name, record) do
    version = world.versions[Record.current(record).model]
    workloads = version.model.application.workloads
    app = %{name: name, schema: record.schema, workloads: workloads}

    {expected, _unplaced} =
      Placement.shares([app], members, refusals(world, hosts, name, record, workloads))

    {slots, _revision} = Store.get(world.store, {:slots, name})

    failed = if Record.current(record).failed, do: ["#{name} runs a failed version"], else: []

    # A slot of a host that is gone goes to the next that needs one.
    ids = Enum.map(hosts, & &1.id)
    holders = if slots, do: Enum.filter(slots.holders, &(&1 in ids)), else: []
    held = if holders != [], do: ["#{inspect(holders)} hold slots of #{name}"], else: []

    failed ++
      held ++
      Enum.flat_map(hosts, fn host ->
        if host.member.schema < record.schema,
          do: [],
          else: share(world, host, name, record, version, expected[host.id][name] || %{})
      end)
  end

  defp share(world, host, name, record, version, expected) do
    run = host.runs[name] || %{version: record.version, share: %{}, running: MapSet.new()}
    {status, _revision} = Store.get(world.store, {:status, host.id, name})

    as_said? =
      status == nil or Map.new(status.workloads, fn {id, it} -> {id, it.count} end) == run.share

    cond do
      {run.version, run.share} != {record.version, expected} ->
        [
          "#{host.id} runs #{inspect({run.version, run.share})} of #{name}, " <>
            "not #{inspect({record.version, expected})}: #{inspect(host.machine.shares[name])}"
        ]

      expected != %{} and run.digest != version.digest ->
        ["#{host.id} runs another model of #{name}"]

      MapSet.size(run.running) != map_size(expected) and not stays?(version, record) ->
        ["#{host.id} does not run all of #{name}"]

      not as_said? ->
        ["#{host.id} says #{inspect(status)} of #{name}"]

      true ->
        []
    end
  end

  # A version that never runs is rolled back, if there is an older one.
  defp stays?(version, record), do: version.fate == :hangs and Record.previous(record) == nil

  # Only who cannot run a version may have refused it.
  defp refusals(world, hosts, name, record, workloads) do
    fate = world.versions[Record.current(record).model].fate

    refused =
      for host <- hosts,
          {%{refused: refused} = status, _revision} <-
            [Store.get(world.store, {:status, host.id, name})],
          Status.about?(status, {record.version, Record.current(record).model}),
          {id, _why} <- refused,
          refuses?(fate, host.id),
          do: {id, host.id}

    true = Enum.all?(workloads, &match?(%Workload{}, &1))
    %{name => Enum.group_by(refused, &elem(&1, 0), &elem(&1, 1))}
  end

  defp refuses?(:refused, _id), do: true
  defp refuses?({:refused_on, ids}, id), do: id in ids
  defp refuses?(_fate, _id), do: false
end
