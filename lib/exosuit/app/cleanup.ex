defmodule Exosuit.App.Cleanup do
  @moduledoc """
  The hourly clean-up of a member, in tasks. Each member deletes unused files of objects in its own data directory.
  One member of the lattice also deletes the statuses of lost hosts, the leases of deleted applications, and the
  objects that no application names (`Exosuit.App.Sweep`). While there is a record of a newer version of Exosuit,
  nothing is cleaned up, because such a record may name objects that this version cannot see.

  | what | by whom | when it is unused |
  |---|---|---|
  | files of objects | each host with NATS and a data directory | a day after the file was written, if not named |
  | statuses | the member with the lowest id | their host is not a member any more |
  | leases | the same | their application is gone, and nobody has renewed them for their length |
  | objects of the store | the same | no record names them in two sweeps, an hour apart |

  The member with the lowest id needs no election: all members know each other. If two hosts take themselves for that
  member for a moment, they delete the same keys, which does no harm. While the store is down, nothing of it is swept.

  The tasks get the state of the machine as it is now. They read nothing of the member later, and their result is only
  what the next sweep needs.
  """

  alias Exosuit.Instance
  alias Exosuit.App.{Keys, Machine, Objects, Sweep}
  alias Exosuit.Lattice.{Session, Store}
  alias Exosuit.Model.Digest

  @bucket :applications

  @doc """
  The tasks by their purposes. `found` has the objects that the previous sweep found unnamed. Empty if there is nothing
  to do for this host. The member starts one task for each.
  """
  @spec work(Instance.t(), Machine.t(), :up | :down, MapSet.t(Digest.t())) ::
          [{:sweep | :prune, (() -> term())}]
  def work(instance, machine, store, found) do
    if Machine.newer?(machine),
      do: [],
      else: sweep(instance, machine, store, found) ++ prune(instance, machine)
  end

  defp sweep(instance, machine, :up, found) do
    [first | _others] = Machine.members(machine)

    if first.id == instance.source,
      do: [sweep: fn -> sweep(instance, machine, found) end],
      else: []
  end

  defp sweep(_instance, _machine, :down, _found), do: []

  defp sweep(instance, machine, found) do
    for {host, app} <- Machine.lost_statuses(machine),
        key = Keys.encode({:status, host, app}),
        do: Store.delete(instance.lattice, @bucket, key)

    for {app, workload, revision} <- Machine.unused_leases(machine),
        key = Keys.encode({:lease, app, workload}),
        do: Store.remove(instance.lattice, @bucket, key, revision)

    Sweep.run(instance.lattice, found, System.system_time(:millisecond))
  end

  # The objects of the store itself may be in the same directory.
  defp prune(instance, machine) do
    records = for app <- Machine.apps(machine), record = Machine.record(machine, app), do: record

    named = Sweep.named(records)
    work = fn -> Objects.prune(instance, named, System.system_time(:second)) end
    if Session.has?(instance.lattice, :own_objects), do: [], else: [prune: work]
  end
end
