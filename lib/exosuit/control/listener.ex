defmodule Exosuit.Control.Listener do
  @moduledoc """
  Owns the control socket, and removes its file when it ends.

  A linked process accepts clients, because accepting blocks. It gives each to a task (`Exosuit.Control.Connection`). A
  client above the limit gets an error.

  | failure | effect |
  |---|---|
  | the socket cannot be opened | event `control_failed`, once for each reason; the next try after 5 s |
  | the accepting process ends | the socket is closed and opened again |
  | no free file descriptor | the accepting process waits for 100 ms |
  | this process is killed | its successor replaces the file; clients stay connected |

  At its end, the file is removed before the socket is closed: afterwards, another host may have its own file there.
  """

  use Exosuit.Server

  alias Exosuit.{Directory, Error, Event, Instance, Lattice}
  alias Exosuit.Control.{Address, Connection}
  alias Exosuit.Protocol.Socket.Replies

  @enforce_keys [:instance, :path, :context]
  defstruct [:instance, :path, :context, :socket, :acceptor, :error]

  @pause 5_000
  # The pause before the next try if the machine has no free file descriptor.
  @accept_pause 100

  @spec start_link({Instance.t(), Path.t(), map()}) :: GenServer.on_start()
  def start_link({instance, path, context}) do
    state = %__MODULE__{instance: instance, path: path, context: context}
    GenServer.start_link(__MODULE__, state, name: Directory.via(instance.name, __MODULE__))
  end

  @impl GenServer
  def init(state) do
    Process.flag(:trap_exit, true)
    {:ok, open(state)}
  end

  @impl GenServer
  def handle_info(:open, state), do: {:noreply, open(state)}

  def handle_info({:EXIT, acceptor, _reason}, %{acceptor: acceptor} = state) do
    :gen_tcp.close(state.socket)
    {:noreply, open(%{state | socket: nil, acceptor: nil})}
  end

  def handle_info({:EXIT, _other, _reason}, state), do: {:noreply, state}

  @impl GenServer
  def terminate(_reason, %{socket: nil}), do: :ok

  # Removes the file first: once the socket is closed, another host may put its own file there.
  def terminate(_reason, state) do
    File.rm(state.path)
    :gen_tcp.close(state.socket)
  end

  defp open(state) do
    case Address.listen(state.path) do
      {:ok, socket} ->
        acceptor = spawn_link(fn -> accept(socket, state.context) end)
        %{state | socket: socket, acceptor: acceptor, error: nil}

      {:error, error} ->
        Process.send_after(self(), :open, @pause)
        announce(state, error)
        %{state | error: error}
    end
  end

  # Announced once, not at each try.
  defp announce(%{error: error}, error), do: :ok

  defp announce(state, error) do
    Lattice.announce(state.instance, %Event.ControlFailed{
      path: state.path,
      reason: error.reason,
      error: Exception.message(error)
    })
  end

  defp accept(listening, context) do
    case :gen_tcp.accept(listening) do
      {:ok, client} -> hand_over(client, context)
      {:error, :closed} -> exit(:normal)
      {:error, _no_room} -> receive(do: (:never -> :ok), after: (@accept_pause -> :ok))
    end

    accept(listening, context)
  end

  defp hand_over(client, context) do
    case Task.Supervisor.start_child(context.connections, Connection, :serve, [context]) do
      {:ok, connection} ->
        with :ok <- :gen_tcp.controlling_process(client, connection),
             do: send(connection, {:client, client})

      {:error, _full} ->
        error =
          Error.new(
            :overloaded,
            "too many clients are connected to this socket: close one, or try again later"
          )

        :gen_tcp.send(client, Replies.line(nil, nil, {:error, error}))
        :gen_tcp.close(client)
    end
  end
end
