defmodule Exosuit.Simulated.Promises do
  @moduledoc false
  # What clients were told to be done, and must last: an apply is not lost, and a deletion is not undone. A promise ends
  # when nobody is left who could keep it:
  #
  # - an apply, when neither the store nor a copy has it. Copies of hosts that never come back do not count.
  # - a deletion, when the store is replaced while the new one or a copy still has the record, or when it is
  #   acknowledged while a host has the record from another store, or from one of another generation: that host cannot
  #   tell that the store did not lose it.

  alias Exosuit.App.Machine
  alias Exosuit.Simulated.Store

  def applied(world, name, digest), do: promise(world, name, {digest, world.now})

  def deleted(world, name) do
    {generation, _revision} = Store.get(world.store, :generation)

    returns? =
      Enum.any?(world.hosts, fn {_id, host} ->
        copy = copy(host)

        older? =
          copy && (copy.generation != generation or told_by_another?(host, name, world.store))

        older? && is_map_key(copy.records, name)
      end)

    if returns?, do: unpromise(world, name), else: promise(world, name, :deleted)
  end

  # Its watch will tell it that the store lost the record.
  defp told_by_another?(%{machine: nil}, _name, _store), do: false

  defp told_by_another?(host, name, store),
    do: host.incarnation != store.incarnation or {:app, name} in host.before

  @doc "Hosts crashed: forgets the applies that nobody knows any more."
  def crashed(world), do: keep(world, &(&1 == :deleted or known?(world, &2, &1)))

  @doc "The store was replaced: forgets as well the deletions of what somebody knows."
  def replaced(world) do
    keep(world, fn
      :deleted, name -> not Enum.any?(all(world), &is_map_key(&1, name))
      apply, name -> known?(world, name, apply)
    end)
  end

  @doc "Every acknowledged apply is a version of its record, or was followed by a later one; what is deleted stays so."
  def broken(world) do
    records = Store.records(world.store)

    Enum.flat_map(world.acknowledged, fn
      {name, :deleted} ->
        if is_map_key(records, name), do: ["#{name} is back"], else: []

      {name, {digest, at}} ->
        versions = if records[name], do: records[name].versions, else: []
        kept? = Enum.any?(versions, &(&1.model == digest or &1.at > at))
        if kept?, do: [], else: ["the apply of #{name} at #{at} is lost"]
    end)
  end

  defp promise(world, name, what), do: put_in(world.acknowledged[name], what)
  defp unpromise(world, name), do: %{world | acknowledged: Map.delete(world.acknowledged, name)}

  defp keep(world, keep?) do
    acknowledged = Map.filter(world.acknowledged, fn {name, what} -> keep?.(what, name) end)
    %{world | acknowledged: acknowledged}
  end

  defp known?(world, name, {digest, _at}), do: Enum.any?(all(world), &has?(&1[name], digest))

  defp all(world), do: [Store.records(world.store) | Enum.map(copies(world), & &1.records)]

  defp copies(world) do
    for {_id, host} <- world.hosts, copy = copy(host), do: copy
  end

  defp copy(%{gone?: true}), do: nil
  defp copy(%{machine: nil, disk: disk}), do: disk
  defp copy(%{machine: machine}), do: Machine.copy(machine)

  defp has?({:newer, _schema, record}, digest), do: has?(record, digest)
  defp has?(%{versions: versions}, digest), do: Enum.any?(versions, &(&1.model == digest))
  defp has?(nil, _digest), do: false
end
