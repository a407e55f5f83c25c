defmodule Exosuit.Edge do
  @moduledoc """
  What talks to the world, apart from what serves.

      Edge (one_for_one)
      ├── EventLogger events and guests' lines become log lines
      ├── Announcer   the data plane's facts become events
      ├── Heart       tells the lattice what runs here        where there
      ├── Lookout     hears of the other hosts                are others
      ├── Registrar   writes down whose claims are whose
      ├── Control     commands of who may open a socket, see `Exosuit.Control`
      ├── Wire        commands of the lattice, see `Exosuit.Control.Wire`
      └── Startup     applies what the host's options name, and tries again what is refused

  The last three have the facade do something: it hands them over, as child specifications. All of it
  may fall over and over, and nothing that serves notices: events are sent without it; what the data
  plane has to say meanwhile, failed calls and guests' lines, is lost.
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
