defmodule Exosuit.Drain do
  @moduledoc """
  Drains a host when it stops.

  This process starts last, so it is stopped first, and delays the end of the others. It does nothing until then. Its
  `terminate/2` takes these steps, in this order:

  1. The host takes no more commands (`Exosuit.Settings.stop/1`), and its member says that it stops.
  2. The router refuses new calls, listeners close, and running calls finish, within the drain timeout at most. Then the
     remaining ones are dropped.
  3. Commands of the lattice that have not finished are ended, and their senders are informed.
  4. The host sends no more heartbeats: a later one would make other hosts believe that it still runs.
  5. Its member gives back the leases of singletons, and leaves.
  6. `host_stopped` is announced, queued messages are sent, and the connections close.

  The supervisor waits for the drain timeout and eight seconds more, then kills this process. If the whole host was
  killed, there is nothing to drain, and nothing of this happens: other hosts notice the missing heartbeats.
  """

  use Exosuit.Server

  alias Exosuit.{App, Event, Instance, Lattice, Router, Settings}
  alias Exosuit.Control.Receiver

  # The time after the deadline that the data plane needs to drop the remaining calls, and the member to give back the
  # leases of singletons.
  @margin 8_000

  @doc "The child specification, whose `shutdown` is the time that a drain may take."
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
