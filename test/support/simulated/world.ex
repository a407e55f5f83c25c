defmodule Exosuit.Simulated.World do
  @moduledoc false
  # Simulated time, and what happens in it: hosts with their machines, a bus and a store between them. Everything that
  # is random comes from the seed of the process, so a seed is a schedule.

  alias Exosuit.App.{Machine, Model, Record}
  alias Exosuit.Simulated.{Store, Trace, Versions}

  @enforce_keys [:profile, :options]
  defstruct [
    :profile,
    :options,
    # The modules of the two, which call this one.
    :wire,
    :checks,
    now: 0,
    sequence: 0,
    queue: :gb_sets.empty(),
    hosts: %{},
    store: %Store{},
    backup: nil,
    versions: %{},
    # What clients were told: see `Exosuit.Simulated.Promises`.
    acknowledged: %{},
    recovered?: false,
    established: MapSet.new(),
    violations: [],
    # See `Exosuit.Simulated.Trace`.
    trace: nil
  ]

  @tick 1_000
  @cut Exosuit.Error.new(:unavailable, "the store cannot be reached")
  @beat 2_000

  # The queue.

  def later(world, delay, event) do
    entry = {world.now + delay, world.sequence, event}
    %{world | sequence: world.sequence + 1, queue: :gb_sets.insert(entry, world.queue)}
  end

  def run_until(world, time, handle) do
    case not :gb_sets.is_empty(world.queue) and :gb_sets.smallest(world.queue) do
      {at, _sequence, event} when at <= time ->
        {_entry, queue} = :gb_sets.take_smallest(world.queue)
        run_until(handle.(event, %{world | now: max(at, world.now), queue: queue}), time, handle)

      _later_or_none ->
        %{world | now: time}
    end
  end

  def violate(world, text),
    do: %{world | violations: ["#{world.now}: #{text}" | world.violations]}

  # Hosts.

  def add_host(world, id, schema \\ 1) do
    host = %{
      id: id,
      member: %{id: id, labels: %{"zone" => Enum.random(~w(a b))}, features: [], schema: schema},
      machine: nil,
      epoch: 0,
      disk: nil,
      objects: MapSet.new(),
      offset: :rand.uniform(1_000_000),
      rate: 0.95 + :rand.uniform() / 10,
      side: 0,
      cut: MapSet.new(),
      watch: 0,
      told_at: 0,
      told: %{},
      before: MapSet.new(),
      all_told?: false,
      incarnation: 0,
      runs: %{},
      leases: %{},
      singletons: MapSet.new(),
      limits: nil,
      # It has crashed and never comes back.
      gone?: false
    }

    start_host(%{world | hosts: Map.put(world.hosts, id, host)}, id)
  end

  def start_host(world, id) do
    host = world.hosts[id]
    now = local(host, world)
    options = [now: now, copy: host.disk] ++ world.options
    {machine, actions} = Machine.new(host.member, options)

    host = %{
      host
      | machine: machine,
        epoch: host.epoch + 1,
        told: %{},
        before: MapSet.new(),
        all_told?: false,
        incarnation: 0,
        runs: %{},
        leases: %{},
        singletons: MapSet.new(),
        limits: nil
    }

    world
    |> put_host(host)
    |> act(id, actions)
    |> to_host(id, :rand.uniform(@tick), :tick)
    |> to_host(id, :rand.uniform(@beat), :beat)
    |> to_host(id, :rand.uniform(300), {:reach, :bus})
    |> to_host(id, :rand.uniform(300), {:reach, :store})
  end

  def crash_host(world, id, keep_disk?) do
    host = world.hosts[id]

    host = %{
      host
      | machine: nil,
        epoch: host.epoch + 1,
        watch: host.watch + 1,
        runs: %{},
        leases: %{},
        singletons: MapSet.new(),
        limits: nil
    }

    host = if keep_disk?, do: host, else: %{host | disk: nil, objects: MapSet.new()}
    put_host(world, host)
  end

  def alive(world), do: for({_id, host} <- world.hosts, host.machine != nil, do: host)

  # Takes bus or store from a host, which notices within a second.
  def cut(world, id, link) do
    host = world.hosts[id]

    host = %{
      host
      | cut: MapSet.put(host.cut, link),
        watch: host.watch + if(link == :store, do: 1, else: 0)
    }

    world |> put_host(host) |> to_host(id, :rand.uniform(1_000), {:lose, link})
  end

  def heal(world, id, link) do
    host = world.hosts[id]
    world = put_host(world, %{host | cut: MapSet.delete(host.cut, link)})
    to_host(world, id, :rand.uniform(500), {:reach, link})
  end

  # Another store is there: all watches begin again.
  def replace_store(world, store) do
    world = %{world | store: store}

    Enum.reduce(alive(world), world, fn host, world ->
      if :store in host.cut,
        do: world,
        else: world |> cut(host.id, :store) |> later(1_500, {:heal, host.id, :store})
    end)
  end

  def to_host(world, id, delay, message) do
    later(world, delay, {:host, id, world.hosts[id].epoch, message})
  end

  # Events.

  def handle({:host, id, epoch, message}, world) do
    case world.hosts[id] do
      %{epoch: ^epoch, machine: machine} when machine != nil -> message(message, id, world)
      _crashed -> world
    end
  end

  def handle({:heal, id, link}, world) do
    if world.hosts[id], do: heal(world, id, link), else: world
  end

  # A lease is given back when the singleton has ended.
  def handle(
        {:write, id, epoch, {:lease, app, workload}, {_, _, %{holder: nil}, _}} = event,
        world
      ) do
    host = world.hosts[id]

    if host.epoch == epoch and {app, workload} in host.singletons,
      do: later(world, 100, event),
      else: write(event, world)
  end

  def handle({:write, _id, _epoch, _key, _operation} = event, world), do: write(event, world)

  defp write({:write, id, epoch, key, operation}, world) do
    if :store in world.hosts[id].cut,
      do: world.wire.answer(world, id, epoch, key, {:error, @cut}),
      else: world.wire.write(world, id, epoch, key, operation)
  end

  defp message(:tick, id, world) do
    world |> feed(id, {:tick, local(world, id)}) |> to_host(id, @tick, :tick)
  end

  defp message(:beat, id, world) do
    world |> beat(id) |> to_host(id, round(@beat / world.hosts[id].rate), :beat)
  end

  defp message({:hear, member}, id, world), do: feed(world, id, {:beat, member, local(world, id)})

  defp message({:hear_left, other}, id, world) do
    feed(world, id, {:left, other, local(world, id)})
  end

  defp message({:feed, event}, id, world), do: feed(world, id, event)

  defp message({:refused, {:lease, app, workload}, lease, revision}, id, world) do
    feed(world, id, {:lease_conflict, app, workload, lease, revision, local(world, id)})
  end

  defp message({:lose, link}, id, world) do
    host = world.hosts[id]

    if link in host.cut do
      put_host(world, %{host | limits: host.limits || world.checks.limits(host)})
      |> feed(id, {link, :down, local(world, id)})
    else
      # Cut and healed before anybody noticed: the watch was interrupted all the same.
      world |> feed(id, {link, :down, local(world, id)})
    end
  end

  defp message({:reach, link}, id, world) do
    host = world.hosts[id]

    cond do
      link in host.cut -> world
      link == :bus -> world |> feed(id, {:bus, :up, local(world, id)}) |> unlimited(id)
      true -> world.wire.watch(world, id)
    end
  end

  defp message({:told, watch, change}, id, world) do
    host = world.hosts[id]
    if host.watch == watch, do: world.wire.tell(world, host, change), else: world
  end

  defp message({:host_done, app, apply}, id, world) do
    host = world.hosts[id]

    case host.runs[app] do
      %{apply: ^apply} = run -> done(world, host, app, run)
      _replaced -> world
    end
  end

  # The host ends a singleton when its lease ends, whatever its machine does.
  defp message({:lease_over, lease}, id, world) do
    host = world.hosts[id]
    left = max((host.leases[lease] || 0) - local(host, world), 0)

    cond do
      left > 0 ->
        to_host(world, id, ceil(left / host.rate), {:lease_over, lease})

      true ->
        put_host(world, %{
          host
          | leases: Map.delete(host.leases, lease),
            singletons: MapSet.delete(host.singletons, lease)
        })
    end
  end

  defp message({:host_slow, app, apply}, id, world) do
    host = world.hosts[id]

    case host.runs[app] do
      %{apply: ^apply} = run ->
        world = put_run(world, id, app, run_all(run, outcomes(world, host, run)))
        feed(world, id, {:health, app, run.version, outcomes(world, host, run)})

      _replaced ->
        world
    end
  end

  # The bus: late, lost, twice, out of order.

  defp beat(world, id), do: publish(world, id, {:hear, world.hosts[id].member})

  def leave(world, id), do: publish(world, id, {:hear_left, id})

  defp publish(world, id, message) do
    sender = world.hosts[id]

    if :bus in sender.cut do
      world
    else
      Enum.reduce(alive(world), world, fn host, world ->
        if host.id == id or :bus in host.cut or host.side != sender.side,
          do: world,
          else: deliver(world, host.id, message)
      end)
    end
  end

  defp deliver(world, id, message) do
    case faulty?(world) and :rand.uniform(100) do
      n when n in 1..4 ->
        world

      n when n in 5..7 ->
        world |> deliver_once(id, message, 2_000) |> deliver_once(id, message, 2_000)

      n when n in 8..20 ->
        deliver_once(world, id, message, 1_500)

      _usual ->
        deliver_once(world, id, message, 100)
    end
  end

  defp deliver_once(world, id, message, delay),
    do: to_host(world, id, :rand.uniform(delay), message)

  # While checks need every beat to arrive, none is lost.
  def faulty?(world), do: not world.recovered? and world.profile not in [:calm, :joins]

  # Machines.

  def feed(world, id, event) do
    host = world.hosts[id]
    {machine, actions} = Machine.handle(host.machine, event)
    world |> put_host(%{host | machine: machine}) |> act(id, actions)
  end

  defp act(world, id, actions) do
    Enum.reduce(actions, world, &act_one(Trace.print(&2, {:act, id, &1}), id, &1))
  end

  defp act_one(world, id, {:keep, copy}), do: put_host(world, %{world.hosts[id] | disk: copy})
  defp act_one(world, _id, {:announce, _event}), do: world
  defp act_one(world, id, :beat), do: beat(world, id)

  defp act_one(world, id, {:write_record, name, {:newer, _schema, record}, revision}),
    do: act_one(world, id, {:write_record, name, record, revision})

  defp act_one(world, id, {:write_record, name, record, revision}) do
    write_later(world, id, {:record, name}, {:put, {:app, name}, record, revision})
  end

  defp act_one(world, id, {:put_back, name, {:newer, _schema, record}, position}),
    do: act_one(world, id, {:put_back, name, record, position})

  defp act_one(world, id, {:put_back, name, record, position}) do
    write_later(world, id, {:record, name}, {:put, {:app, name}, record, {:create, position}})
  end

  defp act_one(world, id, {:write_status, app, status}) do
    write_later(world, id, {:status, app}, {:set, {:status, id, app}, status})
  end

  defp act_one(world, id, {:write_slots, app, slots, revision}) do
    write_later(world, id, {:slots, app}, {:put, {:slots, app}, slots, revision})
  end

  defp act_one(world, id, {:write_lease, app, workload, lease, revision}) do
    key = {:lease, app, workload}
    write_later(world, id, key, {:put, key, lease, revision})
  end

  defp act_one(world, id, {:hold, app, workload, until}) do
    host = world.hosts[id]
    known? = is_map_key(host.leases, {app, workload})
    world = put_host(world, put_in(host.leases[{app, workload}], until))

    # What the host ended a moment ago, it starts again by itself.
    world = if run = host.runs[app], do: run_singletons(world, id, app, run), else: world

    if known? or until == :infinity,
      do: world,
      else: to_host(world, id, 1, {:lease_over, {app, workload}})
  end

  defp act_one(world, id, {:write_generation, old}) do
    write_later(world, id, :generation, {:generation, old})
  end

  defp act_one(world, id, {:fetch_model, digest}) do
    model = world.versions[digest].model
    answer = if :store in world.hosts[id].cut, do: {:error, @cut}, else: model
    to_host(world, id, :rand.uniform(300), {:feed, {:model, digest, answer}})
  end

  defp act_one(world, id, {:fetch_objects, app, version, digests}) do
    host = world.hosts[id]

    if :store in host.cut or (faulty?(world) and :rand.uniform(20) == 1) do
      to_host(world, id, 100, {:feed, {:objects, app, version, digests, {:error, @cut}}})
    else
      host = %{host | objects: Enum.into(digests, host.objects)}
      answer = {:feed, {:objects, app, version, digests, :here}}
      world |> put_host(host) |> to_host(id, :rand.uniform(1_000), answer)
    end
  end

  defp act_one(world, id, {:apply_share, app, version, share}) do
    host = world.hosts[id]
    before = host.runs[app]
    apply = world.sequence

    run = %{
      apply: apply,
      version: version,
      share: share,
      model: share != %{} and Machine.model(host.machine, app, version),
      running: still_running(before, version, share),
      digest: share != %{} and digest(host, app, version),
      updating: updating(world, before, version, share)
    }

    world
    |> run_singletons(id, app, run)
    |> world.checks.check_apply(host, app, before, run)
    |> put_run(id, app, run)
    |> to_host(id, :rand.uniform(1_000), {:host_done, app, apply})
  end

  # The host refuses to start one whose lease it does not hold.
  defp run_singletons(world, id, app, run) do
    host = world.hosts[id]
    held = MapSet.filter(singletons(app, run), &((host.leases[&1] || 0) > local(host, world)))
    host = %{host | singletons: MapSet.union(host.singletons, held)}
    world |> put_host(host) |> world.checks.check_singletons(host)
  end

  defp singletons(_app, %{share: share}) when share == %{}, do: MapSet.new()

  defp singletons(app, run) do
    for %{id: id, singleton?: true} <- Model.workloads(run.model),
        is_map_key(run.share, id),
        into: MapSet.new(),
        do: {app, id}
  end

  defp digest(host, app, version) do
    case host.machine.shares[app] do
      %{version: ^version, model: digest} -> digest
      _other -> Record.fetch(Machine.record(host.machine, app), version).model
    end
  end

  defp still_running(%{version: version, running: running}, version, share) do
    MapSet.filter(running, &is_map_key(share, &1))
  end

  defp still_running(_before, _version, _share), do: MapSet.new()

  defp updating(_world, _before, _version, share) when share == %{}, do: nil

  defp updating(world, %{version: old, share: share}, new, _share)
       when old != new and share != %{},
       do: world.now

  defp updating(_world, %{updating: updating}, _version, _share), do: updating
  defp updating(_world, _before, _version, _share), do: nil

  defp write_later(world, id, key, operation) do
    later(world, :rand.uniform(200), {:write, id, world.hosts[id].epoch, key, operation})
  end

  # Hosts: a share runs a while after it was applied, if its version is good.

  defp done(world, host, app, run) do
    ended? = fn {of, id} -> of == app and not is_map_key(run.share, id) end
    host = %{host | singletons: MapSet.reject(host.singletons, ended?)}
    world |> put_host(host) |> ended(host, app, run)
  end

  defp ended(world, host, app, %{share: share} = run) when share == %{} do
    host = %{host | runs: Map.delete(host.runs, app)}
    world |> put_host(host) |> feed(host.id, {:applied, app, run.version, %{}, %{}})
  end

  defp ended(world, host, app, run) do
    outcomes = outcomes(world, host, run)

    if :rand.uniform(4) == 1 do
      starting = Map.new(outcomes, fn {id, _outcome} -> {id, {:starting, nil}} end)

      world
      |> to_host(host.id, :rand.uniform(2_000), {:host_slow, app, run.apply})
      |> feed(host.id, {:applied, app, run.version, run.share, starting})
    else
      world
      |> put_run(host.id, app, run_all(run, outcomes))
      |> feed(host.id, {:applied, app, run.version, run.share, outcomes})
    end
  end

  defp outcomes(world, host, run) do
    version = world.versions[run.digest]
    Map.new(run.share, fn {id, _count} -> {id, Versions.outcome(version, host.id)} end)
  end

  defp run_all(run, outcomes) do
    running = for {id, :running} <- outcomes, into: MapSet.new(), do: id
    done? = MapSet.size(running) == map_size(run.share)
    %{run | running: running, updating: if(done?, do: nil, else: run.updating)}
  end

  # Helpers.

  def unlimited(world, id) do
    host = world.hosts[id]
    if MapSet.size(host.cut) == 0, do: put_host(world, %{host | limits: nil}), else: world
  end

  def put_host(world, host), do: %{world | hosts: Map.put(world.hosts, host.id, host)}

  defp put_run(world, id, app, run) do
    host = world.hosts[id]
    world |> put_host(%{host | runs: Map.put(host.runs, app, run)}) |> world.checks.check_gap(app)
  end

  def local(world, id) when is_binary(id), do: local(world.hosts[id], world)
  def local(host, world), do: round(host.offset + world.now * host.rate)
end
