defmodule Exosuit.Host do
  @moduledoc """
  One host: all that serves, and falls or stands together.

      Host (rest_for_one)
      ├── Directory        who runs here
      ├── Specifications   what should run here
      ├── Links            who may use whose capability
      ├── Providers        one temporary child per running provider
      ├── Actors           one temporary child per running actor
      └── Reconciler       starts what is specified and does not run

  A child may use those above it, never those below. When one falls, those below restart with it.

  What was asked for outlives each of them: the specifications and the links stand in tables that
  this supervisor owns and one child each writes, and the router's table is held by it, too. So a
  killed `Specifications` or `Links` finds everything again, and the `Reconciler` starts what no
  longer runs.
  """
  use Supervisor

  alias Exosuit.{Config, Directory, Router}
  alias Exosuit.Host.{Links, Reconciler, Specifications}

  @spec start_link(Config.t()) :: Supervisor.on_start()
  def start_link(config), do: Supervisor.start_link(__MODULE__, config)

  @impl Supervisor
  def init(config) do
    config = %{config | router: Router.new(config), tables: tables()}

    # For the life of this supervisor, so that a call finds the router whichever child is down.
    {:ok, _owner} = Registry.register(Exosuit.Registry, {config.name, :config}, config)

    {:ok, _owner} =
      Registry.register(
        Exosuit.Registry,
        {config.name, :calls},
        {config.router, config.call_timeout}
      )

    children = [
      {Directory, config},
      {Specifications, config},
      {Links, config},
      dynamic(config, :providers),
      dynamic(config, :actors),
      {Reconciler, config}
    ]

    Supervisor.init(children, strategy: :rest_for_one)
  end

  # Public, since the owner is not the writer: each is written by the one process of its name.
  defp tables do
    options = [:set, :public, read_concurrency: true]

    %{
      specifications: :ets.new(:exosuit_specifications, options),
      links: :ets.new(:exosuit_links, options)
    }
  end

  # Their children are temporary, so that no number of crashes takes the supervisor with it.
  defp dynamic(config, role) do
    Supervisor.child_spec(
      {DynamicSupervisor, strategy: :one_for_one, name: Directory.via(config.name, role)},
      id: role
    )
  end
end
