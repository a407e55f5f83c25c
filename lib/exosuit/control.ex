defmodule Exosuit.Control do
  @moduledoc """
  The control socket of a running host: a Unix socket in its data directory that only its owner can open.

      Control (rest_for_one)
      ├── Anchor        ends with the registry, so that the names of the others come back
      ├── Remote        opens the VM for `exosuit remote`, when asked
      ├── Commands      a task per running command, up to a limit
      ├── Connections   a task per client, up to a limit
      └── Listener      owns the socket, and passes each client to a task

  Lines of JSON go in and out, see `guides/control-socket.md`. Each line is parsed into a struct of
  `Exosuit.Model.Command`. `Exosuit.Control.Execution` then calls the room that the command concerns.

  A second host on the same data directory is refused at its start. If the socket cannot be opened for another
  reason, the host runs without it, emits the event `control_failed` with the reason, and tries again.

  ## Bounds

  | what | at most | beyond |
  |---|---|---|
  | clients | 32 | an error `overloaded`, and the connection is closed |
  | running commands, with those of clients that have left | 64 | the command gets an error `overloaded` |
  | a line | 24 MiB | an error `invalid_input`, and the connection is closed |
  | events that a client has not read | 4 096 | an error `overloaded`, and the connection is closed |
  | silence of a client that does not follow events | ten minutes | the connection is closed |
  | the heap of a connection | 8 Mi words | the connection is closed |

  `Exosuit.Control.Nats` and `Exosuit.Control.Wadm` take commands over NATS; all three end in the same functions.
  """
  use Supervisor

  alias Exosuit.{Directory, Error, Instance}
  alias Exosuit.Control.{Address, Remote, Listener}

  # Clients are command lines and dashboards of one person.
  @connections 32

  # A client has one command at a time, but commands that change the host continue after their client has
  # disconnected.
  @commands 64

  # Repeated crashes must not end the host.
  @restarts 1_000

  @doc """
  Starts nothing if the host has no data directory. Returns `:conflict` if another host answers at the socket of the
  data directory: two hosts would write the same files.
  """
  @spec start_link(Instance.t()) :: Supervisor.on_start() | :ignore
  def start_link(%Instance{config: %{data_dir: nil}}), do: :ignore

  def start_link(instance) do
    path = path(instance.config.data_dir)

    if Address.taken?(path) do
      {:error,
       Error.new(
         :conflict,
         "another host runs on #{instance.config.data_dir} and answers at #{path}: " <>
           "use another data directory"
       )}
    else
      Supervisor.start_link(__MODULE__, instance)
    end
  end

  @doc "The path of the socket of a data directory."
  @spec path(Path.t()) :: Path.t()
  def path(data_dir), do: Path.join(data_dir, "exosuit.sock")

  @impl Supervisor
  def init(instance) do
    commands = Directory.via(instance.name, :control_commands)
    connections = Directory.via(instance.name, :control_connections)
    context = %{commands: commands, connections: connections, instance: instance}

    children = [
      {Directory.Anchor, {instance.name, :control_anchor}},
      {Remote, instance},
      tasks(:commands, commands, @commands),
      tasks(:connections, connections, @connections),
      {Listener, {instance, path(instance.config.data_dir), context}}
    ]

    Supervisor.init(children, strategy: :rest_for_one, max_restarts: @restarts)
  end

  defp tasks(id, name, at_most) do
    Supervisor.child_spec({Task.Supervisor, name: name, max_children: at_most}, id: id)
  end
end
