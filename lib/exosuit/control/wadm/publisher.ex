defmodule Exosuit.Control.Wadm.Publisher do
  @moduledoc """
  Publishes the status of each application when it changes, on `wadm.status.<lattice>.<name>`.

  One host publishes: the member with the lowest id of those that answer the API. It looks at the applications in
  turn, 50 each second. If a request changed an application, it looks at that one at once. One task at a time reads the
  store, so that a slow store delays statuses, and costs no more.

  A status is published only when it differs from the last one that this process published. If this process crashes, the
  next one publishes every status once again, so that tools have the current ones. A host that is not the publisher any
  more forgets the statuses.
  """

  use Exosuit.Server

  alias Exosuit.{App, Directory, Instance, Json}
  alias Exosuit.App.{Beat, Member}
  alias Exosuit.Control.Wadm.{Execution, Listener}
  alias Exosuit.Lattice.Bus
  alias Exosuit.Protocol.Wadm
  alias Exosuit.Protocol.Wadm.Status

  @enforce_keys [:instance, :tasks]
  defstruct [:instance, :tasks, :task, published: %{}, turn: [], asked: []]

  @interval 1_000

  # Each status takes a call of the process that runs the applications.
  @batch 50

  @doc "`tasks` is the name of a `Task.Supervisor`."
  @spec start_link({Instance.t(), GenServer.name()}) :: GenServer.on_start()
  def start_link({instance, tasks}) do
    state = %__MODULE__{instance: instance, tasks: tasks}
    GenServer.start_link(__MODULE__, state, name: via(instance))
  end

  @doc "The name of the process. It takes `{:look_at, app}`: look at an application with the next batch."
  @spec name(Instance.t()) :: GenServer.name()
  def name(instance), do: via(instance)

  defp via(instance), do: Directory.via(instance.name, __MODULE__)

  @impl GenServer
  def init(state) do
    send(self(), :tick)
    {:ok, state}
  end

  @impl GenServer
  def handle_cast({:look_at, app}, state) do
    {:noreply, look(%{state | asked: Enum.take([app | List.delete(state.asked, app)], @batch)})}
  end

  @impl GenServer
  def handle_info(:tick, state) do
    Process.send_after(self(), :tick, @interval)
    {:noreply, look(state)}
  end

  def handle_info({task, found}, %{task: task} = state) do
    Process.demonitor(task, [:flush])
    state = found(%{state | task: nil}, found)
    {:noreply, if(state.asked == [], do: state, else: look(state))}
  end

  def handle_info({:DOWN, task, :process, _pid, _reason}, %{task: task} = state) do
    {:noreply, %{state | task: nil}}
  end

  # One task at a time.
  defp look(%{task: nil, instance: instance, asked: asked, turn: turn} = state) do
    known = Map.keys(state.published)
    task = Task.Supervisor.async_nolink(state.tasks, fn -> find(instance, asked, turn, known) end)
    %{state | task: task.ref, asked: []}
  end

  defp look(state), do: state

  # Returns the statuses of some applications, and the applications whose turn comes next. Returns nothing if another
  # host publishes.
  defp find(instance, asked, turn, known) do
    if publishes?(instance) do
      turn = if turn == [], do: Enum.uniq(names(instance) ++ known), else: turn
      {now, later} = Enum.split(turn, @batch)

      statuses =
        for app <- Enum.uniq(asked ++ now), status = status(instance, app), do: {app, status}

      {:statuses, statuses, later}
    else
      :silent
    end
  end

  defp publishes?(instance) do
    first = instance |> Member.members() |> Enum.find(&Beat.wadm_api?/1)
    first != nil and first.id == instance.source and Listener.serving?(instance)
  end

  # The store may be unreachable, so this uses the applications that this host knows.
  defp names(instance) do
    for %{app: app} <- App.Reader.list(instance), do: app
  end

  defp status(instance, app) do
    case App.RecordStore.fetch(instance, app) do
      {:ok, record} -> known(Execution.status(instance, record))
      {:error, %{reason: :not_found}} -> :deleted
      {:error, _away} -> nil
    end
  end

  # Publishes nothing until this host knows the last change.
  defp known(%{status: %{type: "waiting"}}), do: nil
  defp known(status), do: status

  defp found(state, :silent), do: %{state | published: %{}, turn: []}

  defp found(state, {:statuses, statuses, later}) do
    Enum.reduce(statuses, %{state | turn: later}, &publish/2)
  end

  defp publish({app, :deleted}, state) when is_map_key(state.published, app) do
    state = publish({app, Status.undeployed("it was deleted")}, state)
    %{state | published: Map.delete(state.published, app)}
  end

  defp publish({_app, :deleted}, state), do: state

  defp publish({app, status}, %{instance: instance} = state) do
    if state.published[app] == status or send_status(instance, app, status) != :ok,
      # A status that could not be sent is tried again when its turn comes.
      do: state,
      else: %{state | published: Map.put(state.published, app, status)}
  end

  defp send_status(instance, app, status) do
    {:ok, text} = Json.encode(status)
    Bus.publish(instance.lattice, Wadm.status(instance.config.lattice, app), text)
  end
end
