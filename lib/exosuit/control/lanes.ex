defmodule Exosuit.Control.Lanes do
  @moduledoc """
  The order of commands: those with the same subject run in the order in which they came, all others concurrently. Pure.

  A lane is a subject (`Exosuit.Model.Command.subject/1`). It exists while a command of it runs. The number of running
  and waiting commands together is bounded.

      iex> alias Exosuit.Control.Lanes
      iex> {:run, lanes} = Lanes.enter(Lanes.new(3), {:actor, "shop"}, :stop)
      iex> {:wait, lanes} = Lanes.enter(lanes, {:actor, "shop"}, :scale)
      iex> {:run, lanes} = Lanes.enter(lanes, {:actor, "cart"}, :stop)
      iex> Lanes.enter(lanes, :labels, :put)
      :full
      iex> {next, _lanes} = Lanes.leave(lanes, {:actor, "shop"})
      iex> next
      {:run, :scale}
  """

  @typedoc "Commands of one lane run one after the other."
  @type lane :: term()

  @typedoc """
  `count` is the number of running and waiting commands. `waiting` has a queue for each lane of which a command runs.
  """
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

  @doc """
  Notes that a command of this lane has ended. Returns the next command of the lane, if one waits; it runs from now on.
  """
  @spec leave(t(), lane()) :: {{:run, term()} | :idle, t()}
  def leave(lanes, lane) do
    lanes = %{lanes | count: lanes.count - 1}

    case :queue.out(Map.fetch!(lanes.waiting, lane)) do
      {{:value, item}, queue} -> {{:run, item}, put_in(lanes.waiting[lane], queue)}
      {:empty, _queue} -> {:idle, %{lanes | waiting: Map.delete(lanes.waiting, lane)}}
    end
  end
end
