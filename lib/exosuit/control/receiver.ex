defmodule Exosuit.Control.Receiver do
  @moduledoc """
  Receives the commands of the lattice, by each protocol, and runs each in a task.

  Commands with the same subject (`Exosuit.Model.Command.subject/1`) run in the order in which they came, all others
  concurrently (`Exosuit.Control.Lanes`). At most 256 commands run and wait; more are refused with `:overloaded`. This
  process waits for none of them.

  ## The life of a command

      message ── decode ── admit ── enter its lane ──► run in a task ──► reply, or events
         │          │         │          │                  │
         │          │         │          └ full: refused    └ crashed: refused, or an event
         │          │         └ refused: the reply has the reason
         │          └ another form: refused; an auction gets no reply
         └ the next message is asked for after this one was entered

  A command that its protocol acknowledges gets its reply when it enters its lane, even if it has to wait there. From
  then on, each end of it is reported by an event.

  ## Ends

  | what ends | effect |
  |---|---|
  | the task of a command | the sender gets `internal`, or an event if the command was acknowledged |
  | this process | running commands continue and reply; waiting ones are lost; the successor subscribes again |
  | the host | `abandon/1` ends all commands and informs their senders |
  """

  use Exosuit.Server

  alias Exosuit.{Directory, Error, Instance}
  alias Exosuit.Control.{Execution, Lanes, Request}
  alias Exosuit.Lattice.Bus
  alias Exosuit.Model.Command
  alias Exosuit.Protocol.{Otp, Socket, V1}

  @enforce_keys [:instance, :tasks, :lanes]
  defstruct [:instance, :tasks, :lanes, subscriptions: %{}, running: %{}]

  @max_commands 256

  @protocols [Otp, V1, Socket]

  @doc "The maximum number of commands that run and wait."
  @spec max_commands() :: pos_integer()
  def max_commands, do: @max_commands

  @doc """
  Starts the receiver, which subscribes before this function returns. `tasks` is the name of a `Task.Supervisor`.
  """
  @spec start_link({Instance.t(), GenServer.name()}) :: GenServer.on_start()
  def start_link({instance, tasks}) do
    state = %__MODULE__{
      instance: instance,
      tasks: tasks,
      lanes: Lanes.new(@max_commands)
    }

    GenServer.start_link(__MODULE__, state, name: Directory.via(instance.name, __MODULE__))
  end

  @doc """
  Ends all running and waiting commands, because the host stops, and informs their senders. Blocks the calling
  process. `Exosuit.Drain` calls it.
  """
  @spec abandon(Instance.t()) :: :ok
  def abandon(instance) do
    GenServer.call(Directory.via(instance.name, __MODULE__), :abandon)
  catch
    # The receiver does not run, or has crashed together with its commands.
    :exit, _reason -> :ok
  end

  @impl GenServer
  def init(state), do: {:ok, listen(state)}

  @impl GenServer
  def handle_call(:abandon, _from, state) do
    running = for {task, it} <- state.running, request = end_task(state, task, it), do: request
    error = Error.new(:unavailable, "the host stopped before it carried out the command")
    Enum.each(running ++ Lanes.waiting(state.lanes), &Request.abandon(&1, error, state.instance))
    {:reply, :ok, %{state | running: %{}, lanes: Lanes.new(@max_commands)}}
  end

  @impl GenServer
  def handle_info({:exosuit_lattice, reference, {subject, reply_to, payload}}, state)
      when is_map_key(state.subscriptions, reference) do
    {protocol, prefix, subscription} = Map.fetch!(state.subscriptions, reference)

    request = %Request{
      session: state.instance.lattice,
      protocol: protocol,
      reply_to: reply_to
    }

    state = take(request, tokens(subject, prefix), payload, state)
    :ok = Bus.next(subscription)
    {:noreply, state}
  end

  def handle_info({task, :ok}, state) when is_map_key(state.running, task) do
    Process.demonitor(task, [:flush])
    {:noreply, done(task, state)}
  end

  def handle_info({:DOWN, task, :process, _pid, _reason}, state)
      when is_map_key(state.running, task) do
    {_lane, request, _pid} = Map.fetch!(state.running, task)
    error = Error.new(:internal, "the command crashed; see the host's log")
    Request.abandon(request, error, state.instance)
    {:noreply, done(task, state)}
  end

  # Subscribes in `init`, so that a deployer that reacts to "host started" gets an answer.
  defp listen(state) do
    subscriptions =
      for protocol <- @protocols,
          prefix = prefix(protocol, state.instance),
          {subject, who} <- protocol.subscriptions(state.instance.source),
          into: %{} do
        {:ok, subscription} = subscribe(state.instance.lattice, prefix, subject, who)
        {subscription.reference, {protocol, prefix, subscription}}
      end

    %{state | subscriptions: subscriptions}
  end

  defp prefix(protocol, instance),
    do: protocol.prefix(instance.config.nats.prefix, instance.config.lattice)

  defp subscribe(session, prefix, subject, :all) do
    Bus.subscribe(session, "#{prefix}.#{subject}")
  end

  # The queue group has the name of the old host's group, so that one of the hosts answers if both kinds are there.
  defp subscribe(session, prefix, subject, :one) do
    Bus.subscribe(session, "#{prefix}.#{subject}", prefix)
  end

  defp tokens(subject, prefix) do
    subject |> binary_part(byte_size(prefix), byte_size(subject) - byte_size(prefix)) |> split()
  end

  defp split("." <> tokens), do: String.split(tokens, ".")
  defp split(_nothing), do: []

  defp take(request, tokens, payload, state) do
    with {:ok, request} <- Request.decode(request, tokens, payload),
         {:ok, note} <- admit(request.command, state.instance) do
      enter(request, note, state)
    else
      {:error, error} ->
        Request.acknowledge(request, {:error, error})
        state

      :ignore ->
        state
    end
  end

  defp admit(command, instance) do
    case Execution.admit(command, instance) do
      :ok -> {:ok, %{}}
      {:ok, message} -> {:ok, %{message: message}}
      {:error, error} -> {:error, error}
    end
  end

  defp enter(request, note, state) do
    lane = Command.subject(request.command)
    # An acknowledged command is carried out in any case.
    taken = %{request | acknowledged?: request.protocol.acknowledged?(request.command)}

    case Lanes.enter(state.lanes, lane, taken) do
      {:run, lanes} ->
        acknowledge(request, taken, note)
        run(%{state | lanes: lanes}, lane, taken)

      {:wait, lanes} ->
        acknowledge(request, taken, note)
        %{state | lanes: lanes}

      :full ->
        error =
          Error.new(
            :overloaded,
            "#{@max_commands} commands already run or wait on this host: try again later"
          )

        Request.answer(request, {:error, error})
        state
    end
  end

  defp acknowledge(request, %{acknowledged?: true}, note),
    do: Request.acknowledge(request, {:ok, note})

  defp acknowledge(_request, _later, _note), do: :ok

  defp run(state, lane, request) do
    task =
      Task.Supervisor.async_nolink(state.tasks, Request, :carry_out, [request, state.instance])

    put_in(state.running[task.ref], {lane, request, task.pid})
  end

  # Returns the request, unless its task has just ended.
  defp end_task(state, task, {_lane, request, pid}) do
    _gone = Task.Supervisor.terminate_child(state.tasks, pid)
    Process.demonitor(task, [:flush])
    receive do: ({^task, :ok} -> nil), after: (0 -> request)
  end

  defp done(task, state) do
    {{lane, _request, _pid}, running} = Map.pop!(state.running, task)

    case Lanes.leave(state.lanes, lane) do
      {{:run, next}, lanes} -> run(%{state | lanes: lanes, running: running}, lane, next)
      {:idle, lanes} -> %{state | lanes: lanes, running: running}
    end
  end
end
