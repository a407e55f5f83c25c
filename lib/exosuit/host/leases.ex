defmodule Exosuit.Host.Leases do
  @moduledoc """
  Ends singletons on this host when their leases end, and lets none start without one.

  `Exosuit.App.Member` writes into the table until when this host may run a singleton. The reconciler asks before each
  start of one, and reports its process here. When the lease has run out, this process kills that process, without
  regard to other work: a crashed member renews nothing, and an order to stop may wait behind another one. Running calls
  end with it.

      member ── hold/3 ──► table ◄── check/2 ── reconciler ── watch/3 ──┐
                             ▲                                          ▼
                             └──────── reads at each end of a lease ── this process ── kills

  | row | meaning |
  |---|---|
  | `{lease, until, :open}` | a start is allowed before `until` |
  | `{lease, until, :closed}` | no start is allowed any more; a process that runs may live until `until` |

  The clock is this host's monotonic one, because a step of the system time must neither lengthen nor shorten a lease.
  The holder counts its lease from before it wrote it, so that it ends here before another host may take it.

  The table belongs to the topmost supervisor. If this process crashes, all actors and providers of the host end with
  it, see `Exosuit.Host`: the successor would not know the processes that it must end.
  """

  use Exosuit.Server

  alias Exosuit.{Directory, Error, Instance}
  alias Exosuit.Host.Specifications

  @typedoc "An application and the id of a singleton of it."
  @type lease :: {app :: String.t() | nil, id :: String.t()}

  @typedoc "Monotonic milliseconds of this VM, or `:infinity` for a lease that never ends."
  @type until :: integer() | :infinity

  # A lease ends within seconds, and its singleton ends with it.
  @timeout 60_000

  @enforce_keys [:instance]
  defstruct [:instance, pids: %{}, timers: MapSet.new(), ending: []]

  @spec start_link(Instance.t()) :: GenServer.on_start()
  def start_link(instance) do
    GenServer.start_link(__MODULE__, instance, name: via(instance))
  end

  @doc "An empty table. It is public because its owner is not its writer, which may be restarted."
  @spec table() :: :ets.table()
  def table, do: :ets.new(:exosuit_leases, [:set, :public, read_concurrency: true])

  @doc """
  The host may run a singleton until this time. Also opens a lease that `end_singleton/2` had closed.
  """
  @spec hold(Instance.t(), lease(), until()) :: :ok
  def hold(instance, lease, until) do
    :ets.insert(instance.tables.leases, {lease, until, :open})
    :ok
  end

  @doc """
  Whether a specification may be started: it is no singleton, or its lease is held. The error is `:unavailable`, so that
  the reconciler retries the start.
  """
  @spec check(Instance.t(), Specifications.specification()) :: :ok | {:error, Error.t()}
  def check(_instance, %{singleton?: false}), do: :ok

  def check(instance, %{app: app, id: id}) do
    case :ets.lookup(instance.tables.leases, {app, id}) do
      [{_lease, :infinity, :open}] -> :ok
      [{_lease, until, :open}] -> if(now() < until, do: :ok, else: ended(id))
      _closed_or_none -> ended(id)
    end
  end

  @doc """
  The process that runs a specification. That of a singleton is killed when its lease ends. Does not wait. If the lease
  has ended already, the process is killed at once.
  """
  @spec watch(Instance.t(), Specifications.specification(), pid()) :: :ok
  def watch(_instance, %{singleton?: false}, _pid), do: :ok

  def watch(instance, %{app: app, id: id}, pid) do
    GenServer.cast(via(instance), {:watch, {app, id}, pid})
  end

  @doc """
  Lets the singleton not start again, and waits until its processes have ended: by an order to stop, after their last
  calls, or when the lease ends.

  Blocks the calling process for a minute at most. Returns `:unavailable` if that time is over, or if this process
  crashes: the caller must then assume that the singleton still runs here.
  """
  @spec end_singleton(Instance.t(), lease()) :: :ok | {:error, Error.t()}
  def end_singleton(instance, lease) do
    GenServer.call(via(instance), {:end, lease}, @timeout)
  catch
    :exit, _fallen_or_late ->
      {:error, Error.new(:unavailable, "the host is restarting, and may still run it")}
  end

  @impl GenServer
  def init(instance), do: {:ok, %__MODULE__{instance: instance}}

  @impl GenServer
  def handle_call({:end, lease}, from, state) do
    _none = :ets.update_element(state.instance.tables.leases, lease, {3, :closed})
    {:noreply, reply(%{state | ending: [{from, lease} | state.ending]})}
  end

  @impl GenServer
  def handle_cast({:watch, _lease, pid}, state) when is_map_key(state.pids, pid),
    do: {:noreply, state}

  def handle_cast({:watch, lease, pid}, state) do
    Process.monitor(pid)
    {:noreply, check_later(put_in(state.pids[pid], lease), lease)}
  end

  @impl GenServer
  def handle_info({:check, lease}, state) do
    state = %{state | timers: MapSet.delete(state.timers, lease)}
    pids = for {pid, ^lease} <- state.pids, do: pid
    if left(state, lease) == 0, do: Enum.each(pids, &Process.exit(&1, :kill))
    {:noreply, if(pids == [], do: state, else: check_later(state, lease))}
  end

  def handle_info({:DOWN, _monitor, :process, pid, _reason}, state) do
    {:noreply, reply(%{state | pids: Map.delete(state.pids, pid)})}
  end

  # The lease may be renewed in the meantime, so the time is checked again.
  defp check_later(state, lease) do
    left = left(state, lease)

    if left == :infinity or lease in state.timers do
      state
    else
      Process.send_after(self(), {:check, lease}, max(left, 1))
      %{state | timers: MapSet.put(state.timers, lease)}
    end
  end

  defp left(state, lease) do
    case :ets.lookup(state.instance.tables.leases, lease) do
      [{_lease, :infinity, _open?}] -> :infinity
      [{_lease, until, _open?}] -> max(until - now(), 0)
      [] -> 0
    end
  end

  defp reply(state) do
    running = Map.values(state.pids)
    {ended, ending} = Enum.split_with(state.ending, fn {_from, lease} -> lease not in running end)
    Enum.each(ended, fn {from, _lease} -> GenServer.reply(from, :ok) end)
    %{state | ending: ending}
  end

  defp ended(id) do
    detail = "#{inspect(id)} is a singleton, and this host does not hold its lease"
    {:error, Error.new(:unavailable, detail)}
  end

  defp via(instance), do: Directory.via(instance.name, __MODULE__)
  defp now, do: System.monotonic_time(:millisecond)
end
