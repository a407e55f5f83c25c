defmodule Exosuit.Host do
  @moduledoc """
  One host: all that serves, and falls or stands together.

      Host (rest_for_one)
      ├── Directory        who runs here
      ├── Specifications   what should run here
      ├── Links            who may use whose capability
      ├── Providers        one temporary child per running provider
      ├── Actors           one temporary child per running actor
      ├── Reconciler       starts what is specified and does not run
      └── Replica          makes the links that the lattice shares, where there are other hosts

  A child may use those above it, never those below. When one falls, those below restart with it.

  What was asked for outlives each of them, and this supervisor, too: the specifications and the
  links stand in tables that `Exosuit`'s supervisor owns and one child each writes, and the router's
  table is held there as well. So a killed `Specifications` or `Links` finds everything again, and the
  `Reconciler` starts what no longer runs. `Links` compares what is written down with the router's table
  when it starts, so that the two agree again whatever was interrupted.
  """
  use Supervisor

  alias Exosuit.{Config, Directory}
  alias Exosuit.Host.{Links, Reconciler, Replica, Specifications}

  @spec start_link(Config.t()) :: Supervisor.on_start()
  def start_link(config), do: Supervisor.start_link(__MODULE__, config)

  @impl Supervisor
  def init(config) do
    children = [
      {Directory, config},
      {Specifications, config},
      {Links, config},
      dynamic(config, :providers),
      dynamic(config, :actors),
      {Reconciler, config}
      | if(config.nats_lattice, do: [{Replica, config}], else: [])
    ]

    Supervisor.init(children, strategy: :rest_for_one)
  end

  # Their children are temporary, so that no number of crashes takes the supervisor with it.
  defp dynamic(config, role) do
    Supervisor.child_spec(
      {DynamicSupervisor, strategy: :one_for_one, name: Directory.via(config.name, role)},
      id: role
    )
  end
end
