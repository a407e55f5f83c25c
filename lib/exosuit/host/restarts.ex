defmodule Exosuit.Host.Restarts do
  @moduledoc false
  # When to start again what ended: at once where it had run well, later and later where it keeps
  # falling, and not at all past the limit. Pure: times are given, in milliseconds.

  @type t :: [integer()]

  # So many restarts in a window say that one more will not help.
  @limit 15
  @window 60_000
  @first_delay 10
  @longest_delay 1_000

  @doc "No restart yet."
  @spec new() :: t()
  def new, do: []

  @doc "Whether to start again at `now`, and after how many milliseconds."
  @spec next(t(), integer()) :: {:after, non_neg_integer(), t()} | {:give_up, pos_integer()}
  def next(restarts, now) do
    recent = Enum.filter(restarts, &(now - &1 < @window))

    case length(recent) do
      count when count >= @limit -> {:give_up, count}
      count -> {:after, delay(count), [now | recent]}
    end
  end

  defp delay(0), do: 0
  defp delay(count), do: min(@first_delay * Integer.pow(2, count - 1), @longest_delay)
end
