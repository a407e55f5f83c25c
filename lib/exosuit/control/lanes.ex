defmodule Exosuit.Control.Lanes do
  @moduledoc false
  # Commands for one and the same thing are carried out in the order in which they came, all others
  # side by side. Pure; what runs and what waits is bounded.

  @type lane :: term()
  @type t :: %__MODULE__{
          max: pos_integer(),
          count: non_neg_integer(),
          waiting: %{lane() => :queue.queue()}
        }

  @enforce_keys [:max]
  defstruct [:max, count: 0, waiting: %{}]

  @doc "No commands yet; so many may run and wait."
  @spec new(pos_integer()) :: t()
  def new(max), do: %__MODULE__{max: max}

  @doc "Whether it may run now, has to wait for others of its lane, or is one too many."
  @spec enter(t(), lane(), term()) :: {:run, t()} | {:wait, t()} | :full
  def enter(%{count: count, max: max}, _lane, _item) when count >= max, do: :full

  def enter(lanes, lane, item) do
    lanes = %{lanes | count: lanes.count + 1}

    case lanes.waiting do
      %{^lane => queue} -> {:wait, put_in(lanes.waiting[lane], :queue.in(item, queue))}
      %{} -> {:run, put_in(lanes.waiting[lane], :queue.new())}
    end
  end

  @doc "All that wait."
  @spec waiting(t()) :: [term()]
  def waiting(lanes),
    do: Enum.flat_map(lanes.waiting, fn {_lane, queue} -> :queue.to_list(queue) end)

  @doc "One of this lane is done: the next that may run, if one waits."
  @spec leave(t(), lane()) :: {{:run, term()} | :idle, t()}
  def leave(lanes, lane) do
    lanes = %{lanes | count: lanes.count - 1}

    case :queue.out(Map.fetch!(lanes.waiting, lane)) do
      {{:value, item}, queue} -> {{:run, item}, put_in(lanes.waiting[lane], queue)}
      {:empty, _queue} -> {:idle, %{lanes | waiting: Map.delete(lanes.waiting, lane)}}
    end
  end
end
