defmodule Exosuit.Host.Attempts do
  @moduledoc false
  # The reconciler's decisions, pure. For each specification there is an attempt to run it. Each function takes the
  # attempts and an event, and returns the attempts and the actions to take.
  #
  # Failures are retried by `Exosuit.Retry`, without end, unless they are final (`Exosuit.Retry.final?/1`). Calls
  # to an actor are refused while its next start is far away, or if there is none.

  alias Exosuit.{Directory, Error, Retry}

  @type key :: Directory.key()
  @type waiter :: term()
  @type phase :: :starting | :running | :waiting | {:failed, Error.t()}
  @type status :: :starting | :crashing | :refused | :failed
  @type attempt :: %{phase: phase(), waiters: [waiter()], retry: Retry.t()}
  @type t :: %{optional(key()) => attempt()}
  @type action ::
          {:spawn, key()}
          | {:schedule, key(), delay :: non_neg_integer(), try :: non_neg_integer()}
          | {:reply, waiter(), :ok | {:error, Error.t()}}
          | {:refuse, key(), Error.t(), delay :: non_neg_integer() | :infinity}
          | {:status, key(), status(), Error.t() | nil, delay :: non_neg_integer() | nil}
          | {:announce, key(), atom(), map()}

  @doc "A caller asks for a start, and waits for the result of the next one."
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

  @doc "Its process already runs, because an earlier reconciler started it."
  @spec adopt(t(), key(), integer()) :: t()
  def adopt(attempts, key, now) do
    attempt = new(:running, [])
    put(attempts, key, %{attempt | retry: Retry.worked(attempt.retry, now)})
  end

  @doc "Its start succeeded."
  @spec started(t(), key(), integer()) :: {t(), [action()]}
  def started(attempts, key, now) do
    {attempts, actions} = settle(attempts, key, :running, :ok, [{:announce, key, :started, %{}}])
    {update_in(attempts[key].retry, &Retry.worked(&1, now)), actions}
  end

  @doc "Its start failed: it was refused, or its own code crashed."
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

  @doc "Its process ended without having been stopped."
  @spec down(t(), key(), term(), integer()) :: {t(), [action()]}
  def down(attempts, key, reason, now) do
    case attempts do
      # It reported the reason before it ended, so the retry is decided already.
      %{^key => %{phase: phase}} when phase not in [:starting, :running] -> {attempts, []}
      %{^key => %{}} -> fallen(attempts, key, reason, now)
      %{} -> {attempts, []}
    end
  end

  @doc "The delay before a try has passed. If it was tried in the meantime, nothing happens."
  @spec retry(t(), key(), non_neg_integer()) :: {t(), [action()]}
  def retry(attempts, key, try) do
    case attempts do
      %{^key => %{phase: :waiting, retry: %{failures: ^try}}} -> spawn_again(attempts, key)
      %{} -> {attempts, []}
    end
  end

  @doc "It should not run any more."
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
