defmodule Exosuit.Control.Wadm.Listener do
  @moduledoc """
  Receives the requests to wadm's API, and runs each in a task, up to 64 at a time. More are refused with an error.

  Every two seconds it asks whether a wadm runs in the lattice (`Exosuit.Control.Wadm.Probe`). If one appears, it ends
  its subscription and announces `wadm_api_silent`; when the wadm is gone, it subscribes again and announces
  `wadm_api_serving`. Both may answer within these two seconds.

               first probe: no wadm              a wadm answers
      (start) ─────────────────────► serving ───────────────────► silent
                                        ▲                           │
                                        └───────────────────────────┘
                                          no subscriber, or five probes without an answer

  If the task of a request crashes, its sender gets an error. If this process crashes, its requests run on, and the
  first probe of the successor decides again.
  """

  use Exosuit.Server

  alias Exosuit.{Directory, Error, Event, Instance, Json, Lattice}
  alias Exosuit.Control.Wadm.{Execution, Probe}
  alias Exosuit.Lattice.Bus
  alias Exosuit.Protocol.Wadm
  alias Exosuit.Protocol.Wadm.{Commands, Replies}

  @enforce_keys [:instance, :tasks, :publisher]
  defstruct [
    :instance,
    :tasks,
    :publisher,
    :subscription,
    :probe,
    running: %{},
    silent?: false,
    unanswered: 0
  ]

  # A put reads files and writes objects; lists are larger than other replies.
  @max_running 64

  @probe_interval 2_000

  @doc "The maximum number of requests that run at once."
  @spec max_running() :: pos_integer()
  def max_running, do: @max_running

  @doc "`tasks` is the name of a `Task.Supervisor`. `publisher` gets `{:look_at, app}` for a changed application."
  @spec start_link({Instance.t(), GenServer.name(), GenServer.name()}) :: GenServer.on_start()
  def start_link({instance, tasks, publisher}) do
    state = %__MODULE__{instance: instance, tasks: tasks, publisher: publisher}
    GenServer.start_link(__MODULE__, state, name: via(instance))
  end

  @doc "Whether this host answers requests now."
  @spec serving?(Instance.t()) :: boolean()
  def serving?(instance) do
    GenServer.call(via(instance), :serving?)
  catch
    # The listener is restarting.
    :exit, _reason -> false
  end

  defp via(instance), do: Directory.via(instance.name, __MODULE__)

  @impl GenServer
  def init(state), do: {:ok, probe(state)}

  @impl GenServer
  def handle_call(:serving?, _from, state), do: {:reply, state.subscription != nil, state}

  @impl GenServer
  def handle_info(
        {:exosuit_lattice, reference, {subject, reply_to, payload}},
        %{subscription: %{reference: reference}} = state
      ) do
    state = take(state, tokens(subject, state.instance), reply_to, payload)
    :ok = Bus.next(state.subscription)
    {:noreply, state}
  end

  # This message was under way when the subscription ended. The wadm answers later messages.
  def handle_info({:exosuit_lattice, _ended, _message}, state), do: {:noreply, state}

  def handle_info(:probe, state), do: {:noreply, probe(state)}

  def handle_info({probe, found}, %{probe: probe} = state) do
    Process.demonitor(probe, [:flush])
    {:noreply, probed(%{state | probe: nil}, found)}
  end

  def handle_info({:DOWN, probe, :process, _pid, _reason}, %{probe: probe} = state) do
    {:noreply, probed(%{state | probe: nil}, :unknown)}
  end

  def handle_info({task, changed}, state) when is_map_key(state.running, task) do
    Process.demonitor(task, [:flush])
    if changed, do: GenServer.cast(state.publisher, {:look_at, changed})
    {:noreply, %{state | running: Map.delete(state.running, task)}}
  end

  def handle_info({:DOWN, task, :process, _pid, _reason}, state)
      when is_map_key(state.running, task) do
    {reply_to, running} = Map.pop!(state.running, task)
    error = Error.new(:internal, "the request crashed; see the host's log")
    answer(state.instance, reply_to, Replies.error(error))
    {:noreply, %{state | running: running}}
  end

  # Finds out whether a wadm runs in the lattice.

  defp probe(%{instance: instance} = state) do
    task =
      Task.Supervisor.async_nolink(state.tasks, Probe, :run, [
        instance.lattice,
        instance.config.lattice
      ])

    %{state | probe: task.ref}
  end

  defp probed(state, found) do
    Process.send_after(self(), :probe, @probe_interval)

    cond do
      Probe.serve?(found, state.silent?, state.unanswered) -> serve(%{state | unanswered: 0})
      found == :wadm -> silence(%{state | unanswered: 0})
      found == :no_answer -> %{state | unanswered: state.unanswered + 1}
      true -> state
    end
  end

  defp silence(%{silent?: true} = state), do: state

  defp silence(state) do
    if state.subscription, do: :ok = Bus.unsubscribe(state.subscription)
    Lattice.announce(state.instance, %Event.WadmApiSilent{})
    %{state | subscription: nil, silent?: true}
  end

  defp serve(%{subscription: nil, instance: instance} = state) do
    lattice = instance.config.lattice

    case Bus.subscribe(instance.lattice, Wadm.requests(lattice), Wadm.group()) do
      {:ok, subscription} ->
        if state.silent?, do: Lattice.announce(instance, %Event.WadmApiServing{})
        %{state | subscription: subscription, silent?: false}

      # The local bus is starting again.
      {:error, _error} ->
        state
    end
  end

  defp serve(state), do: state

  # Requests.

  defp tokens(subject, instance) do
    size = byte_size(Wadm.prefix(instance.config.lattice)) + 1
    subject |> binary_part(size, byte_size(subject) - size) |> String.split(".")
  end

  defp take(%{running: running} = state, _tokens, reply_to, _payload)
       when map_size(running) >= @max_running do
    error = Error.new(:overloaded, "#{@max_running} requests run on this host: try again later")
    answer(state.instance, reply_to, Replies.error(error))
    state
  end

  defp take(%{instance: instance} = state, tokens, reply_to, payload) do
    task =
      Task.Supervisor.async_nolink(state.tasks, fn ->
        carry_out(instance, Commands.decode(tokens, payload), reply_to)
      end)

    put_in(state.running[task.ref], reply_to)
  end

  # Returns the application whose status may have changed.
  defp carry_out(instance, {:ok, command}, reply_to) do
    {reply, changed} = Execution.run(command, instance)
    answer(instance, reply_to, reply)
    changed
  end

  defp carry_out(instance, {:error, error}, reply_to) do
    answer(instance, reply_to, Replies.error(error))
    nil
  end

  defp answer(_instance, nil, _reply), do: :ok

  defp answer(%{lattice: session}, reply_to, reply) do
    # Without a connection the reply is lost.
    _sent = Bus.publish(session, reply_to, encode(reply, Bus.max_payload(session)))
    :ok
  end

  defp encode(reply, max) do
    case Json.encode(reply) do
      {:ok, text} when byte_size(text) <= max ->
        text

      {:ok, text} ->
        detail = "the answer has #{byte_size(text)} bytes, and a message at most #{max}"
        {:ok, text} = Json.encode(Replies.error(Error.new(:limit, detail)))
        text
    end
  end
end
