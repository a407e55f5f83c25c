defmodule Exosuit.Retry do
  @moduledoc """
  The one retry policy for actors, providers, links, listeners, stores, connections and manifests.

  Pure: the caller gives the time (milliseconds of a monotonic clock) and starts the timer.

      iex> alias Exosuit.Retry
      iex> {delay, retry} = Retry.failed(Retry.new(), 0)
      iex> Enum.member?(1_000..1_250, delay)
      true
      iex> retry = Retry.worked(retry, 2_000)
      iex> {delay, _retry} = Retry.failed(retry, 62_000)
      iex> delay
      0

  - Something that had worked is retried at once. Further delays start at 1 s and double with each failure.
  - Random jitter adds up to a quarter, so that simultaneous failures are not retried simultaneously. A
    delay is never longer than 60 s.
  - Retries never end. A failure that cannot go away by itself (a bad module, hash or signature) is not
    retried: `final?/1`.
  - After working for a minute, the delays start from the beginning.

  Callers emit an event `retry_slow` when `turned_slow?/1` is true: once in a series of failures.
  """

  @type t :: %__MODULE__{failures: non_neg_integer(), working_since: integer() | nil}

  defstruct failures: 0, working_since: nil

  @first_delay 1_000
  # With the jitter on top, 60 s.
  @longest_delay 48_000
  @jitter 0.25
  # Above this number the longest delay applies, and the power would only become a large integer.
  @max_doublings 6
  # The delay is 16 s then, and the failures have lasted for as long.
  @slow 6
  @well 60_000

  # Another try with the same bytes and the same configuration would fail in the same way. A conflict is not in this
  # list, because the owner of the port, the file or the key may release it.
  @final ~w(invalid_claims invalid_input invalid_link invalid_module)a

  @doc """
  Whether an error with this reason cannot go away by itself, and is not retried.

      iex> Enum.map([:invalid_module, :conflict], &Exosuit.Retry.final?/1)
      [true, false]
  """
  @spec final?(Exosuit.Error.reason()) :: boolean()
  def final?(reason), do: reason in @final

  @doc "The initial state, before the first try."
  @spec new() :: t()
  def new, do: %__MODULE__{}

  @doc "Notes that it works since `now`. Its failures count until it has worked for a minute."
  @spec worked(t(), integer()) :: t()
  def worked(%__MODULE__{} = retry, now), do: %{retry | working_since: now}

  @doc "Notes that it failed at `now`. Returns the milliseconds until the next try."
  @spec failed(t(), integer()) :: {non_neg_integer(), t()}
  def failed(retry, now), do: failed(retry, now, :rand.uniform())

  @doc """
  As `failed/2`; the jitter is made of `random`, a number from 0 to 1.

      iex> retry = Exosuit.Retry.new()
      iex> {1_000, retry} = Exosuit.Retry.failed(retry, 0, 0.0)
      iex> {delay, _retry} = Exosuit.Retry.failed(retry, 1_000, 1.0)
      iex> delay
      2_500
  """
  @spec failed(t(), integer(), float()) :: {non_neg_integer(), t()}
  def failed(%__MODULE__{} = retry, now, random) do
    count = count(retry, now)
    {delay(count, random), %{retry | failures: count, working_since: nil}}
  end

  @doc "Whether the last failure is the one at which the retries became slow."
  @spec turned_slow?(t()) :: boolean()
  def turned_slow?(%__MODULE__{failures: failures}), do: failures == @slow

  # Only something that had worked is retried at once, so a failed first try counts twice.
  defp count(%{working_since: nil, failures: 0}, _now), do: 2
  defp count(%{working_since: nil, failures: failures}, _now), do: failures + 1
  defp count(%{working_since: since}, now) when now - since >= @well, do: 1
  defp count(%{failures: failures}, _now), do: failures + 1

  defp delay(1, _random), do: 0

  defp delay(count, random) do
    doubled = @first_delay * Integer.pow(2, min(count - 2, @max_doublings))
    delay = min(doubled, @longest_delay)
    delay + trunc(delay * @jitter * random)
  end
end
