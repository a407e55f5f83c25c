defmodule Exosuit.Control.Nats do
  @moduledoc """
  The control interface of the lattice: accepts commands of other hosts, orchestrators and people over NATS, in the
  forms of the OTP era and of wasmCloud 1.x.

      Nats (rest_for_one)
      ├── Anchor     ends with the registry, so that the names of the others come back
      ├── Commands   a task per running command, up to a limit
      └── Receiver   receives commands, and sends their results

  A host without NATS does not start it. See `guides/control-interface.md`.

  Everybody who can publish on the subjects can send commands: NATS accounts and permissions decide who that is. The
  host reads files for them only if its option `:allow_file_load` permits it (`Exosuit.Control.Reference`).

  At most 256 commands run and wait. If the receiver crashes, the commands that run
  continue and reply; those that wait are lost.
  """
  use Supervisor

  alias Exosuit.{Directory, Instance}
  alias Exosuit.Control.Receiver
  alias Exosuit.Lattice.Session

  # A task that has sent its result may not have ended when the next one starts.
  @tasks 2 * Receiver.max_commands()

  # Repeated crashes must not end the host.
  @restarts 1_000

  @doc "Starts nothing if no commands can arrive."
  @spec start_link(Instance.t()) :: Supervisor.on_start() | :ignore
  def start_link(instance) do
    if Session.has?(instance.lattice, :commands),
      do: Supervisor.start_link(__MODULE__, instance),
      else: :ignore
  end

  @impl Supervisor
  def init(instance) do
    tasks = Directory.via(instance.name, :wire_commands)

    children = [
      {Directory.Anchor, {instance.name, :wire_anchor}},
      {Task.Supervisor, name: tasks, max_children: @tasks},
      {Receiver, {instance, tasks}}
    ]

    Supervisor.init(children, strategy: :rest_for_one, max_restarts: @restarts)
  end
end
