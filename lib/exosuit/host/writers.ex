defmodule Exosuit.Host.Writers do
  @moduledoc """
  The processes of this host that are writing links to the shared state, and the keys of links that wait for them. Pure.

  A watch may deliver a change to `Exosuit.Host.Replica` before the writer does, but only the writer knows whether a
  refusal must be undone. Therefore such a key waits for its writer, and is settled once.

      iex> alias Exosuit.Host.Writers
      iex> writer = make_ref()
      iex> shop = {"shop", "wasi:keyvalue", "default"}
      iex> cart = {"cart", "wasi:keyvalue", "default"}
      iex> writers = Writers.add(%Writers{}, writer, [shop])
      iex> {now, writers} = Writers.defer(writers, [shop, cart])
      iex> now
      [{"cart", "wasi:keyvalue", "default"}]
      iex> {due, _writers} = Writers.remove(writers, writer)
      iex> due
      [{"shop", "wasi:keyvalue", "default"}]
  """

  alias Exosuit.Model.Link

  @typedoc """
  `keys` has the keys of each writer, by the monitor of its process. `waiting` are keys that changed meanwhile.
  """
  @type t :: %__MODULE__{
          keys: %{optional(reference()) => MapSet.t(Link.key())},
          waiting: MapSet.t(Link.key())
        }

  defstruct keys: %{}, waiting: MapSet.new()

  @doc "Adds a writer of these keys."
  @spec add(t(), reference(), [Link.key()]) :: t()
  def add(writers, writer, keys), do: put_in(writers.keys[writer], MapSet.new(keys))

  @doc "Splits keys that may have changed: those that can be settled now, and those that wait for a writer."
  @spec defer(t(), [Link.key()]) :: {[Link.key()], t()}
  def defer(%{keys: none} = writers, keys) when none == %{}, do: {keys, writers}

  def defer(writers, keys) do
    {later, now} = Enum.split_with(keys, &written?(writers, &1))
    {now, %{writers | waiting: Enum.into(later, writers.waiting)}}
  end

  @doc """
  Removes a writer. Returns the keys that waited for it alone; those that another writer writes wait on.
  """
  @spec remove(t(), reference()) :: {[Link.key()], t()}
  def remove(writers, writer) do
    {keys, left} = Map.pop(writers.keys, writer, [])
    writers = %{writers | keys: left}
    due = for key <- keys, key in writers.waiting, not written?(writers, key), uniq: true, do: key
    {due, %{writers | waiting: MapSet.difference(writers.waiting, MapSet.new(due))}}
  end

  defp written?(writers, key),
    do: Enum.any?(writers.keys, fn {_writer, keys} -> MapSet.member?(keys, key) end)
end
