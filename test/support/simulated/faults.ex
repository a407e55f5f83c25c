defmodule Exosuit.Simulated.Faults do
  @moduledoc false
  # What befalls a lattice, drawn from the kinds that a profile has. Each ends by itself.

  alias Exosuit.Simulated.{Client, Promises, Store, Versions, World}

  @kinds %{
    calm: [:change],
    joins: [:join],
    crashes: [:change, :crash, :crash_disk, :join, :leave],
    cuts: [:change, :cut_bus, :cut_store, :cut, :outage, :split],
    stores: [:change, :wipe, :wipe_all, :backup, :restore, :crash, :restart_all],
    singletons: [
      :change,
      :crash,
      :join,
      :leave,
      :cut_store,
      :isolate,
      :isolate,
      :outage,
      :split,
      :wipe,
      :backup,
      :restore
    ],
    schemas: [:change, :newer, :crash, :join],
    all: [
      :change,
      :change,
      :change,
      :join,
      :leave,
      :crash,
      :crash_disk,
      :cut_bus,
      :cut_store,
      :cut,
      :outage,
      :split,
      :wipe,
      :backup,
      :restore,
      :newer
    ]
  }

  def profiles, do: @kinds |> Map.keys() |> Enum.sort()
  def draw(profile), do: Enum.random(Map.fetch!(@kinds, profile))

  def commit(world, :change) do
    Client.request(world, Enum.random(Versions.apps()), fate(world))
  end

  def commit(world, :newer) do
    if Enum.any?(World.alive(world), &(&1.member.schema == 2)),
      do: Client.apply_now(world, Enum.random(Versions.apps()), :good, 2),
      else: world
  end

  def commit(world, :join) do
    if map_size(world.hosts) < 20,
      do: World.add_host(world, "N#{map_size(world.hosts) + 1}", schema(world)),
      else: world
  end

  def commit(world, :leave) do
    on_any(world, fn host ->
      world
      |> World.feed(host.id, {:stopping, World.local(host, world)})
      |> World.later(:rand.uniform(3_000), {:leave, host.id, host.epoch})
    end)
  end

  def commit(world, :crash), do: crash(world, true)
  def commit(world, :crash_disk), do: crash(world, false)

  def commit(world, :restart_all) do
    world
    |> World.alive()
    |> Enum.reduce(world, fn host, world ->
      world
      |> World.crash_host(host.id, true)
      |> World.later(:rand.uniform(5_000), {:start, host.id})
    end)
  end

  def commit(world, :cut_bus), do: cut(world, [:bus])
  def commit(world, :cut_store), do: cut(world, [:store])
  def commit(world, :cut), do: cut(world, [:bus, :store])
  # Long enough for another host to take over.
  def commit(world, :isolate), do: cut(world, [:bus, :store], 20_000)

  # The whole bus or the whole store is away.
  def commit(world, :outage) do
    link = Enum.random([:bus, :store])
    duration = 1_000 + :rand.uniform(25_000)

    Enum.reduce(World.alive(world), world, fn host, world ->
      world |> World.cut(host.id, link) |> World.later(duration, {:heal, host.id, link})
    end)
  end

  # Both sides have a bus, and do not hear each other.
  def commit(world, :split) do
    hosts = Map.new(world.hosts, fn {id, host} -> {id, %{host | side: :rand.uniform(2)}} end)
    World.later(%{world | hosts: hosts}, :rand.uniform(25_000), :join_sides)
  end

  def commit(world, :wipe), do: replace(world, Store.wipe(world.store))
  # While all hosts are away.
  def commit(world, :wipe_all), do: world |> commit(:restart_all) |> commit(:wipe)
  def commit(world, :backup), do: %{world | backup: world.store}
  def commit(%{backup: nil} = world, :restore), do: world

  def commit(world, :restore) do
    replace(world, Store.restore(world.store, world.backup))
  end

  def handle(:join_sides, world) do
    %{world | hosts: Map.new(world.hosts, fn {id, host} -> {id, %{host | side: 0}} end)}
  end

  def handle({:start, id}, world) do
    if world.hosts[id].machine, do: world, else: World.start_host(world, id)
  end

  def handle({:leave, id, epoch}, world) do
    case world.hosts[id] do
      %{epoch: ^epoch} ->
        world |> World.leave(id) |> World.crash_host(id, true) |> back(id) |> Promises.crashed()

      _crashed ->
        world
    end
  end

  defp replace(world, store), do: world |> World.replace_store(store) |> Promises.replaced()

  # Some hosts never come back.
  defp back(world, id) do
    if :rand.uniform(4) == 1,
      do: World.put_host(world, %{world.hosts[id] | gone?: true}),
      else: World.later(world, 1_000 + :rand.uniform(20_000), {:start, id})
  end

  defp crash(world, keep_disk?) do
    on_any(world, fn host ->
      world |> World.crash_host(host.id, keep_disk?) |> back(host.id) |> Promises.crashed()
    end)
  end

  defp cut(world, links, least \\ 1_000) do
    on_any(world, fn host ->
      duration = least + :rand.uniform(25_000)

      Enum.reduce(links, world, fn link, world ->
        world |> World.cut(host.id, link) |> World.later(duration, {:heal, host.id, link})
      end)
    end)
  end

  # One host always stays.
  defp on_any(world, commit) do
    case World.alive(world) do
      none_or_last when length(none_or_last) < 2 -> world
      hosts -> commit.(Enum.random(hosts))
    end
  end

  defp fate(world) do
    case :rand.uniform(8) do
      1 -> :refused
      2 -> :hangs
      3 -> {:refused_on, Enum.take_random(Map.keys(world.hosts), 1)}
      _usual -> :good
    end
  end

  defp schema(%{profile: profile}) when profile in [:schemas, :all], do: :rand.uniform(2)
  defp schema(_world), do: 1
end
