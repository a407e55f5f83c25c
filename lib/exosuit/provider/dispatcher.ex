defmodule Exosuit.Provider.Dispatcher do
  @moduledoc false
  # Gives each call of a provider a process of its own, and sees to it that each gets an answer: when
  # its process ends without one, this one answers. It runs nothing of the provider's itself, so that
  # no call waits for another. The data plane bounds how many calls it is sent.

  use GenServer

  alias Exosuit.{Config, Lattice, Router}
  alias Exosuit.Provider.{Context, Failure, Link}

  @type key :: {actor :: String.t(), contract :: String.t(), name :: String.t()}

  # The provider's state is its own: no crash report shows it.
  @derive {Inspect, only: [:id, :module]}
  @enforce_keys [:config, :id, :module, :state]
  defstruct [:config, :id, :module, :state, links: %{}, calls: %{}, pids: %{}]

  # What is told of an operation, whose name is the guest's to choose: as the router tells of it.
  @max_operation 255

  @spec start_link(Config.t(), String.t(), module(), term()) :: GenServer.on_start()
  def start_link(config, id, module, state) do
    dispatcher = %__MODULE__{config: config, id: id, module: module, state: state}
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

  @impl GenServer
  def init(dispatcher) do
    Process.flag(:trap_exit, true)
    {:ok, dispatcher}
  end

  @impl GenServer
  def handle_call({:put_link, key, link, state}, _from, dispatcher) do
    links = Map.put(dispatcher.links, key, link)
    {:reply, :ok, %{dispatcher | links: links, state: state}}
  end

  def handle_call({:delete_link, key, state}, _from, dispatcher) do
    {:reply, :ok, %{dispatcher | links: Map.delete(dispatcher.links, key), state: state}}
  end

  @impl GenServer
  def handle_info({:exosuit_invoke, {_, question} = call, key, operation, payload, left}, state) do
    case state.links do
      %{^key => link} ->
        {:noreply, start(state, call, link, operation, payload, left)}

      %{} ->
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

  def handle_info({:EXIT, pid, reason}, state) do
    {call, calls} = Map.pop!(state.calls, pid)
    conclude(state, call, reason)
    {:noreply, %{state | calls: calls, pids: Map.delete(state.pids, call.number)}}
  end

  # A killed provider takes its calls along, also those that trap exits.
  @impl GenServer
  def terminate(_reason, state) do
    Enum.each(Map.keys(state.calls), &Process.exit(&1, :kill))
  end

  defp start(state, {number, question}, link, operation, payload, left) do
    module = state.module
    context = context(state, link, left)
    # A function without arguments: the log of a task that crashes shows these.
    {:ok, pid} = Task.start_link(fn -> run(question, module, operation, payload, context) end)

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
      host: state.config.name,
      provider: state.id,
      link: link,
      deadline: System.monotonic_time(:millisecond) + left,
      state: state.state
    }
  end

  defp run(question, module, operation, payload, context) when is_binary(payload) do
    if function_exported?(module, :handle_invocation, 3),
      do: answer(question, module, module.handle_invocation(operation, payload, context)),
      else: answer(question, module, {:error, :unknown_operation})
  end

  defp run(question, module, operation, arguments, context) do
    if function_exported?(module, :handle_function, 3),
      do:
        return(question, operation, module, module.handle_function(operation, arguments, context)),
      else: answer(question, module, {:error, :unknown_operation})
  end

  defp return(question, _operation, module, {:error, :unknown_operation} = unknown) do
    answer(question, module, unknown)
  end

  # It ends without an answer where it gave none that can be told.
  defp return(question, operation, _module, value) do
    with {:error, error} <- Router.return(question, value),
         do: exit({:invalid_answer, quote_operation(operation), error.detail})
  end

  defp answer(question, _module, {:ok, answer}) do
    Router.answer(question, :ok, IO.iodata_to_binary(answer))
  end

  defp answer(question, _module, {:error, text}) when is_binary(text) do
    Router.answer(question, :provider, text)
  end

  defp answer(question, module, {:error, :unknown_operation}) do
    contracts = Enum.join(module.contracts(), ", ")
    Router.answer(question, :unknown_operation, "#{contracts} has no such operation")
  end

  defp answer(_question, module, _other) do
    raise "expected #{inspect(module)}.handle_invocation/3 to return {:ok, iodata}, " <>
            "{:error, text} or {:error, :unknown_operation}"
  end

  defp conclude(state, call, reason) do
    unanswered? = Router.answer(call.question, :provider, Failure.describe(state.module, reason))
    if unanswered? and not call.cancelled?, do: announce(state, call, reason)
  end

  defp announce(state, call, reason) do
    Lattice.announce(state.config, "invocation_failed", %{
      source: call.actor,
      target: state.id,
      operation: quote_operation(call.operation),
      reason: :provider,
      error: Failure.locate(state.module, reason)
    })
  end

  # A name that steers a terminal is shown, not obeyed.
  defp quote_operation(operation) do
    operation
    |> String.slice(0, @max_operation)
    |> inspect(binaries: :as_strings)
    |> String.slice(1..-2//1)
  end
end
