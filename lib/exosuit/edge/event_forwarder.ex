defmodule Exosuit.Edge.EventForwarder do
  @moduledoc false
  # Handles the notices of the data plane (`{:exosuit_notice, notice}`): a failed call becomes an event, and a
  # guest's log line goes to `EventLogger`. Forwards every event of the host to the processes of its edge that
  # need it, and to `:telemetry` if it is loaded. Waits for none of them.

  use Exosuit.Server

  alias Exosuit.{Config, Directory, Event, Lattice, Router}
  alias Exosuit.Edge.{ClaimsPublisher, EventLogger, Heartbeat, PeerMonitor, Telemetry}

  @enforce_keys [:config, :telemetry?]
  defstruct [:config, :telemetry?, dropped: 0]

  @spec start_link(Config.t()) :: GenServer.on_start()
  def start_link(config) do
    GenServer.start_link(__MODULE__, config, name: Directory.via(config.name, __MODULE__))
  end

  @impl GenServer
  def init(config) do
    :ok = config.bus.subscribe(config.name)
    :ok = Router.observe(config.router, self())
    {:ok, %__MODULE__{config: config, telemetry?: Telemetry.present?()}}
  end

  @impl GenServer
  def handle_info({:exosuit_notice, {:log, actor, level, text}}, state) do
    {:noreply, log(state, {actor, level, text})}
  end

  def handle_info({:exosuit_notice, {:log_dropped, actor, lines}}, state) do
    text = "#{lines} lines were dropped: the actor exceeds its log limit (`limits.log`)"
    {:noreply, log(state, {actor, :warning, text})}
  end

  def handle_info({:exosuit_notice, {type, data}}, state) do
    Lattice.announce(state.config, type, data)
    if type == "lattice_connected", do: Heartbeat.beat(state.config)
    {:noreply, state}
  end

  def handle_info({:exosuit_event, %Event{} = event}, state) do
    PeerMonitor.notice(state.config, event)
    ClaimsPublisher.notice(state.config, event)
    if state.telemetry?, do: Telemetry.forward(state.config.name, event)
    {:noreply, state}
  end

  defp log(state, line) do
    %{state | dropped: EventLogger.guest(state.config, line, state.dropped)}
  end
end
