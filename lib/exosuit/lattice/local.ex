defmodule Exosuit.Lattice.Local do
  @moduledoc """
  The lattice of one host: events go from process to process, messages and shared state stay on the host, and
  nothing leaves the VM.

  ## Bus and store

  This module is a backend of `Exosuit.Lattice.Bus` and `Exosuit.Lattice.Store`, with the rules of NATS. Readers read
  one table; `Exosuit.Lattice.Local.Writer`, a child of the host's top supervisor, is the only process that writes it.
  The table belongs to that supervisor, so a crash of the writer loses nothing. Subscriptions and watches are
  processes linked to the ones that opened them.

      read ───────────────────────────────► table ◄── reads ── Watch ──► watcher
      write ──► Writer ──► lattice.log         ▲                 ▲
                   └───────────────────────────┴── a revision ───┘
      object ─────────► objects/<digest>
      publish ────────► registry ──► Subscription ──► subscriber

  With a data directory, every change of applications and named configurations is written to `lattice.log` there
  before it is acknowledged. The objects are in `objects/`. Both survive the end of the VM at any moment. Links are
  in memory, like the actors and providers that they join: applications, the host's options or the user make all of
  them again. `lattice.lock` keeps other hosts out. A damaged log is kept beside the new one as
  `lattice.log.damaged-<time>`; an event `lattice_state_damaged` says so, and `Exosuit.Lattice.Store.position/2`
  then names another bucket. Without a data directory, everything is in memory.

  The same host code runs over both backends. The tests of `test/exosuit/lattice/contract_test.exs` check that they
  keep the same promises.
  """
  @behaviour Exosuit.Lattice
  @behaviour Exosuit.Lattice.Backend

  alias Exosuit.Config
  alias Exosuit.Lattice.{Backend, Events, Session}
  alias Exosuit.Lattice.Local.{Bus, Handle, Objects, Watch, Writer}

  @doc """
  The session of a host without NATS. `source` is the host's public key, `writer` the name of its
  `Exosuit.Lattice.Local.Writer`.
  """
  @spec session(Config.t(), String.t(), GenServer.name()) :: Session.t()
  def session(config, source, writer),
    do: %Session{backend: __MODULE__, handle: Handle.new(config, source, writer)}

  @impl Exosuit.Lattice
  defdelegate publish(instance, event), to: Events

  @impl Exosuit.Lattice
  def publish_remote(_instance, _event), do: :ok

  @impl Exosuit.Lattice
  def leave(_instance), do: :ok

  @impl Exosuit.Lattice
  def take_lost(_instance), do: 0

  @impl Exosuit.Lattice
  def first_connection?(_instance), do: false

  @impl Backend
  defdelegate adopt(handle), to: Handle

  @impl Backend
  def children(handle), do: [Supervisor.child_spec({Writer, handle}, [])]

  @impl Backend
  def started(handle) do
    true = :ets.insert(handle.table, {:started, true})

    for {key, fact} <- :ets.match_object(handle.table, {{:trouble, :_}, :_}) do
      Events.announce(handle, fact)
      :ets.delete(handle.table, key)
    end

    :ok
  end

  @impl Backend
  def capabilities, do: [:own_objects]

  @impl Backend
  def await_first(_handle, _config), do: :ok

  @impl Backend
  def connection(_handle), do: :connected

  @impl Backend
  def connected?(_handle), do: true

  @impl Backend
  def connections(_handle), do: %{}

  @impl Backend
  def refused_calls(_handle), do: %{}

  @impl Backend
  def take_macs(_handle, _others_do?), do: :ok

  @impl Backend
  def max_payload(_handle), do: Bus.max_payload()

  @impl Backend
  defdelegate publish(handle, subject, payload), to: Bus

  @impl Backend
  defdelegate request(handle, subject, payload, timeout), to: Bus

  @impl Backend
  defdelegate gather(handle, subject, payload, within, max), to: Bus

  @impl Backend
  defdelegate subscribe(handle, subject, group, reference), to: Bus

  @impl Backend
  def next(inlet), do: GenServer.cast(inlet, :next)

  @impl Backend
  def cancel(inlet), do: GenServer.cast(inlet, :stop)

  @impl Backend
  def prepare(_handle), do: {:ok, 0}

  @impl Backend
  def read(handle, bucket, key) do
    case :ets.lookup(handle.table, {bucket, key}) do
      [{_key, value, revision}] -> {:ok, {value, revision}}
      [] -> {:ok, {nil, 0}}
    end
  end

  @impl Backend
  def compare_and_set(handle, bucket, key, value, revision),
    do: Handle.call(handle, {:set, bucket, key, value, revision})

  @impl Backend
  def delete(handle, bucket, key) do
    with {:ok, true} <- Handle.call(handle, {:delete, bucket, key, :any}), do: :ok
  end

  @impl Backend
  def remove(handle, bucket, key, revision),
    do: Handle.call(handle, {:delete, bucket, key, revision})

  @impl Backend
  def watch(handle, bucket, reference), do: Watch.start_link(handle, bucket, reference)

  @impl Backend
  def position(handle, bucket) do
    revision = Handle.get(handle, {:revision, bucket}) || 0
    {:ok, %{identity: Handle.identity(handle, bucket), revision: revision}}
  end

  @impl Backend
  defdelegate put_object(handle, bytes), to: Objects, as: :put

  @impl Backend
  defdelegate get_object(handle, digest), to: Objects, as: :get

  @impl Backend
  defdelegate delete_object(handle, digest), to: Objects, as: :delete

  @impl Backend
  defdelegate objects(handle), to: Objects, as: :list
end
