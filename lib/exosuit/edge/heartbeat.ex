defmodule Exosuit.Edge.Heartbeat do
  @moduledoc """
  Sends heartbeats at regular intervals, with the actors and providers of the host, so that other hosts notice if
  it is lost. Sends one more heartbeat when another process asks for it, and when the host is connected again,
  because events were lost in the meantime.

  The heartbeat is that of wasmCloud: an event `host_heartbeat`, which tools and hosts of both generations read
  (`Exosuit.Edge.PeerMonitor`). It is not the beat of `Exosuit.App.Beat`, which is smaller, comes every two seconds, and
  decides where applications run.

  - The interval is the option `heartbeat_interval` of the host.
  - Two heartbeats have a second between them, or the interval if it is shorter. `beat/1` only makes the next one come
    earlier.
  - Without a connection, and while the host leaves the lattice, none is sent, and the timer goes on.
  - With the first heartbeat of its life over a connection, the host tells the lattice that it started. With each, it
    tells how many of its events could not be sent before.
  """

  use Exosuit.Server

  alias Exosuit.{Directory, Event, Instance, Lattice, Settings}
  alias Exosuit.Host.{Facts, Inventory}

  @enforce_keys [:instance, :interval, :timer]
  defstruct [:instance, :interval, :timer, :last]

  @facts ~w(host_id friendly_name labels version uptime_seconds uptime_human actors providers)a

  # The shortest time between two heartbeats.
  @shortest 1_000

  @doc "Starts the process of a host with NATS. It sends its first heartbeat at once, if there is a connection."
  @spec start_link(Instance.t()) :: GenServer.on_start()
  def start_link(instance) do
    GenServer.start_link(__MODULE__, instance, name: Directory.via(instance.name, __MODULE__))
  end

  @doc "Sends a heartbeat soon, out of turn. Does not wait. Does nothing on a host without NATS."
  @spec beat(Instance.t()) :: :ok
  def beat(instance), do: GenServer.cast(Directory.via(instance.name, __MODULE__), :beat)

  @impl GenServer
  def init(instance) do
    interval = instance.config.nats.heartbeat_interval
    {:ok, schedule(%__MODULE__{instance: instance, interval: interval, timer: nil}, 0)}
  end

  @impl GenServer
  def handle_cast(:beat, %{last: nil} = state), do: {:noreply, state}

  def handle_cast(:beat, state) do
    wait = state.last + min(@shortest, state.interval) - now()
    left = Process.read_timer(state.timer) || 0
    {:noreply, if(wait < left, do: schedule(state, max(wait, 0)), else: state)}
  end

  @impl GenServer
  def handle_info(:beat, %{instance: instance} = state) do
    if Lattice.Bus.connected?(instance.lattice) and not Settings.leaving?(instance),
      do: tell(instance)

    {:noreply, schedule(%{state | last: now()}, state.interval)}
  end

  defp tell(instance) do
    tell_started(instance)

    case Lattice.take_lost(instance) do
      0 -> :ok
      count -> Lattice.announce(instance, %Event.EventsDropped{count: count})
    end

    # `mac`: the version of calls with a MAC that this host accepts.
    own = %{heartbeat_interval_ms: instance.config.nats.heartbeat_interval, mac: 1}
    facts = instance |> Inventory.take() |> Map.take(@facts) |> Map.merge(own)
    Lattice.announce_remote(instance, Event.HostHeartbeat.new(facts))
  end

  # Announced once in the host's life, even if this process restarts.
  defp tell_started(instance) do
    if Lattice.first_connection?(instance) do
      Lattice.announce_remote(instance, Facts.started(instance))
    end
  end

  defp schedule(state, delay) do
    if state.timer, do: Process.cancel_timer(state.timer)
    %{state | timer: Process.send_after(self(), :beat, delay)}
  end

  defp now, do: System.monotonic_time(:millisecond)
end
