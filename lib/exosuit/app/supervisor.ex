defmodule Exosuit.App.Supervisor do
  @moduledoc """
  The supervisor of the processes that make a host run its share of the lattice's applications.

      Applications (one_for_all)
      ├── Anchor       ends with the registry, so that the names of the others come back
      ├── KeptObjects  objects in memory, of a host without a writable data directory
      ├── Tasks        fetches, writes and shares under way
      ├── Shares       makes the host run its shares: see `Exosuit.App.Shares`
      └── Member       the member of the lattice: see `Exosuit.App.Member`

  Shares and Member know only together what runs, so each restarts with the other. Both may crash repeatedly while
  actors and providers keep running: a new member starts from the host's copy and from the lattice's store.
  """
  use Supervisor

  alias Exosuit.{Directory, Instance}
  alias Exosuit.App.{KeptObjects, Member, Shares}

  # Repeated crashes must not end the host.
  @restarts 1_000

  @spec start_link(Instance.t()) :: Supervisor.on_start()
  def start_link(instance), do: Supervisor.start_link(__MODULE__, instance)

  @impl Supervisor
  def init(instance) do
    tasks = Directory.via(instance.name, :app_tasks)

    children = [
      {Directory.Anchor, {instance.name, :app_anchor}},
      {KeptObjects, instance},
      {Task.Supervisor, name: tasks},
      {Shares, {instance, tasks, Member.name(instance)}},
      {Member, {instance, tasks}}
    ]

    Supervisor.init(children, strategy: :one_for_all, max_restarts: @restarts)
  end
end
