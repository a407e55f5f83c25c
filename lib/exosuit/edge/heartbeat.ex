defmodule Exosuit.Edge.Heartbeat do
  @moduledoc false
  # Says at regular intervals what runs on the host, to those who count on it being there; and once
  # more when it is asked, or is connected again, since events were lost meanwhile.

  use Exosuit.Server

  alias Exosuit.{Config, Directory, Lattice, Settings}
  alias Exosuit.Host.{Facts, Inventory}

  @enforce_keys [:config, :interval, :timer]
  defstruct [:config, :interval, :timer, :last]

  # However often it is asked.
  @shortest 1_000

  @spec start_link(Config.t()) :: GenServer.on_start()
  def start_link(config) do
    GenServer.start_link(__MODULE__, config, name: Directory.via(config.name, __MODULE__))
  end

  @doc "Beats soon, besides its time. Waits for nobody; a host that is in no lattice has none."
  @spec beat(Config.t()) :: :ok
  def beat(config), do: GenServer.cast(Directory.via(config.name, __MODULE__), :beat)

  @impl GenServer
  def init(config) do
    interval = config.nats.heartbeat_interval
    {:ok, schedule(%__MODULE__{config: config, interval: interval, timer: nil}, 0)}
  end

  @impl GenServer
  def handle_cast(:beat, %{last: nil} = state), do: {:noreply, state}

  def handle_cast(:beat, state) do
    wait = state.last + min(@shortest, state.interval) - now()
    left = Process.read_timer(state.timer) || 0
    {:noreply, if(wait < left, do: schedule(state, max(wait, 0)), else: state)}
  end

  @impl GenServer
  def handle_info(:beat, %{config: config} = state) do
    if Lattice.Bus.connected?(config.session) and not Settings.leaving?(config), do: tell(config)
    {:noreply, schedule(%{state | last: now()}, state.interval)}
  end

  defp tell(config) do
    tell_started(config)

    case Lattice.Nats.take_lost(config) do
      0 -> :ok
      count -> Lattice.announce(config, "events_dropped", %{count: count})
    end

    # `mac`: which version of calls with a MAC is taken.
    own = %{heartbeat_interval_ms: config.nats.heartbeat_interval, mac: 1}
    data = config |> Inventory.take() |> Map.delete(:links) |> Map.merge(own)
    Lattice.tell_others(config, "host_heartbeat", data)
  end

  # Once in the host's life, and not in this process's.
  defp tell_started(config) do
    if Lattice.Nats.first_connection?(config) do
      Lattice.tell_others(config, "host_started", Facts.take(config))
    end
  end

  defp schedule(state, delay) do
    if state.timer, do: Process.cancel_timer(state.timer)
    %{state | timer: Process.send_after(self(), :beat, delay)}
  end

  defp now, do: System.monotonic_time(:millisecond)
end
