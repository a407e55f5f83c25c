defmodule Exosuit.Simulated.World do
  @moduledoc false
  # Simulated time, and what happens in it: hosts with their machines, a bus and a store between them. Everything that
  # is random comes from the seed of the process, so a seed is a schedule.

  alias Exosuit.App.{Machine, Record}
  alias Exosuit.Simulated.{Store, Versions}

  @enforce_keys [:profile, :options]
  defstruct [
    :profile,
    :options,
    now: 0,
    sequence: 0,
    queue: :gb_sets.empty(),
    hosts: %{},
    store: %Store{},
    backup: nil,
    versions: %{},
    acknowledged: %{},
    replaced?: false,
    recovered?: false,
    established: MapSet.new(),
    violations: []
  ]

  @tick 500
  @beat 2_000

  # The queue.

  def later(world, delay, event) do
    entry = {world.now + delay, world.sequence, event}
    %{world | sequence: world.sequence + 1, queue: :gb_sets.add(entry, world.queue)}
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
      incarnation: 0,
      runs: %{},
      limits: nil
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
        incarnation: 0,
        runs: %{},
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
    world = %{world | store: store, replaced?: true}

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

  def handle({:write, id, epoch, key, operation}, world) do
    if :store in world.hosts[id].cut,
      do: answer(world, id, epoch, key, {:error, :cut}),
      else: write(world, id, epoch, key, operation)
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

  defp message({:lose, link}, id, world) do
    host = world.hosts[id]

    if link in host.cut do
      put_host(world, %{host | limits: host.limits || limits(host)})
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
      true -> watch(world, id)
    end
  end

  defp message({:told, watch, change}, id, world) do
    host = world.hosts[id]
    if host.watch == watch, do: tell(world, host, change), else: world
  end

  defp message({:host_done, app, apply}, id, world) do
    host = world.hosts[id]

    case host.runs[app] do
      %{apply: ^apply} = run -> done(world, host, app, run)
      _replaced -> world
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
  defp faulty?(world), do: not world.recovered? and world.profile not in [:calm, :joins]

  # The store: writes, and watches that tell in order.

  defp write(world, id, epoch, key, operation) do
    case perform(world, id, operation) do
      {:conflict, world} -> answer(world, id, epoch, key, :conflict)
      {result, world} -> answer(world, id, epoch, key, {:ok, result})
    end
  end

  defp perform(world, id, {:put, key, value, revision}) do
    case Store.put(world.store, key, value, revision) do
      :conflict ->
        {:conflict, world}

      {store, change} ->
        world = check_newer(world, id, key)
        {elem(change, 2), tell_all(%{world | store: store}, change)}
    end
  end

  defp perform(world, _id, {:set, key, value}) do
    {store, change} = Store.write(world.store, key, value)
    {elem(change, 2), tell_all(%{world | store: store}, change)}
  end

  defp perform(world, _id, {:generation, old}) do
    case Store.get(world.store, :generation) do
      {^old, _revision} ->
        new = "g#{:rand.uniform(1_000_000_000)}"
        {store, change} = Store.write(world.store, :generation, new)
        {new, tell_all(%{world | store: store}, change)}

      _other ->
        {:conflict, world}
    end
  end

  defp check_newer(world, id, {:app, name} = key) do
    {value, _revision} = Store.get(world.store, key)
    schema = world.hosts[id].member.schema

    if value != nil and value.schema > schema,
      do: violate(world, "#{id} of schema #{schema} writes the newer record #{name}"),
      else: world
  end

  defp check_newer(world, _id, _key), do: world

  # An answer may be lost; then the write counts as failed, whatever became of it.
  defp answer(world, id, epoch, key, result) do
    result = if faulty?(world) and :rand.uniform(50) == 1, do: {:error, :lost}, else: result
    later(world, :rand.uniform(200), {:host, id, epoch, {:feed, {:written, key, result}}})
  end

  def tell_all(world, change) do
    Enum.reduce(alive(world), world, fn host, world ->
      if :store in host.cut or host.watch == 0,
        do: world,
        else: told_later(world, host.id, change)
    end)
  end

  defp told_later(world, id, change) do
    host = world.hosts[id]
    delay = if faulty?(world) and :rand.uniform(10) == 1, do: 3_000, else: 200
    at = max(host.told_at, world.now + :rand.uniform(delay))
    world = put_host(world, %{host | told_at: at})
    to_host(world, id, at - world.now, {:told, host.watch, change})
  end

  defp watch(world, id) do
    host = world.hosts[id]
    host = %{host | watch: host.watch + 1, told_at: world.now}
    world = world |> put_host(host) |> feed(id, {:store, :up, local(world, id)})
    {puts, gone, same?} = Store.changes(world.store, host.told, host.incarnation)
    {generation, _revision} = Store.get(world.store, :generation)

    current =
      {:current, %{generation: generation, position: world.store.position},
       world.store.incarnation}

    gone = if same?, do: Enum.map(gone, &{&1, nil, world.store.position}), else: [{:lost, gone}]
    Enum.reduce(puts ++ gone ++ [current], world, &told_later(&2, id, &1))
  end

  defp tell(world, host, {:lost, keys}) do
    names = for {:app, name} <- keys, do: name
    others = for key <- keys, not match?({:app, _name}, key), key != :generation, do: key
    world = put_host(world, %{host | told: Map.drop(host.told, keys)})
    world = if names == [], do: world, else: feed(world, host.id, {:records_lost, names})
    Enum.reduce(others, world, &feed(&2, host.id, event(host, {&1, nil, 0})))
  end

  defp tell(world, host, {:current, facts, incarnation}) do
    world
    |> put_host(%{host | incarnation: incarnation})
    |> feed(host.id, {:records_current, facts, local(world, host.id)})
    |> unlimited(host.id)
  end

  defp tell(world, host, {key, value, revision} = change) do
    told =
      if value == nil, do: Map.delete(host.told, key), else: Map.put(host.told, key, revision)

    world |> put_host(%{host | told: told}) |> feed(host.id, event(host, change))
  end

  defp event(_host, {{:app, name}, nil, _revision}), do: {:record_deleted, name}

  defp event(host, {{:app, name}, record, revision}) do
    if record.schema > host.member.schema,
      do: {:record, name, {:newer, record.schema}, revision},
      else: {:record, name, record, revision}
  end

  defp event(_host, {{:status, host, app}, status, _revision}), do: {:status, host, app, status}
  defp event(_host, {{:slots, app}, slots, revision}), do: {:slots, app, slots, revision}
  defp event(_host, {:generation, generation, _revision}), do: {:generation, generation}

  # Machines.

  def feed(world, id, event) do
    host = world.hosts[id]
    {machine, actions} = Machine.handle(host.machine, event)
    world |> put_host(%{host | machine: machine}) |> act(id, actions)
  end

  defp act(world, id, actions), do: Enum.reduce(actions, world, &act_one(&2, id, &1))

  defp act_one(world, id, {:keep, copy}), do: put_host(world, %{world.hosts[id] | disk: copy})
  defp act_one(world, _id, {:announce, _type, _data}), do: world
  defp act_one(world, id, :beat), do: beat(world, id)

  defp act_one(world, id, {:write_record, name, record, revision}) do
    write_later(world, id, {:record, name}, {:put, {:app, name}, record, revision})
  end

  defp act_one(world, id, {:put_back, name, record}) do
    write_later(world, id, {:record, name}, {:put, {:app, name}, record, :create})
  end

  defp act_one(world, id, {:write_status, app, status}) do
    write_later(world, id, {:status, app}, {:set, {:status, id, app}, status})
  end

  defp act_one(world, id, {:write_slots, app, slots, revision}) do
    write_later(world, id, {:slots, app}, {:put, {:slots, app}, slots, revision})
  end

  defp act_one(world, id, {:write_generation, old}) do
    write_later(world, id, :generation, {:generation, old})
  end

  defp act_one(world, id, {:fetch_model, digest}) do
    model = world.versions[digest].model
    answer = if :store in world.hosts[id].cut, do: {:error, :cut}, else: model
    to_host(world, id, :rand.uniform(300), {:feed, {:model, digest, answer}})
  end

  defp act_one(world, id, {:fetch_objects, app, version, digests}) do
    host = world.hosts[id]

    if :store in host.cut or (faulty?(world) and :rand.uniform(20) == 1) do
      to_host(world, id, 100, {:feed, {:objects, app, version, digests, {:error, :cut}}})
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
    |> check_apply(host, app, before, run)
    |> put_run(id, app, run)
    |> to_host(id, :rand.uniform(1_000), {:host_done, app, apply})
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

  defp done(world, host, app, %{share: share} = run) when share == %{} do
    host = %{host | runs: Map.delete(host.runs, app)}
    world |> put_host(host) |> feed(host.id, {:applied, app, run.version, %{}, %{}})
  end

  defp done(world, host, app, run) do
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

  # What must hold at each moment.

  defp check_apply(world, host, app, before, run) do
    world
    |> check_here(host, app, run)
    |> check_limits(host, app, run)
    |> check_slots(host, app, before, run)
  end

  defp check_here(world, _host, _app, %{share: share}) when share == %{}, do: world

  defp check_here(world, host, app, run) do
    cond do
      run.model == nil ->
        violate(world, "#{host.id} applies #{app} without its model")

      not Enum.all?(world.versions[run.digest].objects, &(&1 in host.objects)) ->
        violate(world, "#{host.id} applies #{app} without its objects")

      true ->
        world
    end
  end

  # Who is cut off starts nobody else's share.
  defp check_limits(world, %{limits: nil}, _app, _run), do: world
  defp check_limits(world, _host, _app, %{share: share}) when share == %{}, do: world

  defp check_limits(world, host, app, run) do
    with {digest, limit} when digest == run.digest <- host.limits[app],
         true <- world.versions[run.digest].fate == :good,
         [_ | _] = more <- for({id, count} <- run.share, count > Map.get(limit, id, 0), do: id) do
      violate(world, "#{host.id}, which is cut off, starts #{inspect(more)} of #{app}")
    else
      _within -> world
    end
  end

  defp limits(host) do
    for app <- Machine.apps(host.machine),
        {shares, _unplaced} <- [Machine.placement(host.machine, app)],
        into: %{} do
      {_version, told} = Machine.share(host.machine, app)
      current = Record.current(Machine.record(host.machine, app))
      placed = Map.get(shares, host.id, %{})
      {app, {current.model, Map.merge(placed, told, fn _id, one, other -> max(one, other) end)}}
    end
  end

  defp unlimited(world, id) do
    host = world.hosts[id]
    if MapSet.size(host.cut) == 0, do: put_host(world, %{host | limits: nil}), else: world
  end

  # One member of an application is updated at a time. It has given up after the progress deadline.
  defp check_slots(%{profile: :calm} = world, host, app, before, run) do
    deadline = Keyword.fetch!(world.options, :progress_deadline)

    others =
      for other <- alive(world),
          other.id != host.id,
          %{updating: since} when since != nil <- [other.runs[app]],
          world.now - since < 0.9 * deadline,
          do: other.id

    updates? =
      before != nil and before.share != %{} and run.share != %{} and before.version != run.version

    if updates? and others != [],
      do: violate(world, "#{host.id} updates #{app} while #{inspect(others)} do"),
      else: world
  end

  defp check_slots(world, _host, _app, _before, _run), do: world

  # While hosts only join, what runs goes on running somewhere.
  defp check_gap(%{profile: :joins} = world, app) do
    running =
      for host <- alive(world),
          %{running: running} <- [host.runs[app]],
          workload <- running,
          into: MapSet.new(),
          do: {app, workload}

    gap = world.established |> MapSet.filter(&(elem(&1, 0) == app)) |> MapSet.difference(running)
    world = %{world | established: MapSet.union(world.established, running)}

    if MapSet.size(gap) == 0,
      do: world,
      else: violate(world, "nobody runs #{inspect(Enum.to_list(gap))}")
  end

  defp check_gap(world, _app), do: world

  # Helpers.

  def put_host(world, host), do: %{world | hosts: Map.put(world.hosts, host.id, host)}

  defp put_run(world, id, app, run) do
    host = world.hosts[id]
    world |> put_host(%{host | runs: Map.put(host.runs, app, run)}) |> check_gap(app)
  end

  defp local(world, id) when is_binary(id), do: local(world.hosts[id], world)
  defp local(host, world), do: round(host.offset + world.now * host.rate)
end
