defmodule Exosuit.Edge.Announcer do
  @moduledoc false
  # Takes the data plane's facts (`{:exosuit_notice, notice}`): a guest's log line goes to Logger, a
  # failed call becomes an event. And every event of the host goes to `:telemetry`, if there is any, and
  # becomes a log line, the same failure once a second at most: a storm of refusals is a number, not
  # a flood.

  use GenServer

  alias Exosuit.{Config, Directory, Lattice, Router}
  alias Exosuit.Edge.{Heart, Journal, Lookout, Registrar, Telemetry}

  @enforce_keys [:config, :telemetry?]
  defstruct [:config, :telemetry?, repeated: %{}]

  @pause 1_000
  # Distinct failures told apart within a pause; past them all others count as one.
  @distinct 100

  @spec start_link(Config.t()) :: GenServer.on_start()
  def start_link(config) do
    GenServer.start_link(__MODULE__, config, name: Directory.via(config.name, __MODULE__))
  end

  @impl GenServer
  def init(config) do
    Logger.metadata(host: config.name)
    :ok = config.bus.subscribe(config.name)
    :ok = Router.observe(config.router, self())
    {:ok, %__MODULE__{config: config, telemetry?: Telemetry.present?()}}
  end

  @impl GenServer
  def handle_info({:exosuit_notice, {:log, actor, level, text}}, state) do
    Journal.guest(actor, level, text)
    {:noreply, state}
  end

  def handle_info({:exosuit_notice, {:log_dropped, actor, lines}}, state) do
    Journal.guest(actor, :warning, "#{lines} lines were dropped: it writes more than it may")
    {:noreply, state}
  end

  def handle_info({:exosuit_notice, {type, data}}, state) do
    Lattice.announce(state.config, type, data)
    if type == "lattice_connected", do: Heart.beat(state.config)
    {:noreply, state}
  end

  def handle_info({:exosuit_event, event}, state) do
    Lookout.notice(state.config, event)
    Registrar.notice(state.config, event)
    if state.telemetry?, do: Telemetry.forward(state.config.name, event)
    {:noreply, write(state, event)}
  end

  def handle_info({:summary, key}, state) do
    {{event, count}, repeated} = Map.pop(state.repeated, key)
    if count > 0, do: Journal.repeated(event, count)
    {:noreply, %{state | repeated: repeated}}
  end

  defp write(state, %{type: "invocation_failed"} = event) do
    key = repetition(state.repeated, {event.data.source, event.data.target, event.data.reason})

    case state.repeated do
      %{^key => {first, count}} -> put_in(state.repeated[key], {first, count + 1})
      %{} -> first(state, key, event)
    end
  end

  defp write(state, event) do
    Journal.event(event)
    state
  end

  defp first(state, key, event) do
    Journal.event(event)
    Process.send_after(self(), {:summary, key}, @pause)
    put_in(state.repeated[key], {event, 0})
  end

  defp repetition(repeated, key) do
    if is_map_key(repeated, key) or map_size(repeated) < @distinct, do: key, else: :others
  end
end
