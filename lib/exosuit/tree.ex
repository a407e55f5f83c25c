defmodule Exosuit.Tree do
  @moduledoc """
  The supervisor of a host, and its start.

      Tree (one_for_one)
      ├── Nameplate     registers the host in the VM under its names
      ├── Writer        without NATS: writes the lattice's store, see `Exosuit.Lattice.Local`
      ├── Host          the serving part: see `Exosuit.Host`
      ├── Applications  makes the host run its share of applications: see `Exosuit.App.Supervisor`
      ├── Edge          the connections to the outside: see `Exosuit.Edge`
      └── Drain         refuses new calls and lets running ones finish when the host stops

  Specifications, links and the router's table belong to this supervisor, and survive a crash of any child. The
  children crash independently. After more than three crashes in five seconds, the whole host ends. Its supervisor then
  restarts it with the items of its options, and with its share of the applications in its store.
  """
  use Supervisor

  alias Exosuit.{App, Config, Control, Directory, Drain, Edge, Event, Host, Lattice, Startup}
  alias Exosuit.Host.{Facts, Pending}
  alias Exosuit.Tree.Setup

  @doc """
  Starts a host from its options, and waits until each item of them was tried once.

  Raises `ArgumentError` for wrong options.
  """
  @spec start_link(keyword()) :: Supervisor.on_start()
  def start_link(options) do
    config = Config.new!(options)
    items = Startup.Items.new!(config)
    # These options may hold secrets, and only one process needs them.
    config = %{config | actors: [], start_providers: [], put_links: [], manifests: []}

    with :ok <- unused(config.name),
         {:ok, prepared, unkept} <- Setup.prepare(config),
         :ok <- Control.Wadm.check(prepared.config, prepared.lattice),
         {:ok, pid} <- Supervisor.start_link(__MODULE__, {prepared, items}) do
      started(Directory.fetch!(config.name, :instance), items, unkept)
      {:ok, pid}
    end
  end

  @impl Supervisor
  @spec init({Setup.prepared(), [Pending.item()]}) ::
          {:ok, {Supervisor.sup_flags(), [Supervisor.child_spec()]}}
  def init({prepared, items}) do
    instance = Setup.instance(prepared)

    # The items come last: a second host on the same data directory is refused before it starts any.
    listeners = [
      {Control, instance},
      {Control.Nats, instance},
      {Control.Wadm, instance},
      {Startup, {instance, items}}
    ]

    :ok = Directory.Nameplate.register(instance, self())
    nameplate = {Directory.Nameplate, {instance, self()}}

    children = [
      {Host, instance},
      {App.Supervisor, instance},
      {Edge, {instance, listeners}},
      {Drain, instance}
    ]

    lattice = Lattice.Session.children(instance.lattice)
    Supervisor.init([nameplate | lattice] ++ children, strategy: :one_for_one)
  end

  defp started(instance, items, unkept) do
    Lattice.announce(instance, Facts.started(instance))
    Lattice.Session.started(instance.lattice)
    if unkept, do: announce_unkept(instance, unkept)
    if items != [], do: Startup.await(instance)
  end

  defp announce_unkept(instance, error) do
    unkept = %Event.IdentityNotKept{reason: error.reason, error: Exception.message(error)}
    Lattice.announce(instance, unkept)
  end

  defp unused(name) do
    case Directory.Nameplate.holder(name) do
      nil -> :ok
      pid -> {:error, {:already_started, pid}}
    end
  end
end
