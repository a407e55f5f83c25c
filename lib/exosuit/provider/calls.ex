defmodule Exosuit.Provider.Calls do
  @moduledoc """
  Starts a process for each call of a provider in Elixir, and answers in its place if it ends without an answer.

  This process runs no code of the provider, so that no call waits for another. The data plane bounds the number of
  calls by the provider's `max_calls`; this process starts one for each message.

      data plane ── `{:exosuit_invoke, …}` ──► Calls ── spawns, linked ──► call ── answer ──► data plane
      data plane ── `{:exosuit_cancel, n}` ──► Calls ── kills ───────────► call

  | a call | ends |
  |---|---|
  | answers | normally; the data plane has the answer |
  | raises, throws or exits | the guest gets an error without secrets; event `invocation_failed` |
  | is cancelled: its deadline has passed, or its caller has ended | killed, without an event |
  | has no link any more | not started: the guest gets `missing_link` |

  If this process ends, it kills its calls, also those that trap exits. It ends with `Exosuit.Provider.Module`, to which
  it is linked.

  The state of the provider is copied into each call when it starts. `put_link/4` and `delete_link/3` bring the new one
  before the data plane gets the answer about the link, so that the first call through a link sees its state.
  """

  use Exosuit.Server

  alias Exosuit.{Event, Instance, Lattice, Model, Origin, Router}
  alias Exosuit.Provider.{Call, Context, Failure, Link}

  # Links of one name cover different interfaces, and have values of their own.
  @typedoc "The links of one name cover different interfaces, and have values of their own."
  @type key :: {name(), interfaces :: [String.t()]}
  @typedoc "The source of the link, its contract and its name."
  @type name :: {actor :: String.t(), contract :: String.t(), name :: String.t()}

  # No crash report shows the provider's state.
  @derive {Inspect, only: [:id, :module]}
  @enforce_keys [:instance, :id, :module, :state]
  defstruct [:instance, :id, :module, :state, links: %{}, calls: %{}, pids: %{}]

  @doc "Starts the process for the calling provider, with the state that `init/1` returned."
  @spec start_link(Instance.t(), String.t(), module(), term()) :: GenServer.on_start()
  def start_link(instance, id, module, state) do
    dispatcher = %__MODULE__{instance: instance, id: id, module: module, state: state}
    GenServer.start_link(__MODULE__, dispatcher)
  end

  @doc """
  Allows calls through a link, or changes its values, and stores the provider's new state. Replaces links of the name
  that it overlaps, as the data plane does. Blocks the calling process.
  """
  @spec put_link(pid(), key(), Link.t(), term()) :: :ok
  def put_link(dispatcher, key, link, state) do
    GenServer.call(dispatcher, {:put_link, key, link, state}, :infinity)
  end

  @doc "Allows no further calls through a link, and stores the provider's new state."
  @spec delete_link(pid(), key(), term()) :: :ok
  def delete_link(dispatcher, key, state) do
    GenServer.call(dispatcher, {:delete_link, key, state}, :infinity)
  end

  @doc "The provider's state, as its next call would see it. For health checks."
  @spec state(pid()) :: term()
  def state(dispatcher), do: GenServer.call(dispatcher, :state)

  @impl GenServer
  def init(dispatcher) do
    Process.flag(:trap_exit, true)
    {:ok, dispatcher}
  end

  @impl GenServer
  def handle_call({:put_link, {name, _interfaces} = key, link, state}, _from, dispatcher) do
    links = dispatcher.links |> without(key) |> Map.update(name, [link], &[link | &1])
    {:reply, :ok, %{dispatcher | links: links, state: state}}
  end

  def handle_call(:state, _from, dispatcher), do: {:reply, dispatcher.state, dispatcher}

  def handle_call({:delete_link, key, state}, _from, dispatcher) do
    {:reply, :ok, %{dispatcher | links: without(dispatcher.links, key), state: state}}
  end

  @impl GenServer
  def handle_info(
        {:exosuit_invoke, {_, question} = call, key, operation, payload, left, within},
        state
      ) do
    if link = find(state.links, key) do
      run = &Call.run(question, state.module, operation, payload, &1)
      {:noreply, start(state, {call, within}, link, operation, left, run)}
    else
      # The link was removed after the data plane had accepted the call.
      Router.answer(question, :missing_link, "the link to provider #{state.id} was removed")
      {:noreply, state}
    end
  end

  # A resource may outlive the link that it was made for.
  def handle_info({:exosuit_drop, {_, question} = call, key, type, resource, left}, state) do
    link = find(state.links, key) || former(key)
    run = &Call.run_drop(question, state.module, type, resource, &1)
    {:noreply, start(state, {call, 0}, link, "[resource-drop]#{type}", left, run)}
  end

  def handle_info({:exosuit_cancel, number}, state) do
    case state.pids do
      %{^number => pid} ->
        Process.exit(pid, :kill)
        {:noreply, put_in(state.calls[pid].cancelled?, true)}

      %{} ->
        {:noreply, state}
    end
  end

  def handle_info({:EXIT, pid, reason}, state) when is_map_key(state.calls, pid) do
    {call, calls} = Map.pop!(state.calls, pid)
    conclude(state, call, reason)
    {:noreply, %{state | calls: calls, pids: Map.delete(state.pids, call.number)}}
  end

  # If the provider is killed, its calls are killed as well, even if they trap exits.
  @impl GenServer
  def terminate(_reason, state) do
    Enum.each(Map.keys(state.calls), &Process.exit(&1, :kill))
  end

  # Finds the link, or the one that has replaced it after the data plane had accepted the call.
  defp find(links, {name, interfaces}) do
    links |> Map.get(name, []) |> Enum.find(&covers?(&1, interfaces))
  end

  defp former({{actor, contract, name}, interfaces}) do
    %Link{actor: actor, contract: contract, name: name, interfaces: interfaces, values: %{}}
  end

  # As in the data plane, a link replaces those that it overlaps.
  defp without(links, {name, interfaces}) do
    case links |> Map.get(name, []) |> Enum.reject(&covers?(&1, interfaces)) do
      [] -> Map.delete(links, name)
      others -> Map.put(links, name, others)
    end
  end

  defp covers?(link, interfaces), do: Model.Link.overlap?(link, %{interfaces: interfaces})

  # `within` is the guest's call that it works for, as a number of the data plane.
  defp start(state, {{number, question}, within}, link, operation, left, run) do
    context = context(state, link, left)
    # A function without arguments: the log of a task that crashes shows these.
    {:ok, pid} =
      Task.start_link(fn ->
        Origin.put_from({{:provider, context.provider, link.contract, link.name}, within})
        Failure.contain(fn -> run.(context) end)
      end)

    call = %{
      number: number,
      question: question,
      actor: link.actor,
      operation: operation,
      cancelled?: false
    }

    %{state | calls: Map.put(state.calls, pid, call), pids: Map.put(state.pids, number, pid)}
  end

  defp context(state, link, left) do
    %Context{
      host: state.instance.name,
      provider: state.id,
      link: link,
      deadline: System.monotonic_time(:millisecond) + left,
      state: state.state
    }
  end

  defp conclude(state, call, reason) do
    unanswered? = Router.answer(call.question, :provider, Failure.describe(state.module, reason))
    if unanswered? and not call.cancelled?, do: announce(state, call, reason)
  end

  defp announce(state, call, reason) do
    Lattice.announce(state.instance, %Event.InvocationFailed{
      source: call.actor,
      target: state.id,
      operation: Failure.operation(call.operation),
      reason: :provider,
      error: Failure.locate(state.module, reason)
    })
  end
end
