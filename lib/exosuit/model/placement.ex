defmodule Exosuit.Model.Placement do
  @moduledoc false
  # Who should run where: pure, and the same for the same hosts, in whatever order they are given.

  alias Exosuit.Model.Workload

  @type host :: %{:id => String.t(), :labels => map(), optional(atom()) => term()}
  @type counts :: %{optional(String.t()) => pos_integer()}

  @typedoc "How many of which spread have no host."
  @type unplaced :: {spread :: String.t(), pos_integer()}

  @doc """
  How many of a workload should be on which host; `running` are the hosts that have it already, which
  a provider that is on some hosts only does not leave without need.
  """
  @spec place(Workload.t(), [host()], MapSet.t()) :: {counts(), [unplaced()]}
  def place(workload, hosts, running \\ MapSet.new())

  def place(%Workload{scaler: :spread} = workload, hosts, running) do
    hosts = Enum.sort_by(hosts, & &1.id)
    shares = divide(workload.instances, Enum.map(workload.spreads, & &1.weight))

    workload.spreads
    |> Enum.zip(shares)
    |> Enum.reduce({%{}, []}, fn {spread, share}, {counts, unplaced} ->
      candidates = for host <- hosts, meets?(host, spread), do: host.id
      placed = fill(workload.role, share, candidates, {counts, running})
      missing = share - (placed |> Map.values() |> Enum.sum())
      unplaced = if missing > 0, do: [{spread.name, missing} | unplaced], else: unplaced
      {Map.merge(counts, placed, fn _host, one, more -> one + more end), unplaced}
    end)
    |> then(fn {counts, unplaced} -> {counts, Enum.reverse(unplaced)} end)
  end

  def place(%Workload{} = workload, hosts, _running) do
    count = if workload.role == :actor, do: workload.instances, else: 1
    {for(host <- hosts, wanted?(host, workload), into: %{}, do: {host.id, count}), []}
  end

  @doc """
  Divides a number by weights: whole ones first, the rest to those who came closest to one more. Weights that
  are all 0 count alike.
  """
  @spec divide(non_neg_integer(), [non_neg_integer()]) :: [non_neg_integer()]
  def divide(count, weights) do
    weights =
      if Enum.all?(weights, &(&1 == 0)), do: Enum.map(weights, fn _ -> 1 end), else: weights

    total = Enum.sum(weights)
    whole = Enum.map(weights, &div(count * &1, total))

    weights
    |> Enum.with_index()
    |> Enum.sort_by(fn {weight, index} -> {-rem(count * weight, total), index} end)
    |> Enum.take(count - Enum.sum(whole))
    |> Enum.reduce(whole, fn {_weight, index}, shares ->
      List.update_at(shares, index, &(&1 + 1))
    end)
  end

  defp wanted?(_host, %Workload{scaler: :everywhere}), do: true
  defp wanted?(host, workload), do: Enum.any?(workload.spreads, &meets?(host, &1))

  defp meets?(host, spread) do
    Enum.all?(spread.requirements, fn {label, value} -> host.labels[label] == value end)
  end

  defp fill(_role, 0, _candidates, _taken), do: %{}
  defp fill(_role, _share, [], _taken), do: %{}

  defp fill(:actor, share, candidates, _taken) do
    {each, more} = {div(share, length(candidates)), rem(share, length(candidates))}

    for {host, index} <- Enum.with_index(candidates),
        count = if(index < more, do: each + 1, else: each),
        count > 0,
        into: %{},
        do: {host, count}
  end

  # A host runs a provider once.
  defp fill(:provider, share, candidates, {taken, running}) do
    candidates
    |> Enum.reject(&is_map_key(taken, &1))
    |> Enum.sort_by(&(&1 not in running))
    |> Enum.take(share)
    |> Map.new(&{&1, 1})
  end
end
