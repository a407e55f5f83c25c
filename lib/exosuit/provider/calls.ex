defmodule Exosuit.Provider.Calls do
  @moduledoc false
  # Gives each call of a provider a process of its own, and sees to it that each gets an answer: when
  # its process ends without one, this one answers. It runs nothing of the provider's itself, so that
  # no call waits for another. The data plane bounds how many calls it is sent.

  use Exosuit.Server

  alias Exosuit.{Event, Instance, Lattice, Model, Origin, Router}
  alias Exosuit.Provider.{Call, Context, Failure, Link}

  # Links of one name cover different interfaces, and have values of their own.
  @type key :: {name(), interfaces :: [String.t()]}
  @type name :: {actor :: String.t(), contract :: String.t(), name :: String.t()}

  # The provider's state is its own: no crash report shows it.
  @derive {Inspect, only: [:id, :module]}
  @enforce_keys [:instance, :id, :module, :state]
  defstruct [:instance, :id, :module, :state, links: %{}, calls: %{}, pids: %{}]

  @spec start_link(Instance.t(), String.t(), module(), term()) :: GenServer.on_start()
  def start_link(instance, id, module, state) do
    dispatcher = %__MODULE__{instance: instance, id: id, module: module, state: state}
    GenServer.start_link(__MODULE__, dispatcher)
  end

  @doc "Lets calls through a link, or gives it other values, and takes the provider's new state."
  @spec put_link(pid(), key(), Link.t(), term()) :: :ok
  def put_link(dispatcher, key, link, state) do
    GenServer.call(dispatcher, {:put_link, key, link, state}, :infinity)
  end

  @doc "Lets no more calls through a link, and takes the provider's new state."
  @spec delete_link(pid(), key(), term()) :: :ok
  def delete_link(dispatcher, key, state) do
    GenServer.call(dispatcher, {:delete_link, key, state}, :infinity)
  end

  @doc "The provider's state, as its next call would see it."
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
  def handle_info({:exosuit_invoke, {_, question} = call, key, operation, payload, left}, state) do
    if link = find(state.links, key) do
      {:noreply, start(state, call, link, operation, payload, left)}
    else
      # Removed since the data plane let the call through.
      Router.answer(question, :missing_link, "the link to provider #{state.id} was removed")
      {:noreply, state}
    end
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

  # A killed provider takes its calls along, also those that trap exits.
  @impl GenServer
  def terminate(_reason, state) do
    Enum.each(Map.keys(state.calls), &Process.exit(&1, :kill))
  end

  # Or what has taken its place since the data plane let the call through.
  defp find(links, {name, interfaces}) do
    links |> Map.get(name, []) |> Enum.find(&covers?(&1, interfaces))
  end

  # As in the data plane, a link takes the place of those that it overlaps.
  defp without(links, {name, interfaces}) do
    case links |> Map.get(name, []) |> Enum.reject(&covers?(&1, interfaces)) do
      [] -> Map.delete(links, name)
      others -> Map.put(links, name, others)
    end
  end

  defp covers?(link, interfaces), do: Model.Link.overlap?(link, %{interfaces: interfaces})

  defp start(state, {number, question}, link, operation, payload, left) do
    module = state.module
    context = context(state, link, left)
    # A function without arguments: the log of a task that crashes shows these.
    {:ok, pid} =
      Task.start_link(fn ->
        Origin.put({:provider, context.provider, link.contract, link.name})
        Failure.contain(fn -> Call.run(question, module, operation, payload, context) end)
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
