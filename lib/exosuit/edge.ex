defmodule Exosuit.Edge do
  @moduledoc """
  The connections to the outside that serve no calls.

      Edge (one_for_one)
      ├── EventLogger writes events and guests' lines to the log
      ├── Announcer   turns the data plane's notices into events
      ├── Heart       sends heartbeats                         only in a lattice
      ├── Lookout     tracks the other hosts                   with other hosts
      ├── Registrar   publishes claims
      ├── Control     commands over the socket, see `Exosuit.Control`
      ├── Wire        commands of the lattice, see `Exosuit.Control.Wire`
      └── Startup     applies the items of the host's options, and retries refused ones

  The last three call the facade, which passes them in as child specifications. All children may crash
  repeatedly without an effect on calls. Events are sent without them. Notices of the data plane in the
  meantime, such as failed calls and guests' lines, are lost.
  """
  use Supervisor

  alias Exosuit.Config
  alias Exosuit.Edge.{Announcer, EventLogger, Heart, Lookout, Registrar}

  # It must not take the host with it, however often it falls.
  @restarts 1_000

  @spec start_link({Config.t(), [Supervisor.child_spec()]}) :: Supervisor.on_start()
  def start_link(argument), do: Supervisor.start_link(__MODULE__, argument)

  @impl Supervisor
  def init({config, listeners}) do
    lattice =
      if config.nats_lattice,
        do: [{Heart, config}, {Lookout, config}, {Registrar, config}],
        else: []

    Supervisor.init([{EventLogger, config}, {Announcer, config}] ++ lattice ++ listeners,
      strategy: :one_for_one,
      max_restarts: @restarts
    )
  end
end
