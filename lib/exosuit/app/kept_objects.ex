defmodule Exosuit.App.KeptObjects do
  @moduledoc """
  Keeps objects in memory for a host that has no data directory or cannot write to it, so that the host does not
  fetch them again for each share. The most recently used objects stay, up to a number of bytes. If a
  specification holds the same bytes, they are in memory only once.

  The bound is 256 MiB for all objects together. An object above it is not kept at all, and fetched for each share. The
  bytes are binaries that processes share by reference, so that a caller gets no copy.

  If this process crashes, the objects are lost, and fetched again. Nothing that runs needs them: running code was
  compiled.
  """

  use Exosuit.Server, hides_state: true

  alias Exosuit.{Directory, Instance}
  alias Exosuit.Model.Digest

  @max_bytes 268_435_456

  defstruct objects: %{}, used: 0, max: @max_bytes

  @doc "`max` is for tests: the maximum number of bytes of all objects together."
  @spec start_link({Instance.t(), pos_integer()} | Instance.t()) :: GenServer.on_start()
  def start_link({instance, max}) do
    GenServer.start_link(__MODULE__, max, name: Directory.via(instance.name, __MODULE__))
  end

  def start_link(instance), do: start_link({instance, @max_bytes})

  @doc "Returns the bytes of an object, or `nil`. From then on, it counts as used last. Blocks the calling process."
  @spec get(GenServer.server(), Digest.t()) :: binary() | nil
  def get(server, digest), do: GenServer.call(server, {:get, digest})

  @doc "Keeps the bytes of an object, and forgets the least recently used objects. Returns at once."
  @spec put(GenServer.server(), Digest.t(), binary()) :: :ok
  def put(server, digest, bytes), do: GenServer.cast(server, {:put, digest, bytes})

  @doc "The process of a host."
  @spec server(Instance.t()) :: GenServer.name()
  def server(instance), do: Directory.via(instance.name, __MODULE__)

  @impl GenServer
  def init(max), do: {:ok, %__MODULE__{max: max}}

  @impl GenServer
  def handle_call({:get, digest}, _from, state) do
    case state.objects do
      %{^digest => {bytes, _used}} -> {:reply, bytes, use_now(state, digest, bytes)}
      %{} -> {:reply, nil, state}
    end
  end

  @impl GenServer
  def handle_cast({:put, _digest, bytes}, %{max: max} = state) when byte_size(bytes) > max,
    do: {:noreply, state}

  def handle_cast({:put, digest, bytes}, state),
    do: {:noreply, state |> use_now(digest, bytes) |> shrink()}

  defp use_now(state, digest, bytes) do
    used = state.used + 1
    %{state | used: used, objects: Map.put(state.objects, digest, {bytes, used})}
  end

  defp shrink(%{objects: objects} = state) do
    size = Enum.sum(for {_digest, {bytes, _used}} <- objects, do: byte_size(bytes))

    if size <= state.max do
      state
    else
      {oldest, _object} = Enum.min_by(objects, fn {_digest, {_bytes, used}} -> used end)
      shrink(%{state | objects: Map.delete(objects, oldest)})
    end
  end
end
