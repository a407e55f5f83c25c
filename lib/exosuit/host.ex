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

  A child may use the children above it, but not those below it. When a child crashes, the children below restart
  with it.

  Specifications and links survive a crash of each child and of this supervisor. They are in tables that
  `Exosuit.Tree` owns, and each table is written by one child. `Exosuit.Tree` also owns the router's table. After a
  restart, `Specifications` and `Links` read their tables again, and the `Reconciler` starts actors and providers
  that no longer run. When `Links` starts, it compares its table with the router's, and repairs interrupted changes.
  """
  use Supervisor

  alias Exosuit.{Directory, Instance}
  alias Exosuit.Host.{Leases, Links, Reconciler, Replica, Specifications}

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
