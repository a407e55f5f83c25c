defmodule Exosuit.Simulated.Wire do
  @moduledoc false
  # Between hosts and their store: writes that take time, whose answers may be lost, and watches that tell in order, from
  # where they were interrupted.

  alias Exosuit.Simulated.{Store, World}

  @cut Exosuit.Error.new(:unavailable, "the store cannot be reached")

  def write(world, id, epoch, key, operation) do
    case perform(world, id, operation) do
      {:conflict, world} -> refuse(world, id, epoch, key)
      {result, world} -> answer(world, id, epoch, key, {:ok, result})
    end
  end

  defp refuse(world, id, epoch, {:lease, _app, _workload} = key) do
    {value, revision} = Store.get(world.store, key)
    message = {:refused, key, value, if(value, do: revision, else: 0)}
    World.later(world, :rand.uniform(200), {:host, id, epoch, message})
  end

  defp refuse(world, id, epoch, key), do: answer(world, id, epoch, key, :conflict)

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
      do: World.violate(world, "#{id} of schema #{schema} writes the newer record #{name}"),
      else: world
  end

  defp check_newer(world, _id, _key), do: world

  # An answer may be lost; then the write counts as failed, whatever became of it.
  def answer(world, id, epoch, key, result) do
    result = if World.faulty?(world) and :rand.uniform(50) == 1, do: {:error, @cut}, else: result
    World.later(world, :rand.uniform(200), {:host, id, epoch, {:feed, {:written, key, result}}})
  end

  def tell_all(world, change) do
    Enum.reduce(World.alive(world), world, fn host, world ->
      if :store in host.cut or host.watch == 0,
        do: world,
        else: told_later(world, host.id, change)
    end)
  end

  defp told_later(world, id, change) do
    host = world.hosts[id]
    delay = if World.faulty?(world) and :rand.uniform(10) == 1, do: 3_000, else: 200
    at = max(host.told_at, world.now + :rand.uniform(delay))
    world = World.put_host(world, %{host | told_at: at})
    World.to_host(world, id, at - world.now, {:told, host.watch, change})
  end

  def watch(world, id) do
    host = world.hosts[id]
    host = begun(%{host | watch: host.watch + 1, told_at: world.now}, world.store)
    world = world |> World.put_host(host) |> World.feed(id, {:store, :up, World.local(world, id)})
    {puts, deleted} = Store.changes(world.store, host.told)
    {generation, _revision} = Store.get(world.store, :generation)
    current = {:current, %{generation: generation, position: world.store.position}}

    Enum.reduce(
      puts ++ deleted ++ lost(host, world.store) ++ [current],
      world,
      &told_later(&2, id, &1)
    )
  end

  # As `KeyMirror` of the real store does: the keys of the store before this one wait until this one has told all of
  # its own.
  defp begun(%{incarnation: same} = host, %{incarnation: same}), do: host

  defp begun(host, store) do
    before = Enum.into(Map.keys(host.told), host.before)
    %{host | told: %{}, before: before, incarnation: store.incarnation, all_told?: false}
  end

  defp lost(%{all_told?: true}, _store), do: []

  defp lost(host, store),
    do: [{:lost, host.before |> Enum.reject(&is_map_key(store.data, &1)) |> Enum.sort()}]

  def tell(world, host, {:lost, keys}) do
    names = for {:app, name} <- keys, do: name
    others = for key <- keys, not match?({:app, _name}, key), key != :generation, do: key
    world = World.put_host(world, %{host | before: MapSet.new(), all_told?: true})
    world = if keys == [], do: world, else: World.feed(world, host.id, {:records_lost, names})
    now = World.local(world, host.id)
    Enum.reduce(others, world, &World.feed(&2, host.id, event(host, {&1, nil, 0}, now)))
  end

  def tell(world, host, {:current, facts}) do
    world
    |> World.feed(host.id, {:records_current, facts, World.local(world, host.id)})
    |> World.unlimited(host.id)
  end

  def tell(world, host, {key, value, revision} = change) do
    told =
      if value == nil, do: Map.delete(host.told, key), else: Map.put(host.told, key, revision)

    event = event(host, change, World.local(host, world))
    world |> World.put_host(%{host | told: told}) |> World.feed(host.id, event)
  end

  defp event(_host, {{:lease, app, workload}, nil, _revision}, now),
    do: {:lease, app, workload, nil, 0, now}

  defp event(_host, {{:lease, app, workload}, lease, revision}, now),
    do: {:lease, app, workload, lease, revision, now}

  defp event(host, change, _now), do: event(host, change)

  defp event(_host, {{:app, name}, nil, _revision}), do: {:record_deleted, name}

  defp event(host, {{:app, name}, record, revision}) do
    if record.schema > host.member.schema,
      do: {:record, name, {:newer, record.schema, record}, revision},
      else: {:record, name, record, revision}
  end

  defp event(_host, {{:status, host, app}, status, _revision}), do: {:status, host, app, status}
  defp event(_host, {{:slots, app}, slots, revision}), do: {:slots, app, slots, revision}
  defp event(_host, {:generation, generation, _revision}), do: {:generation, generation}
end
