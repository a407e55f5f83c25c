defmodule Exosuit.Startup do
  @moduledoc """
  Applies the actors, providers, links and manifests of a host's options, in this order, at each start of the
  host. After a restart by its supervisor, the host therefore runs the same items.

      options ──► Startup.Items ──► tried in their order ── applied ──► `:done`, `startup_applied`
                                      ▲            │
                       Exosuit.Retry, │            │ refused
                  or a new connection │            ▼
                                      └── `:refused`, `startup_failed`, shown under `pending`

  A final error becomes `:failed` instead, and is not tried again.

  An item whose actor, provider or link is there already counts as applied, so that a restart of this process alone
  repeats nothing. The statuses are in a table that outlives this process (`Exosuit.Host.Statuses`): after a crash,
  applied items are not applied again, and added items are not forgotten.

  Items are tried in this process, one at a time: a later item may need an earlier one. Other processes do not wait for
  it, but for callers of `await/1`.
  """

  use Exosuit.Server, hides_state: true

  alias Exosuit.{Directory, Error, Event, Instance, Lattice, Retry}
  alias Exosuit.Host.{Pending, Statuses}
  alias Exosuit.Startup.Items

  # Callers wait at most this long: items may have to be compiled, one after the other.
  @timeout 600_000

  # Items may hold secrets.
  @derive {Inspect, only: [:instance]}
  @enforce_keys [:instance, :items]
  defstruct [:instance, :items, retries: %{}]

  @doc "Starts the process, which tries the items after this function has returned."
  @spec start_link({Instance.t(), [Pending.item()]}) :: GenServer.on_start()
  def start_link({instance, items}) do
    state = %__MODULE__{instance: instance, items: items}
    GenServer.start_link(__MODULE__, state, name: Directory.via(instance.name, __MODULE__))
  end

  @doc """
  Waits until each item has been tried once. Blocks the calling process, at most as long as this process lives, and
  ten minutes at most. Retries continue after that. Returns `:ok` in each case: the inventory has the outcomes.
  """
  @spec await(Instance.t()) :: :ok
  def await(instance) do
    GenServer.call(Directory.via(instance.name, __MODULE__), :tried?, @timeout)
  catch
    :exit, _fallen_or_late -> :ok
  end

  @doc """
  Adds an item, which is tried until it succeeds, also by a successor of this process. Does not wait.
  """
  @spec add(Instance.t(), Pending.item()) :: :ok
  def add(instance, item) do
    :ok = Statuses.want(instance, {:option, item})
    GenServer.cast(Directory.via(instance.name, __MODULE__), {:add, item})
  end

  @doc "Ends the retries of an item, also those of a successor of this process. Does not wait."
  @spec forget(Instance.t(), Pending.item()) :: :ok
  def forget(instance, item) do
    :ok = Statuses.put(instance, {:option, item}, :done, nil, nil)
    GenServer.cast(Directory.via(instance.name, __MODULE__), {:forget, item})
  end

  @impl GenServer
  def init(%{instance: instance} = state) do
    :ok = Lattice.Events.subscribe(instance.name)
    {:ok, state, {:continue, :apply}}
  end

  @impl GenServer
  def handle_continue(:apply, state) do
    {:noreply, Enum.reduce(state.items ++ added(state), state, &try_item/2)}
  end

  @impl GenServer
  def handle_call(:tried?, _from, state), do: {:reply, :ok, state}

  @impl GenServer
  def handle_cast({:add, item}, state), do: {:noreply, try_item(item, state)}

  def handle_cast({:forget, item}, state) do
    {:noreply, %{state | retries: Map.delete(state.retries, item)}}
  end

  @impl GenServer
  def handle_info({:retry, item, try}, state) do
    case state.retries do
      %{^item => %{failures: ^try}} -> {:noreply, try_item(item, state)}
      # The item was tried in the meantime.
      %{} -> {:noreply, state}
    end
  end

  def handle_info({:exosuit_event, %Event{type: "lattice_connected"} = event}, state) do
    if event.data.connection == "control",
      do: {:noreply, Enum.reduce(Map.keys(state.retries), state, &try_item/2)},
      else: {:noreply, state}
  end

  # The items that were added to a predecessor of this process.
  defp added(state) do
    for {{:option, item}, _status} <- Statuses.options(state.instance),
        item not in state.items,
        do: item
  end

  defp try_item(item, %{instance: instance} = state) do
    if Statuses.fetch(instance, {:option, item}).status == :done do
      state
    else
      conclude(state, item, carry_out(instance, item))
    end
  end

  # The called process may crash during the call. While the directory restarts, the host is not found. Both count as a
  # failed try.
  defp carry_out(instance, item) do
    Items.apply(instance, item)
  rescue
    error in ArgumentError -> {:error, Error.new(:unavailable, Exception.message(error))}
  catch
    :exit, _fallen ->
      {:error, Error.new(:unavailable, "a process of the host crashed in the meantime")}
  end

  defp conclude(state, item, :ok) do
    Statuses.put(state.instance, {:option, item}, :done, nil, nil)
    Lattice.announce(state.instance, %Event.StartupApplied{option: Pending.name(item)})
    %{state | retries: Map.delete(state.retries, item)}
  end

  defp conclude(state, item, {:error, error}) do
    # The item was forgotten while it was tried.
    if Statuses.fetch(state.instance, {:option, item}).status == :done,
      do: state,
      else: failed(state, item, error)
  end

  defp failed(state, item, error) do
    failed = %Event.StartupFailed{
      option: Pending.name(item),
      reason: error.reason,
      error: Exception.message(error)
    }

    if Retry.final?(error.reason) do
      Statuses.put(state.instance, {:option, item}, :failed, error, nil)
      Lattice.announce(state.instance, failed)
      state
    else
      again(state, item, error, failed)
    end
  end

  defp again(state, item, error, failed) do
    {delay, retry} = Retry.failed(Map.get(state.retries, item, Retry.new()), now())
    Statuses.put(state.instance, {:option, item}, :refused, error, delay)
    Lattice.announce(state.instance, %{failed | after_ms: delay})
    Process.send_after(self(), {:retry, item, retry.failures}, delay)
    put_in(state.retries[item], retry)
  end

  defp now, do: System.monotonic_time(:millisecond)
end
