defmodule Exosuit.Host do
  @moduledoc """
  The serving part of a host: processes that depend on each other.

      Host (rest_for_one)
      ├── Directory        what runs on this host
      ├── Specifications   what should run on this host
      ├── Leases           ends singletons when their leases end
      ├── Links            which actor may use which capability
      ├── Providers        one temporary child per running provider
      ├── Actors           one temporary child per running actor
      ├── Reconciler       starts specifications that do not run
      └── Replica          applies the shared links of the lattice, if there are other hosts

  A child may use those above it, never those below. When one crashes, those below restart with it.

  | crash of | ends besides | effect on calls |
  |---|---|---|
  | a child above `Actors` | all children below it | running calls are dropped; later calls wait for the restart |
  | `Actors` | the reconciler and the replica | running calls to actors are dropped |
  | `Reconciler` | the replica | none: its successor adopts running actors and providers |
  | `Replica` | nothing | none |
  | one actor or provider | nothing | its own running calls are dropped; the reconciler restarts it |

  Specifications and links survive a crash of each child and of this supervisor. They are in tables that
  `Exosuit.Tree` owns, each written by one child. That supervisor also holds the router's table. After
  a restart, `Specifications` and `Links` read their tables again, and the `Reconciler` starts what no longer
  runs. At its start, `Links` compares its table with the router's, and repairs interrupted changes.

  After more than three crashes of its children in five seconds, this supervisor ends as well, and `Exosuit.Tree`
  restarts it. Crashes of actors and providers do not count, because they are temporary children.

  ## Where a change comes from

  | change | goes through |
  |---|---|
  | the API, or a command | `Exosuit.Host.Actors`, `.Providers`, `.Linking` or `.Configurations` |
  | a share of an application | `Exosuit.Host.Share`, then `Exosuit.Host.Deployment` |
  | a record of another host | `Exosuit.Host.Replica`, then `Exosuit.Host.Links` |
  """
  use Supervisor

  alias Exosuit.{Directory, Instance}
  alias Exosuit.Host.{Leases, Links, Reconciler, Replica, Specifications}

  @doc """
  Starts the serving part of a host. `Exosuit.Tree` has made the tables of the instance before.
  """
  @spec start_link(Instance.t()) :: Supervisor.on_start()
  def start_link(instance), do: Supervisor.start_link(__MODULE__, instance)

  @impl Supervisor
  def init(instance) do
    children = [
      {Directory, instance},
      {Specifications, instance},
      {Leases, instance},
      {Links, instance},
      dynamic(instance, :providers),
      dynamic(instance, :actors),
      {Reconciler, instance},
      {Replica, instance}
    ]

    Supervisor.init(children, strategy: :rest_for_one)
  end

  # Their children are temporary, so that no number of crashes takes the supervisor with it.
  defp dynamic(instance, role) do
    Supervisor.child_spec(
      {DynamicSupervisor, strategy: :one_for_one, name: Directory.via(instance.name, role)},
      id: role
    )
  end
end
