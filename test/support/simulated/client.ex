defmodule Exosuit.Simulated.Client do
  @moduledoc false
  # Somebody outside who applies, changes and deletes applications, by compare-and-set on what was read a while
  # before. What was accepted is remembered: it must not be lost.

  alias Exosuit.App.Record
  alias Exosuit.Simulated.{Promises, Store, Versions, Wire, World}

  # How often a conflict is tried again.
  @attempts 3

  def request(world, name, fate) do
    {record, revision} = Store.get(world.store, {:app, name})
    begin(world, {change(world, name, record), name, fate, @attempts}, record, revision)
  end

  # An apply of a certain kind, whatever is there.
  def apply_now(world, name, fate, schema \\ 1) do
    {record, revision} = Store.get(world.store, {:app, name})
    {:apply, world, record, version} = apply_version(world, name, record, fate, schema)
    commit(world, {:apply, version}, name, record, revision)
  end

  def handle({:commit, {kind, name, fate, attempts}, change, record, revision}, world) do
    case Store.get(world.store, {:app, name}) do
      {_current, ^revision} ->
        commit(world, change, name, record, revision)

      {current, newer} when attempts > 1 ->
        begin(world, {kind, name, fate, attempts - 1}, current, newer)

      _conflict ->
        world
    end
  end

  defp change(_world, _name, nil), do: :apply

  defp change(%{profile: profile}, _name, _record) when profile in [:joins], do: :none

  defp change(_world, _name, _record) do
    Enum.random([:apply, :apply, :apply, :apply, :store, :deploy, :undeploy, :rollback, :delete])
  end

  defp begin(world, {:none, _name, _fate, _attempts}, _record, _revision), do: world

  defp begin(world, {kind, name, fate, _attempts} = request, record, revision) do
    case changed(kind, world, name, fate, record) do
      {:apply, world, record, version} ->
        World.later(
          world,
          :rand.uniform(300),
          {:client, {:commit, request, {:apply, version}, record, revision}}
        )

      {:stored, world, record} ->
        World.later(
          world,
          :rand.uniform(300),
          {:client, {:commit, request, :store, record, revision}}
        )

      {:ok, record} ->
        World.later(
          world,
          :rand.uniform(300),
          {:client, {:commit, request, kind, record, revision}}
        )

      _nothing_to_do ->
        world
    end
  end

  defp changed(:apply, world, name, fate, record) do
    schema = if record, do: record.schema, else: 1
    apply_version(world, name, record, fate, schema)
  end

  defp changed(_kind, _world, _name, _fate, nil), do: :none

  # Somebody may deploy it later.
  defp changed(:store, world, name, fate, record) do
    {world, applied, _version} = made(world, name, fate, Record.newest(record) + 1)
    {:ok, record} = Record.store_version(record, applied)
    {:stored, world, record}
  end

  defp changed(:delete, _world, _name, _fate, _record), do: {:ok, nil}
  defp changed(:undeploy, _world, _name, _fate, record), do: {:ok, Record.undeploy(record)}
  defp changed(:deploy, _world, _name, _fate, record), do: Record.deploy(record)
  defp changed(:rollback, _world, _name, _fate, record), do: Record.rollback(record)

  defp apply_version(world, name, record, fate, schema) do
    number = if record, do: Record.newest(record) + 1, else: 1
    {world, applied, version} = made(world, name, fate, number)

    {:ok, record} =
      if record, do: Record.apply_version(record, applied), else: Record.new(name, applied)

    {:apply, world, %{record | schema: schema}, version}
  end

  defp made(world, name, fate, number) do
    version = Versions.make(name, number, fate)

    applied = %{
      model: version.digest,
      manifest: version.digest,
      objects: version.objects,
      at: world.now,
      by: "client"
    }

    world = %{world | versions: Map.put(world.versions, version.digest, version)}
    {world, applied, version}
  end

  defp commit(world, change, name, record, revision) do
    {store, told} =
      if record,
        do: Store.put(world.store, {:app, name}, record, revision),
        else: Store.write(world.store, {:app, name}, nil)

    %{world | store: store} |> acknowledge(change, name) |> Wire.tell_all(told)
  end

  defp acknowledge(world, {:apply, version}, name),
    do: Promises.applied(world, name, version.digest)

  defp acknowledge(world, :delete, name), do: Promises.deleted(world, name)
  defp acknowledge(world, _other, _name), do: world
end
