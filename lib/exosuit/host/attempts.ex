defmodule Exosuit.Host.Attempts do
  @moduledoc false
  # The reconciler's decisions, pure: what is tried for each specification, how that goes, and what
  # to do next. Each function takes the attempts and an event and gives the attempts and actions.

  alias Exosuit.{Directory, Error}
  alias Exosuit.Host.Restarts

  @type key :: Directory.key()
  @type waiter :: term()
  @type phase :: :starting | :running | :waiting | {:failed, Error.t()}
  @type attempt :: %{phase: phase(), waiters: [waiter()], restarts: Restarts.t()}
  @type t :: %{optional(key()) => attempt()}
  @type action ::
          {:spawn, key()}
          | {:schedule, key(), non_neg_integer()}
          | {:reply, waiter(), :ok | {:error, Error.t()}}
          | {:refuse, key(), Error.t()}
          | {:announce, key(), atom(), map()}

  # Another try at the same bytes and the same configuration would end the same.
  @permanent ~w(conflict invalid_claims invalid_input invalid_link invalid_module)a

  @doc "Somebody wants it to run, and waits for how the next start goes."
  @spec start(t(), key(), waiter()) :: {t(), [action()]}
  def start(attempts, key, waiter) do
    case attempts do
      %{^key => %{phase: :running}} -> {attempts, [{:reply, waiter, :ok}]}
      %{^key => %{phase: :starting}} -> {add_waiter(attempts, key, waiter), []}
      %{} -> {put(attempts, key, new(:starting, [waiter])), [{:spawn, key}]}
    end
  end

  @doc "It is found running, left by an earlier reconciler."
  @spec adopt(t(), key()) :: t()
  def adopt(attempts, key), do: put(attempts, key, new(:running, []))

  @doc "It runs."
  @spec started(t(), key()) :: {t(), [action()]}
  def started(attempts, key) do
    settle(attempts, key, :running, :ok, [{:announce, key, :started, %{}}])
  end

  @doc "It could not start, and says why."
  @spec failed(t(), key(), Error.t(), integer()) :: {t(), [action()]}
  def failed(attempts, key, %Error{reason: reason} = error, now) do
    failure = {:announce, key, :start_failed, %{reason: reason, error: Exception.message(error)}}

    if reason in @permanent do
      settle(attempts, key, {:failed, error}, {:error, error}, [failure, {:refuse, key, error}])
    else
      {attempts, replies} = settle(attempts, key, :waiting, {:error, error}, [failure])
      {attempts, actions} = again(attempts, key, error, now)
      {attempts, replies ++ actions}
    end
  end

  @doc "Its process ended, and nobody had asked for that."
  @spec down(t(), key(), term(), integer()) :: {t(), [action()]}
  def down(attempts, key, reason, now) do
    case attempts do
      # It said why before it ended; that was decided then.
      %{^key => %{phase: phase}} when phase not in [:starting, :running] -> {attempts, []}
      %{^key => %{}} -> fallen(attempts, key, reason, now)
      %{} -> {attempts, []}
    end
  end

  @doc "The delay before the next start is over."
  @spec retry(t(), key()) :: {t(), [action()]}
  def retry(attempts, key) do
    case attempts do
      %{^key => %{phase: :waiting}} -> {put_in(attempts[key].phase, :starting), [{:spawn, key}]}
      %{} -> {attempts, []}
    end
  end

  @doc "It shall not run any more."
  @spec stop(t(), key(), Error.t()) :: {t(), [action()]}
  def stop(attempts, key, error) do
    {attempt, attempts} = Map.pop(attempts, key, new(:waiting, []))
    {attempts, for(waiter <- attempt.waiters, do: {:reply, waiter, {:error, error}})}
  end

  defp fallen(attempts, key, reason, now) do
    error = Error.new(:unavailable, "its process ended: #{describe(reason)}")
    stopped = {:announce, key, :stopped, %{reason: describe(reason)}}
    {attempts, replies} = settle(attempts, key, :waiting, {:error, error}, [stopped])
    {attempts, actions} = again(attempts, key, error, now)
    {attempts, replies ++ actions}
  end

  defp again(attempts, key, error, now) do
    case Restarts.next(attempts[key].restarts, now) do
      {:after, delay, restarts} ->
        {put_in(attempts[key].restarts, restarts),
         [
           {:announce, key, :restarting, %{after_ms: delay, reason: error.reason}},
           {:schedule, key, delay}
         ]}

      {:give_up, count} ->
        {put_in(attempts[key].phase, {:failed, error}),
         [
           {:announce, key, :gave_up, %{restarts: count, reason: error.reason}},
           {:refuse, key, error}
         ]}
    end
  end

  # Whoever waited hears how this start went, not how a later one may go.
  defp settle(attempts, key, phase, result, actions) do
    attempt = Map.get(attempts, key, new(phase, []))
    replies = for waiter <- attempt.waiters, do: {:reply, waiter, result}
    {put(attempts, key, %{attempt | phase: phase, waiters: []}), actions ++ replies}
  end

  defp new(phase, waiters), do: %{phase: phase, waiters: waiters, restarts: Restarts.new()}
  defp put(attempts, key, attempt), do: Map.put(attempts, key, attempt)
  defp add_waiter(attempts, key, waiter), do: update_in(attempts[key].waiters, &[waiter | &1])

  # A crash reason may hold payloads: its head says enough, and the process's own report the rest.
  defp describe(reason) when is_atom(reason), do: inspect(reason)
  defp describe({:shutdown, reason}) when is_atom(reason), do: inspect(reason)
  defp describe(_reason), do: "a crash"
end
