defmodule Exosuit.Edge.EventLogger do
  @moduledoc """
  Writes the host's events and its guests' lines to the log. The same failure is logged once a second at
  most, with a count.

  Logging may block while nobody reads a terminal or a pipe, so it has a process of its own. Its mailbox is
  bounded: beyond a number of waiting messages, events (see `Exosuit.Lattice.Events`) and lines are dropped, and
  their number is logged when the log continues.

  ## Repeated failures

  A client can cause `invocation_failed` as often as it likes, so that this event is counted. The first one of a source,
  a target and a reason is logged at once. Further ones within a second are counted, and the count is logged at its end.
  Of more than 100 different failures in a second, the others are counted as one.

  ## Bounds

  | what | bound | beyond it |
  |---|---|---|
  | lines of guests that wait | 4 096 messages in the mailbox | dropped, and counted by the sender |
  | events that wait | 10 000 messages in the mailbox | dropped, and counted (`Exosuit.Lattice.Events`) |
  | distinct failures in a second | 100 | counted together |

  The sender looks at the length of the mailbox, so that a full one costs no message. A guest's own limit of lines
  (`limits.log`) is enforced before, in the data plane.

  When the host stops, `terminate/2` writes the events that wait: the last facts about a host are often the reason why
  somebody reads its log.
  """

  use Exosuit.Server

  alias Exosuit.{Directory, Event, Instance}
  alias Exosuit.Edge.LogLines
  alias Exosuit.Lattice.Events

  defstruct repeated: %{}

  @pause 1_000
  # The maximum number of distinct failures within a pause; all further ones count as one.
  @distinct 100
  # As many lines as a guest may write in some seconds.
  @max_waiting 4_096

  @doc "Starts the logger of a host. Its log lines have the name of the host as metadata (`host`)."
  @spec start_link(Instance.t()) :: GenServer.on_start()
  def start_link(instance) do
    GenServer.start_link(__MODULE__, instance, name: Directory.via(instance.name, __MODULE__))
  end

  @doc """
  Logs a guest's line. Does not wait. `dropped` is the number of lines dropped since the last logged one. Returns that
  number, increased by one if this line is dropped as well.
  """
  @spec guest(Instance.t(), {String.t(), Logger.level(), String.t()}, non_neg_integer()) ::
          non_neg_integer()
  def guest(instance, line, dropped) do
    case GenServer.whereis(Directory.via(instance.name, __MODULE__)) do
      nil ->
        dropped + 1

      logger ->
        {:message_queue_len, waiting} =
          Process.info(logger, :message_queue_len) || {:message_queue_len, @max_waiting}

        if waiting < @max_waiting, do: write(logger, line, dropped), else: dropped + 1
    end
  end

  @impl GenServer
  def init(instance) do
    # Traps exits so that `terminate/2` runs: the last events of a host arrive while it stops.
    Process.flag(:trap_exit, true)
    Logger.metadata(host: instance.name)
    :ok = Events.subscribe(instance.name)
    {:ok, %__MODULE__{}}
  end

  @impl GenServer
  def handle_cast({:guest, {actor, level, text}, dropped}, state) do
    if dropped > 0, do: LogLines.dropped(dropped)
    LogLines.guest(actor, level, text)
    {:noreply, state}
  end

  @impl GenServer
  def handle_info({:exosuit_event, %Event{} = event}, state), do: {:noreply, write(state, event)}

  def handle_info({:summary, key}, state) when is_map_key(state.repeated, key) do
    {{event, count}, repeated} = Map.pop(state.repeated, key)
    if count > 0, do: LogLines.repeated(event, count)
    {:noreply, %{state | repeated: repeated}}
  end

  @impl GenServer
  def terminate(_reason, state), do: write_waiting(state, @max_waiting)

  defp write_waiting(_state, 0), do: :ok

  defp write_waiting(state, left) do
    receive do
      {:exosuit_event, %Event{} = event} -> state |> write(event) |> write_waiting(left - 1)
    after
      0 -> :ok
    end
  end

  defp write(logger, line, dropped) do
    GenServer.cast(logger, {:guest, line, dropped})
    0
  end

  defp write(state, %{type: "invocation_failed"} = event) do
    key = repetition(state.repeated, {event.data.source, event.data.target, event.data.reason})

    case state.repeated do
      %{^key => {first, count}} -> put_in(state.repeated[key], {first, count + 1})
      %{} -> first(state, key, event)
    end
  end

  defp write(state, event) do
    LogLines.event(event)
    state
  end

  defp first(state, key, event) do
    LogLines.event(event)
    Process.send_after(self(), {:summary, key}, @pause)
    put_in(state.repeated[key], {event, 0})
  end

  defp repetition(repeated, key) do
    if is_map_key(repeated, key) or map_size(repeated) < @distinct, do: key, else: :others
  end
end
