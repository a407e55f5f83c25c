defmodule Exosuit.Drain do
  @moduledoc false
  # Drains a host when it stops. This process starts last, so it is stopped first, and delays the end of the others.
  # New calls and commands are refused, listeners close, and running calls finish or reach the drain deadline.
  # Commands of the lattice that have not finished by then are ended, and their senders are informed.

  use Exosuit.Server

  alias Exosuit.{App, Event, Instance, Lattice, Router, Settings}
  alias Exosuit.Control.Receiver

  # The time after the deadline that the data plane needs to drop the remaining calls, and the member to give back the
  # leases of singletons.
  @margin 8_000

  @spec child_spec(Instance.t()) :: Supervisor.child_spec()
  def child_spec(instance) do
    %{
      id: __MODULE__,
      start: {GenServer, :start_link, [__MODULE__, instance]},
      shutdown: instance.config.drain_timeout + @margin
    }
  end

  @impl GenServer
  def init(instance) do
    Process.flag(:trap_exit, true)
    {:ok, instance}
  end

  @impl GenServer
  def handle_info({:EXIT, _from, _reason}, instance), do: {:noreply, instance}

  # If the whole host was killed, there is nothing to drain.
  @impl GenServer
  def terminate(:killed, _instance), do: :ok

  def terminate(_reason, instance) do
    Settings.stop(instance)
    App.Member.stop(instance)
    Router.drain(instance.router, instance.config.drain_timeout)
    Receiver.abandon(instance)
    # A later heartbeat would make other hosts believe that this host still runs.
    Settings.leave(instance)
    App.Member.leave(instance)
    Lattice.announce(instance, %Event.HostStopped{labels: Settings.labels(instance)})
    Lattice.leave(instance)
  end
end
