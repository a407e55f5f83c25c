defmodule Exosuit.Simulated.Checks do
  @moduledoc false
  # What must hold at each moment, whatever happens: see the functions.

  alias Exosuit.App.{Machine, Model, Record}
  alias Exosuit.Simulated.World

  def check_apply(world, host, app, before, run) do
    world
    |> check_here(host, app, run)
    |> check_limits(host, app, run)
    |> check_slots(host, app, before, run)
  end

  defp check_here(world, _host, _app, %{share: share}) when share == %{}, do: world

  defp check_here(world, host, app, run) do
    cond do
      run.model == nil ->
        World.violate(world, "#{host.id} applies #{app} without its model")

      not Enum.all?(world.versions[run.digest].objects, &(&1 in host.objects)) ->
        World.violate(world, "#{host.id} applies #{app} without its objects")

      true ->
        world
    end
  end

  # A singleton runs on one host at a time. It may run from when a share with it was applied until another share has
  # been made, or its lease has ended.
  def check_singletons(world, host) do
    twice =
      for other <- World.alive(world),
          other.id != host.id,
          it <- MapSet.intersection(other.singletons, host.singletons),
          do: {other.id, it}

    if twice == [],
      do: world,
      else: World.violate(world, "#{host.id} runs singletons as well: #{inspect(twice)}")
  end

  # Who is cut off starts nobody else's share. Another model or schema is a change of the record, which gives it a new
  # share.
  defp check_limits(world, %{limits: nil}, _app, _run), do: world
  defp check_limits(world, _host, _app, %{share: share}) when share == %{}, do: world

  defp check_limits(world, host, app, run) do
    target = {run.digest, schema(host, app)}

    with {^target, limit} <- host.limits[app],
         true <- world.versions[run.digest].fate == :good,
         [_ | _] = more <- for({id, count} <- run.share, count > Map.get(limit, id, 0), do: id) do
      World.violate(world, "#{host.id}, which is cut off, starts #{inspect(more)} of #{app}")
    else
      _within -> world
    end
  end

  def limits(host) do
    for app <- Machine.apps(host.machine),
        {shares, _unplaced} <- [Machine.placement(host.machine, app)],
        into: %{} do
      {_version, told} = Machine.share(host.machine, app)
      current = Record.current(Machine.record(host.machine, app))
      placed = Map.get(shares, host.id, %{})
      target = {current.model, schema(host, app)}
      {app, {target, Map.merge(placed, told, fn _id, one, other -> max(one, other) end)}}
    end
  end

  defp schema(host, app) do
    record = Machine.record(host.machine, app)
    record && record.schema
  end

  # One member of an application is updated at a time. It has given up after the progress deadline.
  defp check_slots(%{profile: :calm} = world, host, app, before, run) do
    deadline = Keyword.fetch!(world.options, :progress_deadline)

    others =
      for other <- World.alive(world),
          other.id != host.id,
          %{updating: since} when since != nil <- [other.runs[app]],
          world.now - since < 0.9 * deadline,
          do: other.id

    updates? =
      before != nil and before.share != %{} and run.share != %{} and before.version != run.version

    if updates? and others != [],
      do: World.violate(world, "#{host.id} updates #{app} while #{inspect(others)} do"),
      else: world
  end

  defp check_slots(world, _host, _app, _before, _run), do: world

  # While hosts only join, what runs goes on running somewhere.
  def check_gap(%{profile: :joins} = world, app) do
    running =
      for host <- World.alive(world),
          %{running: running} = run <- [host.runs[app]],
          workload <- MapSet.difference(running, singletons(run)),
          into: MapSet.new(),
          do: {app, workload}

    gap = world.established |> MapSet.filter(&(elem(&1, 0) == app)) |> MapSet.difference(running)
    world = %{world | established: MapSet.union(world.established, running)}

    if MapSet.size(gap) == 0,
      do: world,
      else: World.violate(world, "nobody runs #{inspect(Enum.to_list(gap))}")
  end

  def check_gap(world, _app), do: world

  # A singleton ends on one host before it begins on another.
  defp singletons(%{model: false}), do: MapSet.new()

  defp singletons(run) do
    for %{id: id, singleton?: true} <- Model.workloads(run.model), into: MapSet.new(), do: id
  end
end
