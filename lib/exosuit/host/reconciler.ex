defmodule Exosuit.Host.Reconciler do
  @moduledoc """
  Starts specifications that do not run, and monitors their processes.

  `Exosuit.Host.Attempts` decides, this process carries out the decisions. It is the only process that starts and stops
  actors and providers of a host, so that starts, stops and updates of an item never overlap.

  ## The life of a start

      run/3 ── Specifications.add ── Leases.check ── DynamicSupervisor.start_child
                                                        │ returns at once: the process works in its `handle_continue`
                                                        ▼
              `{:exosuit_started, pid, compiled}`  or  `{:exosuit_failed, pid, error}`
                  │                                        │
      keep the compiled code, event `*_started`,       event `*_start_failed`, schedule the next try,
      look at its links, check its health              show the reason in `Statuses`
                  └──────────── answer the callers ────────┘

  This process never waits for a start: reading and compiling happen in the started process. It waits for its other
  children of `Exosuit.Host`, for an actor that takes an update (`Exosuit.Actor.update/3`, which does no slow work), and
  for a provider that is stopped.

  ## When a process ends

  | its end | follows |
  |---|---|
  | a crash of an actor or provider | a `:DOWN` message; the next try at once, or by `Exosuit.Retry` |
  | a failed start | the report decides; its `:DOWN` message is ignored |
  | a stop | the process was forgotten before it was ended; its `:DOWN` message is ignored |
  | a crash of this process | its successor adopts running processes, ends those that still start, and starts the rest |

  A successor ends processes that still start, because they would report to the earlier process. Callers that wait
  for the crashed process exit, and cannot know the outcome; `Exosuit.Host.Roster` handles this where an item could be
  lost.
  """

  use Exosuit.Server

  alias Exosuit.{Actor, Claims, Directory, Error, Event, Instance, Lattice, Provider, Router}
  alias Exosuit.Host.{Attempts, Inventory, Leases, Links, Specifications, Statuses}
  alias Exosuit.Model

  @enforce_keys [:instance]
  defstruct [:instance, :code, attempts: %{}, pids: %{}, keys: %{}]

  # Reading and compiling a large module may take minutes. The engine limits the time.
  @start_timeout 310_000

  @spec start_link(Instance.t()) :: GenServer.on_start()
  def start_link(instance) do
    GenServer.start_link(__MODULE__, instance, name: Directory.via(instance.name, __MODULE__))
  end

  @doc """
  Adds a specification and starts it. If it cannot start, the specification is removed again, and its first error is
  returned; nothing is retried. `code` is the reference of an actor's loaded code, see `Exosuit.Actor.Handover`.

  Blocks the calling process, for 310 s at most, then the caller exits. If the caller ends before the outcome, the start
  continues, and a started item stays. Returns `:conflict` if the host has an item of this id.
  """
  @spec run(Instance.t(), Specifications.specification(), reference() | nil) ::
          :ok | {:error, Error.t()}
  def run(instance, specification, code \\ nil), do: call(instance, {:run, specification, code})

  @doc """
  Starts the specification of this key, and waits for the outcome of one try. After a failure, the specification stays,
  and is retried unless the failure is final. Returns `:ok` at once if the item runs, and `:not_found` if there is no
  such specification.
  """
  @spec start(Instance.t(), Directory.key()) :: :ok | {:error, Error.t()}
  def start(instance, key), do: call(instance, {:start, key})

  @doc """
  Stops the actor or provider of this key, and removes its specification. A stop of an absent item is `:ok`.

  A running actor refuses new calls from then on, and ends when its running calls have finished; this function does not
  wait for that. A provider, and an actor that still starts, have ended when the function returns. Callers that wait for
  its start get `:dropped`.
  """
  @spec stop(Instance.t(), Directory.key()) :: :ok
  def stop(instance, key), do: call(instance, {:stop, key})

  @typedoc """
  Decides by the claims of the running actor and of its replacement whether the replacement is allowed.
  """
  @type permit :: (Actor.claims(), Actor.claims() -> :ok | {:error, Error.t()})

  @doc """
  Changes the specification of a running actor, and has it serve with prepared code (`Exosuit.Actor.prepare/4`). A
  refusal changes nothing. This process serialises changes with starts and stops.

  `permit` is asked again here, because the running code may have changed since the caller prepared the new code.
  The specification is replaced before the actor takes the code, so that a crash in between restarts the new code. If
  the actor refuses, the old specification returns. If it does not answer, it is killed, and restarts from the old one.

  Returns `:unavailable` if the actor does not run.
  """
  @spec update(Instance.t(), Directory.key(), change, Actor.Compiled.t(), permit()) ::
          :ok | {:error, Error.t()}
        when change: (Specifications.specification() -> Specifications.specification())
  def update(instance, key, change, compiled, permit) do
    call(instance, {:update, key, change, compiled, permit})
  end

  @doc """
  The state of each attempt, by role and id. An item that is specified and missing here was never tried.
  """
  @spec phases(Instance.t()) :: %{optional(Directory.key()) => Attempts.phase()}
  def phases(instance), do: call(instance, :phases)

  @impl GenServer
  def init(instance), do: {:ok, %__MODULE__{instance: instance}, {:continue, :adopt}}

  @impl GenServer
  def handle_continue(:adopt, state) do
    keys = Enum.map(Specifications.list(state.instance), &Specifications.key/1)
    state = Enum.reduce(keys, state, &adopt/2)
    end_strangers(state)
    waiting = for key <- keys, not is_map_key(state.attempts, key), do: key
    {:noreply, Enum.reduce(waiting, state, &act(Attempts.start(&2.attempts, &1, nil), &2))}
  end

  # This process does it, because the caller may end between two steps.
  @impl GenServer
  def handle_call({:run, specification, code}, from, state) do
    key = Specifications.key(specification)

    case Specifications.add(state.instance, specification) do
      :ok -> {:noreply, first_start(state, key, from, code)}
      {:error, error} -> {:reply, refused(state, specification, error), state}
    end
  end

  def handle_call({:start, key}, from, state) do
    {:noreply, act(Attempts.start(state.attempts, key, from), state)}
  end

  def handle_call({:stop, key}, _from, state), do: {:reply, :ok, remove(state, key)}

  def handle_call({:update, key, change, compiled, permit}, _from, state) do
    result = switch(state, key, change, compiled, permit)
    if result == :ok, do: updated(state, key, compiled)
    {:reply, result, state}
  end

  def handle_call(:phases, _from, state) do
    {:reply, Map.new(state.attempts, fn {key, attempt} -> {key, attempt.phase} end), state}
  end

  # Ignore messages from processes that were stopped or replaced in the meantime.
  @impl GenServer
  def handle_info({:exosuit_started, pid, compiled}, state) do
    case state.pids do
      %{^pid => key} -> {:noreply, started(state, key, compiled)}
      %{} -> {:noreply, state}
    end
  end

  def handle_info({:exosuit_failed, pid, error}, state) do
    {:noreply, ended(state, pid, &Attempts.failed(&1, &2, error, now()))}
  end

  # The provider's own code raised an exception while it started.
  def handle_info({:exosuit_crashed, pid, error}, state) do
    {:noreply, ended(state, pid, &Attempts.failed(&1, &2, error, now(), :crashing))}
  end

  def handle_info({:retry, key, try}, state) do
    {:noreply, act(Attempts.retry(state.attempts, key, try), state)}
  end

  def handle_info({:DOWN, _monitor, :process, pid, reason}, state) do
    {:noreply, ended(state, pid, &Attempts.down(&1, &2, reason, now()))}
  end

  # The code is for this start alone: a later one finds the compiled code with the specification.
  defp first_start(state, key, from, code) do
    starting = Attempts.start(state.attempts, key, {:or_remove, key, from})
    %{act(starting, %{state | code: {key, code}}) | code: nil}
  end

  # A rejected specification is not started, but a `*_start_failed` event is still emitted.
  defp refused(state, specification, error) do
    {role, id} = Specifications.key(specification)
    reference = Model.Artifact.reference(specification.artifact)
    fields = %{id: id, image_ref: reference, annotations: specification.annotations}
    reason = %{reason: error.reason, error: Exception.message(error)}
    Lattice.announce(state.instance, event(role, :start_failed, Map.merge(fields, reason)))
    {:error, error}
  end

  defp call(instance, request) do
    GenServer.call(Directory.via(instance.name, __MODULE__), request, @start_timeout)
  end

  defp switch(state, key, change, compiled, permit) do
    with {:ok, {pid, current}} <- running(state, key),
         {:ok, {old, old_compiled}} <- Specifications.fetch(state.instance, key),
         :ok <- permit.(current.claims, compiled.claims),
         new = %{change.(old) | artifact: compiled.artifact},
         :ok <- Specifications.replace(state.instance, new, compiled) do
      with {:error, error} <- serve(pid, key, new, compiled) do
        :ok = Specifications.replace(state.instance, old, old_compiled)
        {:error, error}
      end
    end
  end

  # An actor always serves its specification: if the process does not answer, it is killed and restarted from the old
  # one.
  defp serve(pid, key, specification, compiled) do
    Actor.update(pid, specification, compiled)
  catch
    :exit, {_reason, {GenServer, :call, _arguments}} ->
      Process.exit(pid, :kill)
      {:error, not_running(key)}
  end

  # Reads the directory: the compiled code of an adopted process may not be stored with its specification.
  defp running(state, key) do
    with %{phase: :running} <- state.attempts[key],
         {:ok, found} <- Directory.fetch(state.instance.name, key) do
      {:ok, found}
    else
      _not_running -> {:error, not_running(key)}
    end
  end

  defp not_running({role, id}) do
    Error.new(:unavailable, "#{role} #{inspect(id)} does not run: start it before an update")
  end

  defp now, do: System.monotonic_time(:millisecond)

  defp act({attempts, actions}, state) do
    Enum.reduce(actions, %{state | attempts: attempts}, &perform/2)
  end

  defp perform({:reply, nil, _result}, state), do: state

  defp perform({:reply, {:or_remove, key, from}, result}, state) do
    state = if result == :ok, do: state, else: remove(state, key)
    perform({:reply, from, result}, state)
  end

  defp perform({:reply, from, result}, state) do
    GenServer.reply(from, result)
    state
  end

  defp perform({:schedule, key, delay, try}, state) do
    Process.send_after(self(), {:retry, key, try}, delay)
    state
  end

  defp perform({:status, key, status, error, delay}, state) do
    Statuses.put(state.instance, key, status, error, delay)
    state
  end

  defp perform({:spawn, key}, state) do
    case Specifications.fetch(state.instance, key) do
      {:ok, {specification, nil}} -> spawn_leased(state, key, specification, lent(state, key))
      {:ok, {specification, compiled}} -> spawn_leased(state, key, specification, compiled)
      {:error, error} -> act(Attempts.stop(state.attempts, key, error), state)
    end
  end

  # A call waits for the next start if that comes before the call's own waiting time ends.
  defp perform({:refuse, {:actor, id}, error, delay}, state) do
    wait? = is_integer(delay) and delay <= state.instance.config.restart_wait
    unless wait?, do: Router.fail(state.instance.router, id, error)
    state
  end

  defp perform({:refuse, {:provider, _id}, _error, _delay}, state), do: state

  defp perform({:announce, key, what, data}, state) do
    case Specifications.fetch(state.instance, key) do
      {:ok, found} -> announce(state, key, what, Map.merge(facts(key, found, state), data))
      {:error, _removed} -> :ok
    end

    state
  end

  defp announce(state, {role, _id}, what, fields) do
    Lattice.announce(state.instance, event(role, what, fields))
  end

  defp event(role, :restarting, fields), do: Event.Restarting.new(Map.put(fields, :role, role))
  defp event(role, :retry_slow, fields), do: Event.RetrySlow.new(Map.put(fields, :role, role))
  defp event(:actor, :started, fields), do: Event.ActorStarted.new(fields)
  defp event(:actor, :start_failed, fields), do: Event.ActorStartFailed.new(fields)
  defp event(:actor, :stopped, fields), do: Event.ActorStopped.new(fields)
  defp event(:actor, :updated, fields), do: Event.ActorUpdated.new(fields)
  defp event(:provider, :started, fields), do: Event.ProviderStarted.new(fields)
  defp event(:provider, :start_failed, fields), do: Event.ProviderStartFailed.new(fields)
  defp event(:provider, :stopped, fields), do: Event.ProviderStopped.new(fields)

  defp facts({:actor, id}, {specification, compiled}, _state) do
    claims = if compiled, do: compiled.claims, else: :unsigned

    %{
      id: id,
      public_key: public_key(claims),
      revision: revision(claims),
      image_ref: Model.Artifact.reference(specification.artifact),
      annotations: specification.annotations,
      shares: Inventory.shares(specification),
      claims: Claims.public(claims)
    }
  end

  defp facts({:provider, id} = key, {specification, _compiled}, state) do
    %{
      id: id,
      public_key: Router.provider_key(specification),
      contracts: Inventory.contracts(specification.artifact),
      link_name: specification.link_name,
      image_ref: Model.Artifact.reference(specification.artifact),
      annotations: specification.annotations,
      endpoints: endpoints(state.instance, key)
    }
  end

  defp revision(:unsigned), do: nil
  defp revision(claims), do: claims.revision

  defp public_key(:unsigned), do: nil
  defp public_key(claims), do: claims.subject

  defp endpoints(instance, key) do
    case Directory.fetch(instance.name, key) do
      {:ok, {_pid, %{native: provider}}} -> Router.endpoints(provider)
      {:error, _gone} -> []
    end
  end

  defp lent(%{code: {key, code}}, key), do: code
  defp lent(_state, _key), do: nil

  defp spawn_leased(state, key, specification, code) do
    case Leases.check(state.instance, specification) do
      :ok -> spawn_child(state, key, specification, code)
      {:error, error} -> act(Attempts.failed(state.attempts, key, error, now()), state)
    end
  end

  defp spawn_child(state, {role, _id} = key, specification, code) do
    argument = {state.instance, specification, code, self()}

    {:ok, pid} =
      DynamicSupervisor.start_child(
        supervisor(state.instance, role),
        {process(specification), argument}
      )

    Leases.watch(state.instance, specification, pid)
    watch(state, key, pid)
  end

  defp started(state, key, compiled) do
    if compiled, do: Specifications.keep(state.instance, key, compiled)
    note_start(state, key, compiled)
    state = act(Attempts.started(state.attempts, key, now()), state)
    ask_health(state.instance, key)
    state
  end

  # A started provider may refuse links, and accept links that it refused before.
  defp note_start(state, key, compiled) do
    Statuses.delete(state.instance, key)
    Links.look(state.instance, names(key, compiled))
  end

  # The first health check runs only now, so that its event follows the event of the start.
  defp ask_health(instance, key) do
    case Directory.fetch(instance.name, key) do
      {:ok, {_pid, %{health: health}}} -> Provider.Health.check(health)
      _no_provider -> :ok
    end
  end

  defp updated(state, key, compiled) do
    perform({:announce, key, :updated, %{}}, state)
    Links.look(state.instance, names(key, compiled))
  end

  defp names({_role, id}, %{claims: %Claims{subject: subject}}), do: [id, subject]
  defp names({_role, id}, _unsigned), do: [id]

  defp ended(state, pid, decide) do
    case Map.pop(state.pids, pid) do
      {nil, _pids} ->
        state

      {key, pids} ->
        state = %{state | pids: pids, keys: Map.delete(state.keys, key)}
        act(decide.(state.attempts, key), state)
    end
  end

  defp watch(state, key, pid) do
    Process.monitor(pid)
    %{state | pids: Map.put(state.pids, pid, key), keys: Map.put(state.keys, key, pid)}
  end

  defp adopt(key, state) do
    case Directory.fetch(state.instance.name, key) do
      {:ok, {pid, facts}} ->
        # The process may have reported its start to an earlier reconciler that was killed before it received the
        # report.
        note_start(state, key, facts)
        watch(%{state | attempts: Attempts.adopt(state.attempts, key, now())}, key, pid)

      {:error, _absent} ->
        state
    end
  end

  # Ends processes that an earlier reconciler started and that are still starting, because they would report to that
  # reconciler. Also ends stopped processes that still run calls; these calls are dropped.
  defp end_strangers(state) do
    for role <- [:actor, :provider],
        supervisor = supervisor(state.instance, role),
        {_, pid, _, _} <- DynamicSupervisor.which_children(supervisor),
        not is_map_key(state.pids, pid),
        do: DynamicSupervisor.terminate_child(supervisor, pid)
  end

  # The specification is removed last. If this process crashes before, its successor starts the item again, and the
  # caller exits, which shows that the item was not stopped.
  defp remove(state, {role, id} = key) do
    error = Error.new(:dropped, "the #{role} #{id} was stopped while it was starting")
    state = end_child(state, key)
    state = act(Attempts.stop(state.attempts, key, error), state)
    Statuses.delete(state.instance, key)
    Specifications.remove(state.instance, key)
    state
  end

  defp end_child(state, key) do
    case Map.pop(state.keys, key) do
      {nil, _keys} ->
        end_absent(state, key)

      {pid, keys} ->
        end_running(%{state | keys: keys, pids: Map.delete(state.pids, pid)}, key, pid)
    end
  end

  defp end_absent(state, {:actor, id}) do
    Router.forget(state.instance.router, id)
    state
  end

  defp end_absent(state, {:provider, _id}), do: state

  defp end_running(state, {role, id} = key, pid) do
    state = perform({:announce, key, :stopped, %{reason: "stopped"}}, state)
    Directory.leave(state.instance.name, key)

    if role == :actor and state.attempts[key].phase == :running do
      # New calls are refused from here on; the process ends once running calls have finished.
      Actor.retire(pid, state.instance, id)
      state
    else
      DynamicSupervisor.terminate_child(supervisor(state.instance, role), pid)
      end_absent(state, key)
    end
  end

  defp supervisor(instance, :actor), do: Directory.via(instance.name, :actors)
  defp supervisor(instance, :provider), do: Directory.via(instance.name, :providers)

  defp process(%Model.ActorSpecification{}), do: Actor
  defp process(%Model.ProviderSpecification{artifact: {:builtin, _}}), do: Provider.Builtin
  defp process(%Model.ProviderSpecification{artifact: {:module, _, _}}), do: Provider.Module
end
