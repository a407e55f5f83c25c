defmodule Plugins.Log do
  @moduledoc """
  The last lines that each plugin wrote. A plugin that writes more replaces its own lines only.
  """
  use GenServer

  @lines 100
  @characters 1_000

  @type line :: {:info | :warning, String.t()}

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_argument), do: GenServer.start_link(__MODULE__, %{}, name: __MODULE__)

  @doc "Adds a line. The caller waits, so that a plugin cannot write faster than the log takes its lines."
  @spec write(String.t(), line()) :: :ok
  def write(actor, {level, text}) do
    GenServer.call(__MODULE__, {:write, actor, {level, String.slice(text, 0, @characters)}})
  end

  @doc "The lines of an actor, the oldest first."
  @spec lines(String.t()) :: [line()]
  def lines(actor), do: GenServer.call(__MODULE__, {:lines, actor})

  @doc "Deletes the lines of an actor."
  @spec delete(String.t()) :: :ok
  def delete(actor), do: GenServer.call(__MODULE__, {:delete, actor})

  @impl GenServer
  def init(lines), do: {:ok, lines}

  @impl GenServer
  def handle_call({:write, actor, line}, _from, lines) do
    {:reply, :ok, Map.update(lines, actor, [line], &Enum.take([line | &1], @lines))}
  end

  def handle_call({:lines, actor}, _from, lines) do
    {:reply, lines |> Map.get(actor, []) |> Enum.reverse(), lines}
  end

  def handle_call({:delete, actor}, _from, lines), do: {:reply, :ok, Map.delete(lines, actor)}
end
