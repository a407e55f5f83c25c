defmodule Exosuit.Bench.Measure do
  @moduledoc false
  # Rounds that take turns, after one that warms up and is not counted; and their medians.

  @rounds 9

  @doc "The median of each of the functions, which give what they measured."
  @spec medians([(() -> number())], pos_integer()) :: [float()]
  def medians(functions, rounds \\ @rounds) do
    [_warm_up | counted] = for _round <- 0..rounds, do: Enum.map(functions, & &1.())
    counted |> Enum.zip_with(& &1) |> Enum.map(&median/1)
  end

  @doc "Seconds that `fun` takes."
  @spec seconds((() -> term())) :: float()
  def seconds(fun) do
    {microseconds, _result} = :timer.tc(fun)
    microseconds / 1_000_000
  end

  defp median(values), do: values |> Enum.sort() |> Enum.at(div(length(values), 2)) |> Kernel./(1)
end
