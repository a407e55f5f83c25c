defmodule Exosuit.Soak.Counts do
  @moduledoc """
  A set of counts in little memory: disjoint ranges `{first, last}`, the greatest first, with a gap
  between any two.
  """

  @type t :: [{pos_integer(), pos_integer()}]

  @doc "Adds a count. `:error` if the set has it already."
  @spec add(t(), pos_integer()) :: {:ok, t()} | :error
  def add([{first, last} | smaller], count) when count < first - 1 do
    with {:ok, smaller} <- add(smaller, count), do: {:ok, [{first, last} | smaller]}
  end

  def add([{first, last} | _smaller], count) when count in first..last//1, do: :error

  def add([{first, last} | smaller], count) when count == first - 1,
    do: {:ok, join({count, last}, smaller)}

  def add([{first, last} | smaller], count) when count == last + 1,
    do: {:ok, [{first, count} | smaller]}

  def add(smaller, count), do: {:ok, [{count, count} | smaller]}

  @doc "The number of counts."
  @spec size(t()) :: non_neg_integer()
  def size(ranges), do: ranges |> Enum.map(fn {first, last} -> last - first + 1 end) |> Enum.sum()

  @doc "The greatest count; 0 if there is none."
  @spec greatest(t()) :: non_neg_integer()
  def greatest([]), do: 0
  def greatest([{_first, last} | _smaller]), do: last

  defp join({first, last}, [{lowest, before} | smaller]) when before == first - 1,
    do: [{lowest, last} | smaller]

  defp join(range, smaller), do: [range | smaller]
end
