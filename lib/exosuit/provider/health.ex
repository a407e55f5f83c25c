defmodule Exosuit.Provider.Health do
  @moduledoc """
  Checks the health of a provider at intervals.

  Each provider has such a process, linked to its own, so that a provider that does not answer delays nothing else. Each
  check runs in a process of its own, which is killed after 5 s.

  The first check runs when the reconciler has announced the start (`check/1`), so that the events come in this order.
  Later ones follow after the host's `:health_interval`, counted from the end of the last.

  | result | effect |
  |---|---|
  | `:ok` | the number of failures becomes 0 |
  | an error `:unavailable` | none: something that the provider depends on is missing, a restart would not help |
  | another error, a crash, no answer in time | counts as a failure |
  | the second failure in a row | the provider is stopped with `{:shutdown, {:unhealthy, error}}` |

  The reconciler restarts a stopped provider as after a crash. A provider that does not end within 5 s is killed: it may
  trap exits, or be stuck.

  Events: `health_check_passed` or `health_check_failed` if the result differs from the last one, otherwise
  `health_check_status`. The directory has the last result for the inventory.
  """

  use Exosuit.Server, restart: :temporary

  alias Exosuit.{Directory, Error, Event, Instance, Lattice, Router}
  alias Exosuit.Model.{Artifact, ProviderSpecification}

  @typedoc "The check of a provider. It runs in a process of its own, and may block."
  @type check :: (() -> :ok | {:error, Error.t()})

  # How long a check may take, and how long a provider may take to end.
  @timeout 5_000

  @failures 2

  @enforce_keys [:instance, :specification, :contracts, :provider, :check]
  defstruct [:instance, :specification, :contracts, :provider, :check, :timer, :last, failures: 0]

  @doc """
  Starts checks for the calling process, a provider, and returns the process. `contracts` is for the events.
  """
  @spec start_link(Instance.t(), ProviderSpecification.t(), [String.t()], check()) :: pid()
  def start_link(instance, specification, contracts, check) do
    state = %__MODULE__{
      instance: instance,
      specification: specification,
      contracts: contracts,
      provider: self(),
      check: check
    }

    {:ok, pid} = GenServer.start_link(__MODULE__, state)
    pid
  end

  @doc "Starts a check now. Does not wait."
  @spec check(pid()) :: :ok
  def check(health), do: GenServer.cast(health, :check)

  @doc "The longest time that a check may take, in milliseconds."
  @spec timeout() :: pos_integer()
  def timeout, do: @timeout

  @impl GenServer
  def init(state), do: {:ok, schedule(state)}

  @impl GenServer
  def handle_cast(:check, state), do: conclude(state, run(state.check))

  @impl GenServer
  def handle_info(:check, state), do: conclude(state, run(state.check))

  defp run(check) do
    {pid, monitor} = spawn_monitor(fn -> exit({:checked, check.()}) end)

    receive do
      {:DOWN, ^monitor, :process, _pid, {:checked, result}} -> result
      {:DOWN, ^monitor, :process, _pid, _reason} -> {:error, failure("its check crashed")}
    after
      @timeout ->
        Process.exit(pid, :kill)
        Process.demonitor(monitor, [:flush])
        {:error, failure("the health check did not answer within #{@timeout} ms")}
    end
  end

  defp failure(detail), do: Error.new(:provider, detail)

  defp conclude(state, :ok) do
    announce(state, :passed, %{healthy: true})
    note(state, :passed)
    {:noreply, schedule(%{state | last: :passed, failures: 0})}
  end

  defp conclude(state, {:error, %Error{} = error}) do
    text = Exception.message(error)
    announce(state, :failed, %{healthy: false, reason: error.reason, error: text})
    note(state, text)
    failed(%{state | last: :failed}, error)
  end

  defp failed(state, %Error{reason: :unavailable}), do: {:noreply, schedule(state)}

  defp failed(%{failures: failures} = state, error) when failures + 1 >= @failures do
    reason = {:shutdown, {:unhealthy, error}}
    Process.unlink(state.provider)
    Process.exit(state.provider, reason)
    # A provider that traps exits may go on, and a stuck one does not notice the exit.
    {:ok, _timer} = :timer.kill_after(@timeout, state.provider)
    {:stop, reason, state}
  end

  defp failed(state, _error), do: {:noreply, schedule(%{state | failures: state.failures + 1})}

  defp announce(state, result, data) do
    data = Map.merge(facts(state), data)
    Lattice.announce(state.instance, event(result, result == state.last, data))
  end

  defp event(_result, true, data), do: Event.HealthCheckStatus.new(data)
  defp event(:passed, false, data), do: Event.HealthCheckPassed.new(data)
  defp event(:failed, false, data), do: Event.HealthCheckFailed.new(data)

  defp facts(%{specification: specification} = state) do
    %{
      id: specification.id,
      public_key: Router.provider_key(specification),
      contracts: state.contracts,
      link_name: specification.link_name,
      image_ref: Artifact.reference(specification.artifact),
      annotations: specification.annotations
    }
  end

  defp note(%{instance: instance} = state, health) do
    key = {:provider, state.specification.id}
    Directory.note(instance.name, key, state.provider, %{healthy: health})
  end

  # The next check follows after an interval, also if this one was out of turn.
  defp schedule(state) do
    if state.timer, do: Process.cancel_timer(state.timer)
    timer = Process.send_after(self(), :check, state.instance.config.health_interval)
    %{state | timer: timer}
  end
end
