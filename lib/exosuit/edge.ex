defmodule Exosuit.Edge do
  @moduledoc """
  What talks to the world, apart from what serves.

      Edge (one_for_one)
      └── Announcer   the data plane's facts become events; events become log lines

  It may fall over and over, and nothing that serves notices: events are sent without it; what the
  data plane has to say meanwhile, failed calls and guests' lines, is lost.
  """
  use Supervisor

  alias Exosuit.{Config, Edge.Announcer}

  # It must not take the host with it, however often it falls.
  @restarts 1_000

  @spec start_link(Config.t()) :: Supervisor.on_start()
  def start_link(config), do: Supervisor.start_link(__MODULE__, config)

  @impl Supervisor
  def init(config) do
    Supervisor.init([{Announcer, config}], strategy: :one_for_one, max_restarts: @restarts)
  end
end
