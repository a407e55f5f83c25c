defmodule Exosuit.App.Supervisor do
  @moduledoc """
  What makes a host run its share of the lattice's applications.

      Applications (rest_for_one)
      ├── Anchor   ends with the registry, so that the names of the others come back
      ├── Tasks    fetches, writes and shares under way
      └── Server   the member of the lattice: see `Exosuit.App.Server`

  It may crash repeatedly without an effect on what runs: a new server starts from the host's copy and from the
  lattice's store.
  """
  use Supervisor

  alias Exosuit.{Config, Directory}
  alias Exosuit.App.Server

  # It must not take the host with it, however often it falls.
  @restarts 1_000

  @spec start_link(Config.t()) :: Supervisor.on_start()
  def start_link(config), do: Supervisor.start_link(__MODULE__, config)

  @impl Supervisor
  def init(config) do
    tasks = Directory.via(config.name, :app_tasks)

    children = [
      {Directory.Anchor, {config.name, :app_anchor}},
      {Task.Supervisor, name: tasks},
      {Server, {config, tasks}}
    ]

    Supervisor.init(children, strategy: :rest_for_one, max_restarts: @restarts)
  end
end
