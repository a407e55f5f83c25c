defmodule Exosuit.Edge.EventForwarder do
  @moduledoc """
  Handles the notices of the data plane (`{:exosuit_notice, notice}`): a failed call becomes an event, and a guest's
  log line goes to `EventLogger`. Forwards every event of the host to the processes of its edge that need it, and to
  `:telemetry` if it is loaded. Does not wait for them.

      data plane ──notices──► EventForwarder ──facts──► Lattice.announce ──► subscribers, the lattice
                                    │  ▲                                         │
                       lines of guests │ └──────────── events of the host ◄──────┘
                                    ▼  └──► PeerMonitor, ClaimsPublisher, :telemetry
                               EventLogger

  A notice becomes an event by the same way as a fact of an Elixir process, so that subscribers need not know where a
  fact comes from. This process subscribes to the events as everybody may, and gets those that it made as well.

  Handlers of `:telemetry` run in this process. A handler that blocks delays the notices; the data plane counts those
  that it must drop in the meantime, and says how many (`notices_dropped`). A handler that raises is removed by
  `:telemetry` itself.

  While this process restarts, notices are lost. Events are not: the lattice and all other subscribers get them without
  it.
  """

  use Exosuit.Server

  alias Exosuit.{Directory, Event, Instance, Lattice, Router}
  alias Exosuit.Edge.{ClaimsPublisher, EventLogger, Heartbeat, PeerMonitor, Telemetry}

  @enforce_keys [:instance, :telemetry?]
  defstruct [:instance, :telemetry?, dropped: 0]

  @doc "Starts the forwarder of a host. From then on, the data plane sends its notices to this process."
  @spec start_link(Instance.t()) :: GenServer.on_start()
  def start_link(instance) do
    GenServer.start_link(__MODULE__, instance, name: Directory.via(instance.name, __MODULE__))
  end

  @impl GenServer
  def init(instance) do
    :ok = Lattice.Events.subscribe(instance.name)
    :ok = Router.observe(instance.router, self())
    {:ok, %__MODULE__{instance: instance, telemetry?: Telemetry.present?()}}
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
    Lattice.announce(state.instance, fact(type, data))
    if type == "lattice_connected", do: Heartbeat.beat(state.instance)
    {:noreply, state}
  end

  def handle_info({:exosuit_event, %Event{} = event}, state) do
    PeerMonitor.notice(state.instance, event)
    ClaimsPublisher.notice(state.instance, event)
    if state.telemetry?, do: Telemetry.forward(state.instance.name, event)
    {:noreply, state}
  end

  # Elixir and Rust have the same types: a test compares them. If a library of another version sends a fact that the
  # table lacks, it counts as lost.
  defp fact(type, data) do
    case Event.Types.cast(type, data) do
      {:ok, fact} -> fact
      :error -> %Event.NoticesDropped{count: 1}
    end
  end

  defp log(state, line) do
    %{state | dropped: EventLogger.guest(state.instance, line, state.dropped)}
  end
end
