defmodule Exosuit.Edge do
  @moduledoc """
  The processes that connect a host to the outside, except for calls.

      Edge (one_for_one)
      ├── EventLogger      writes events and guests' lines to the log
      ├── EventForwarder   turns the data plane's notices into events
      ├── Heartbeat        sends heartbeats         only in a lattice
      ├── PeerMonitor      tracks the other hosts   with other hosts
      ├── ClaimsPublisher  publishes claims
      ├── Control          commands over the socket, see `Exosuit.Control`
      ├── Nats             commands of the lattice, see `Exosuit.Control.Nats`
      ├── Wadm             wadm's API, if it is asked for, see `Exosuit.Control.Wadm`
      └── Startup          applies the items of the host's options, and retries refused ones

  `Exosuit.Tree` passes in the child specifications of the last four. All children may crash repeatedly without an
  effect on calls, and events are sent without them. While they restart, notices of the data plane are lost, such as
  failed calls and guests' lines.
  """
  use Supervisor

  alias Exosuit.Edge.{ClaimsPublisher, EventForwarder, EventLogger, Heartbeat, PeerMonitor}
  alias Exosuit.Instance
  alias Exosuit.Lattice.Session

  # Repeated crashes must not end the host.
  @restarts 1_000

  @spec start_link({Instance.t(), [Supervisor.child_spec()]}) :: Supervisor.on_start()
  def start_link(argument), do: Supervisor.start_link(__MODULE__, argument)

  @impl Supervisor
  def init({instance, listeners}) do
    lattice =
      if Session.has?(instance.lattice, :others),
        do: [{Heartbeat, instance}, {PeerMonitor, instance}, {ClaimsPublisher, instance}],
        else: []

    Supervisor.init([{EventLogger, instance}, {EventForwarder, instance}] ++ lattice ++ listeners,
      strategy: :one_for_one,
      max_restarts: @restarts
    )
  end
end
