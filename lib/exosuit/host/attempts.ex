defmodule Exosuit.Host.Attempts do
  @moduledoc """
  The reconciler's decisions: for each specification there is an *attempt* to run it. Pure.

  Each function takes the attempts and an event, and returns the attempts and the actions to take, in their order.
  `Exosuit.Host.Reconciler` receives the events and performs the actions. Times are milliseconds of the monotonic
  clock, and come with the events.

  ## Phases

                    start                started
      (no attempt) ───────► :starting ─────────────► :running
                             ▲     │ failed              │ down
                       retry │     ▼                     ▼
                             └── :waiting ◄──────────────┘

  | phase | meaning | a `start/3` in this phase |
  |---|---|---|
  | `:starting` | a process has been spawned and has not reported yet | waits for its report |
  | `:running` | the process has reported its start | is answered `:ok` at once |
  | `:waiting` | the next try is scheduled | tries at once, and waits |
  | `{:failed, error}` | the failure was final, nothing is scheduled | tries at once, and waits |

  Failures are retried by `Exosuit.Retry`, without end, unless they are final (`Exosuit.Retry.final?/1`). A start by
  hand before the scheduled retry keeps the number of failures, so that impatient callers do not shorten the delays.

  Calls to an actor are refused while its next start is far away, or if there is none; the reconciler decides by
  the host's `:restart_wait` how far is too far.

  ## The life of an attempt

      iex> alias Exosuit.Host.Attempts
      iex> key = {:actor, "shop"}
      iex> {attempts, actions} = Attempts.start(%{}, key, :caller)
      iex> actions
      [{:spawn, {:actor, "shop"}}]
      iex> {attempts, actions} = Attempts.started(attempts, key, 0)
      iex> actions
      [{:announce, {:actor, "shop"}, :started, %{}}, {:reply, :caller, :ok}]
      iex> {attempts, actions} = Attempts.down(attempts, key, :killed, 5_000)
      iex> List.keyfind(actions, :schedule, 0)
      {:schedule, {:actor, "shop"}, 0, 1}
      iex> {attempts, actions} = Attempts.retry(attempts, key, 1)
      iex> {attempts[key].phase, actions}
      {:starting, [{:spawn, {:actor, "shop"}}]}
  """

  alias Exosuit.{Directory, Error, Retry}

  @type key :: Directory.key()

  @typedoc """
  A caller that waits for the outcome of a start, as `{:reply, waiter, result}` names it. `nil` waits for nothing.
  """
  @type waiter :: term()

  @type phase :: :starting | :running | :waiting | {:failed, Error.t()}

  @typedoc """
  The status in the inventory of an item that does not run:

  - `:starting`: its first try is under way
  - `:crashing`: its process ended, or its own code raised while it started
  - `:refused`: something that it needs refused it, for example a port that is in use
  - `:failed`: the failure is final
  """
  @type status :: :starting | :crashing | :refused | :failed

  @typedoc """
  The state of one specification. `waiters` have the youngest first; they are answered by the next report.
  """
  @type attempt :: %{phase: phase(), waiters: [waiter()], retry: Retry.t()}

  @type t :: %{optional(key()) => attempt()}

  @typedoc """
  An order to the reconciler:

  - `{:spawn, key}`: start a process for the specification; if there is none any more, stop the attempt
  - `{:schedule, key, delay, try}`: call `retry/3` with this `try` after `delay` milliseconds
  - `{:reply, waiter, result}`: answer a caller
  - `{:refuse, key, error, delay}`: let calls fail with this error if `delay` is longer than they may wait
  - `{:status, key, status, error, delay}`: show this in the inventory
  - `{:announce, key, what, data}`: emit the event `what` of the item
  """
  @type action ::
          {:spawn, key()}
          | {:schedule, key(), delay :: non_neg_integer(), try :: non_neg_integer()}
          | {:reply, waiter(), :ok | {:error, Error.t()}}
          | {:refuse, key(), Error.t(), delay :: non_neg_integer() | :infinity}
          | {:status, key(), status(), Error.t() | nil, delay :: non_neg_integer() | nil}
          | {:announce, key(), atom(), map()}

  @doc """
  A caller wants the item to run, and waits for the result of the next start.

      iex> {attempts, _spawn} = Exosuit.Host.Attempts.start(%{}, {:actor, "shop"}, :first)
      iex> {attempts, actions} = Exosuit.Host.Attempts.start(attempts, {:actor, "shop"}, :second)
      iex> {attempts[{:actor, "shop"}].waiters, actions}
      {[:second, :first], []}
  """
  @spec start(t(), key(), waiter()) :: {t(), [action()]}
  def start(attempts, key, waiter) do
    case attempts do
      %{^key => %{phase: :running}} -> {attempts, [{:reply, waiter, :ok}]}
      %{^key => %{phase: :starting}} -> {add_waiter(attempts, key, waiter), []}
      # Retry at once, and keep the count of failures.
      %{^key => _failed} -> attempts |> add_waiter(key, waiter) |> spawn_again(key)
      %{} -> attempts |> put(key, new(:starting, [waiter])) |> spawn_again(key)
    end
  end

  @doc """
  An item was found running: an earlier reconciler started it. Its failures before that are not known, and count as
  none.
  """
  @spec adopt(t(), key(), integer()) :: t()
  def adopt(attempts, key, now) do
    attempt = new(:running, [])
    put(attempts, key, %{attempt | retry: Retry.worked(attempt.retry, now)})
  end

  @doc "The process of an item has reported its start. Its waiters are answered `:ok`."
  @spec started(t(), key(), integer()) :: {t(), [action()]}
  def started(attempts, key, now) do
    {attempts, actions} = settle(attempts, key, :running, :ok, [{:announce, key, :started, %{}}])
    {update_in(attempts[key].retry, &Retry.worked(&1, now)), actions}
  end

  @doc """
  An item could not start. `status` is `:refused` if something that it needs refused it, and `:crashing` if its own
  code raised.

  A final failure ends the attempt: the phase becomes `{:failed, error}`, and calls are refused without a time limit.
  Any other failure schedules the next try. In both cases, the waiters get the error of this try.

      iex> error = Exosuit.Error.new(:invalid_module, "not Wasm")
      iex> {attempts, _spawn} = Exosuit.Host.Attempts.start(%{}, {:actor, "shop"}, :caller)
      iex> {attempts, actions} = Exosuit.Host.Attempts.failed(attempts, {:actor, "shop"}, error, 0)
      iex> {attempts[{:actor, "shop"}].phase == {:failed, error}, List.keyfind(actions, :schedule, 0)}
      {true, nil}
  """
  @spec failed(t(), key(), Error.t(), integer(), :refused | :crashing) :: {t(), [action()]}
  def failed(attempts, key, %Error{reason: reason} = error, now, status \\ :refused) do
    failure = {:announce, key, :start_failed, %{reason: reason, error: Exception.message(error)}}

    if Retry.final?(reason) do
      final = [{:refuse, key, error, :infinity}, {:status, key, :failed, error, nil}]
      settle(attempts, key, {:failed, error}, {:error, error}, [failure | final])
    else
      again(attempts, key, {status, error}, [failure], now)
    end
  end

  @doc """
  The process of an item ended without having been stopped. A process that reported a failure ends afterwards;
  the decision was made by the report then, and nothing happens here.

  A provider that `Exosuit.Provider.Health` ended becomes `:refused` with the error of the check. Any other end is a
  crash. The error has only an atom as reason, or the text "a crash", because other crash reasons may hold payloads.
  """
  @spec down(t(), key(), term(), integer()) :: {t(), [action()]}
  def down(attempts, key, reason, now) do
    case attempts do
      # It reported the reason before it ended, so the retry is decided already.
      %{^key => %{phase: phase}} when phase not in [:starting, :running] -> {attempts, []}
      %{^key => %{}} -> fallen(attempts, key, reason, now)
      %{} -> {attempts, []}
    end
  end

  @doc """
  The delay before a try has passed. `try` is the number of failures at which it was scheduled. If the item was tried
  in the meantime, its number or its phase differs, and nothing happens.
  """
  @spec retry(t(), key(), non_neg_integer()) :: {t(), [action()]}
  def retry(attempts, key, try) do
    case attempts do
      %{^key => %{phase: :waiting, retry: %{failures: ^try}}} -> spawn_again(attempts, key)
      %{} -> {attempts, []}
    end
  end

  @doc """
  An item should not run any more. Its waiters get `error`. The reconciler ends its process.
  """
  @spec stop(t(), key(), Error.t()) :: {t(), [action()]}
  def stop(attempts, key, error) do
    {attempt, attempts} = Map.pop(attempts, key, new(:waiting, []))
    {attempts, for(waiter <- attempt.waiters, do: {:reply, waiter, {:error, error}})}
  end

  # Keep the status: a crashing actor is shown as `crashing`, also while it is restarted.
  defp spawn_again(attempts, key) do
    {put_in(attempts[key].phase, :starting), [{:spawn, key}]}
  end

  defp fallen(attempts, key, reason, now) do
    {status, error, text} = ending(reason)
    again(attempts, key, {status, error}, [{:announce, key, :stopped, %{reason: text}}], now)
  end

  defp again(attempts, key, {status, error}, actions, now) do
    {delay, retry} = Retry.failed(attempts[key].retry, now)
    attempts = put_in(attempts[key].retry, retry)

    waiting = [
      {:status, key, status, error, delay},
      {:refuse, key, error, delay},
      {:schedule, key, delay, retry.failures}
    ]

    {attempts, actions} = settle(attempts, key, :waiting, {:error, error}, actions ++ waiting)

    # A waiting caller may remove a specification that does not start at once. Then no retry is announced.
    {attempts, actions ++ retry_events(key, error, delay, retry)}
  end

  defp retry_events(key, error, delay, retry) do
    data = %{after_ms: delay, reason: error.reason, error: Exception.message(error)}
    slow = if Retry.turned_slow?(retry), do: [{:announce, key, :retry_slow, data}], else: []
    [{:announce, key, :restarting, data} | slow]
  end

  # Waiting callers get the result of this start, not of a later one.
  defp settle(attempts, key, phase, result, actions) do
    attempt = Map.get(attempts, key, new(phase, []))
    replies = for waiter <- attempt.waiters, do: {:reply, waiter, result}
    {put(attempts, key, %{attempt | phase: phase, waiters: []}), actions ++ replies}
  end

  defp new(phase, waiters), do: %{phase: phase, waiters: waiters, retry: Retry.new()}
  defp put(attempts, key, attempt), do: Map.put(attempts, key, attempt)
  defp add_waiter(attempts, key, waiter), do: update_in(attempts[key].waiters, &[waiter | &1])

  # If its health checks fail, `Exosuit.Provider.Health` ends it with the error.
  defp ending({:shutdown, {:unhealthy, %Error{} = error}}), do: {:refused, error, "unhealthy"}

  defp ending(reason) do
    text = describe(reason)
    {:crashing, Error.new(:unavailable, "its process ended: #{text}"), text}
  end

  # A crash reason may hold payloads. Its first element is enough here; the process's own report has the rest.
  defp describe(reason) when is_atom(reason), do: inspect(reason)
  defp describe({:shutdown, reason}) when is_atom(reason), do: inspect(reason)
  defp describe(_reason), do: "a crash"
end
