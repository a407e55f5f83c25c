defmodule Exosuit.Control.Nats do
  @moduledoc """
  The control interface of the lattice: commands of other hosts, of orchestrators and of people, over
  NATS, as those of the OTP era and of wasmCloud 1.x send them.

      Nats (rest_for_one)
      ├── Anchor     ends with the registry, so that the names of the others come back
      ├── Commands   a task per command that runs, so many at the most
      └── Receiver   takes what is asked, and says how it went

  A host without NATS has none of it. See `guides/control-interface.md`.
  """
  use Supervisor

  alias Exosuit.{Directory, Instance}
  alias Exosuit.Control.Receiver
  alias Exosuit.Lattice.Session

  # A task that has said how it went may not be gone yet when the next one starts.
  @tasks 2 * Receiver.max_commands()

  # It must not take the host with it, however often it falls.
  @restarts 1_000

  @doc "Does not listen if there can be no caller outside of this VM."
  @spec start_link(Instance.t()) :: Supervisor.on_start() | :ignore
  def start_link(instance) do
    if Session.alone?(instance.lattice),
      do: :ignore,
      else: Supervisor.start_link(__MODULE__, instance)
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
