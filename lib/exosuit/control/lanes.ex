defmodule Exosuit.Control.Lanes do
  @moduledoc false
  # Commands with the same subject run in the order in which they came, all others concurrently. The number of running
  # and waiting commands is bounded. Pure.

  @type lane :: term()
  @type t :: %__MODULE__{
          max: pos_integer(),
          count: non_neg_integer(),
          waiting: %{lane() => :queue.queue()}
        }

  @enforce_keys [:max]
  defstruct [:max, count: 0, waiting: %{}]

  @doc "An empty state, for this number of running and waiting commands."
  @spec new(pos_integer()) :: t()
  def new(max), do: %__MODULE__{max: max}

  @doc """
  Adds a command. It may run now, has to wait for others of its lane, or is refused because too many run and wait.
  """
  @spec enter(t(), lane(), term()) :: {:run, t()} | {:wait, t()} | :full
  def enter(%{count: count, max: max}, _lane, _item) when count >= max, do: :full

  def enter(lanes, lane, item) do
    lanes = %{lanes | count: lanes.count + 1}

    case lanes.waiting do
      %{^lane => queue} -> {:wait, put_in(lanes.waiting[lane], :queue.in(item, queue))}
      %{} -> {:run, put_in(lanes.waiting[lane], :queue.new())}
    end
  end

  @doc "All waiting commands."
  @spec waiting(t()) :: [term()]
  def waiting(lanes),
    do: Enum.flat_map(lanes.waiting, fn {_lane, queue} -> :queue.to_list(queue) end)

  @doc "Notes that a command of this lane has ended. Returns the next command of the lane, if one waits."
  @spec leave(t(), lane()) :: {{:run, term()} | :idle, t()}
  def leave(lanes, lane) do
    lanes = %{lanes | count: lanes.count - 1}

    case :queue.out(Map.fetch!(lanes.waiting, lane)) do
      {{:value, item}, queue} -> {{:run, item}, put_in(lanes.waiting[lane], queue)}
      {:empty, _queue} -> {:idle, %{lanes | waiting: Map.delete(lanes.waiting, lane)}}
    end
  end
end
