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

  ## The processes

        the store ──watch──► Member ──orders, snapshots──► Shares ──tasks──► the host
        the bus ───beats───►   │ ▲                           │                 │
                               │ └──────── outcomes ─────────┘ ◄── events ─────┘
                          tasks: writes, fetches

  | process | may wait for | holds |
  |---|---|---|
  | Member | nothing after its start: its beats are due every two seconds | the state of `Exosuit.App.Machine` |
  | Shares | nothing: it answers callers and takes outcomes | orders, waiting callers, the table of snapshots |
  | Tasks | the store, disks, compilers, draining calls | one fetch, write or share each |
  | KeptObjects | nothing | at most 256 MiB of objects |

  ## Crashes

  | ended | effect |
  |---|---|
  | a task | its purpose gets the error `:internal`, and is tried again after a pause |
  | Member or Shares | all children restart, and the tasks end |
  | the registry of names | Anchor ends with it, and all children restart to register again |

  A deployment that a task began goes on in a process of its own (`Exosuit.Host.Unattended`), so that it is never left
  half made. The new member orders all shares of its copy again. An order that meets such a deployment gets the error
  `:conflict`, and is made again after a pause.

  A lease of a singleton does not depend on these processes: `Exosuit.Host.Leases` ends the singleton in time even if
  the member never comes back.
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
