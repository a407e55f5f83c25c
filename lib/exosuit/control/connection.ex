defmodule Exosuit.Control.Connection do
  @moduledoc """
  One client of the socket: carries out its commands one after the other, and answers each with a line.

      client ── line ──► decode ── task of `Exosuit.Control.Execution` ── result ──► line ──► client
                                     (the connection waits for it)
      host ──── event ────────────────────────────────────────────────────────────► line ──► client

  The socket is read piece by piece (`active: :once`). While a command runs, one piece may wait in the mailbox, and the
  rest waits in the kernel: a client that sends faster than its commands run is slowed down.

  | failure | effect |
  |---|---|
  | the client disconnects during a call | the call is killed |
  | the client disconnects during another command | the command is completed, its result is lost |
  | the command crashes | the client gets `internal`; the connection goes on |
  | the client does not read | sending times out after 5 s, and the connection is closed |
  | the client reads events too slowly | it gets `overloaded`, and the connection is closed |
  | a line is too long | it gets `invalid_input`, and the connection is closed |

  Before such a close, unread input is discarded for up to two seconds: the kernel drops the last answer if a
  socket is closed with unread bytes in it.
  """

  alias Exosuit.Control.Execution
  alias Exosuit.{Error, Lattice}
  alias Exosuit.Model.Command
  alias Exosuit.Protocol.Socket
  alias Exosuit.Protocol.Socket.{Lines, Replies}

  @enforce_keys [:socket, :context, :lines]
  defstruct [:socket, :context, :lines, :following, armed?: false]

  # Sixteen mebibytes of payload as base64, and the rest of the command.
  @max_line 24 * 1024 * 1024

  # The heap of the process, without the bytes of binaries. If commands or events need more, the connection is
  # closed.
  @max_heap_words 8 * 1024 * 1024

  # The events that may wait for a slow client. With more, it gets an error, and the connection is closed.
  @max_waiting 4_096

  @handover 5_000
  @farewell 2_000
  @idle 600_000

  @doc """
  Serves the client that is sent as `{:client, socket}`, until it goes. Runs in a task of its own, which ends if no
  client comes within 5 s.
  """
  @spec serve(map()) :: :ok
  def serve(context) do
    Process.flag(:max_heap_size, %{size: @max_heap_words, kill: true, error_logger: false})

    receive do
      {:client, socket} ->
        loop(%__MODULE__{socket: socket, context: context, lines: Lines.new(@max_line)})
    after
      @handover -> :ok
    end
  end

  defp loop(state) do
    %{socket: socket} = state = arm(state)

    receive do
      {:tcp, ^socket, data} -> %{state | armed?: false} |> take(data) |> continue()
      {:tcp_closed, ^socket} -> :ok
      {:tcp_error, ^socket, _reason} -> :ok
      {:exosuit_event, event} -> state |> tell(event) |> continue()
      _stray -> loop(state)
    after
      if(state.following, do: :infinity, else: @idle) -> :gen_tcp.close(socket)
    end
  end

  # Armed for one piece of data, which may stay unread while commands run. The rest waits in the socket.
  defp arm(%{armed?: true} = state), do: state

  defp arm(state) do
    :inet.setopts(state.socket, active: :once)
    %{state | armed?: true}
  end

  defp continue({:ok, state}), do: loop(state)
  defp continue(:closed), do: :ok

  defp take(state, data) do
    case Lines.push(state.lines, data) do
      {:ok, lines, rest} -> each(lines, %{state | lines: rest})
      :too_long -> give_up(state, nil, :invalid_input, "a line has more than #{@max_line} bytes")
    end
  end

  defp each([], state), do: {:ok, state}

  defp each([line | lines], state) do
    with {:ok, state} <- answer(line, state), do: each(lines, state)
  end

  defp answer(line, state) do
    case Socket.decode_line(line) do
      {:ok, id, %Command.Subscribe{} = command} -> follow(id, command, state)
      {:ok, id, command} -> execute(id, command, state)
      {:error, id, error} -> reply(state, id, nil, {:error, error})
    end
  end

  defp follow(id, command, state) do
    :ok = Lattice.Events.subscribe(state.context.instance.name)
    reply(%{state | following: id}, id, command, {:ok, %{following: true}})
  end

  defp execute(id, command, %{context: context} = state) do
    tag = make_ref()
    arguments = [command, context.instance, {self(), tag}]

    case Task.Supervisor.start_child(context.commands, Execution, :answer, arguments) do
      {:ok, task} ->
        await({task, Process.monitor(task), tag}, id, command, arm(state))

      {:error, :max_children} ->
        error =
          Error.new(
            :overloaded,
            "too many commands run on this host, including those of disconnected clients"
          )

        reply(state, id, command, {:error, error})
    end
  end

  defp await({task, monitor, tag}, id, command, %{socket: socket} = state) do
    receive do
      {^tag, result} ->
        Process.demonitor(monitor, [:flush])
        reply(state, id, command, result)

      {:DOWN, ^monitor, :process, _pid, _reason} ->
        error = Error.new(:internal, "the command crashed; see the host's log")
        reply(state, id, command, {:error, error})

      {:tcp_closed, ^socket} ->
        abandon(task, command)

      {:tcp_error, ^socket, _reason} ->
        abandon(task, command)
    end
  end

  # A call ends when its client disconnects. Commands that change the host are completed anyway.
  defp abandon(task, %Command.Call{}) do
    Process.exit(task, :kill)
    :closed
  end

  defp abandon(_task, _command), do: :closed

  defp tell(state, event) do
    {:message_queue_len, waiting} = Process.info(self(), :message_queue_len)

    if waiting > @max_waiting do
      give_up(
        state,
        state.following,
        :overloaded,
        "#{waiting} events are unread: the client reads too slowly"
      )
    else
      say(state, Replies.event(state.following, event))
    end
  end

  defp give_up(state, id, reason, detail) do
    with {:ok, state} <- reply(state, id, nil, {:error, Error.new(reason, detail)}),
         :ok <- :inet.setopts(state.socket, active: false),
         :ok <- :gen_tcp.shutdown(state.socket, :write),
         do: discard(state.socket, System.monotonic_time(:millisecond) + @farewell)

    :gen_tcp.close(state.socket)
    :closed
  end

  # If a socket is closed with unread bytes in it, its last answer is lost.
  defp discard(socket, until) do
    left = until - System.monotonic_time(:millisecond)

    with true <- left > 0, {:ok, _bytes} <- :gen_tcp.recv(socket, 0, left) do
      discard(socket, until)
    end
  end

  defp reply(state, id, command, result), do: say(state, Replies.line(id, command, result))

  defp say(state, line) do
    case :gen_tcp.send(state.socket, line) do
      :ok -> {:ok, state}
      {:error, _gone_or_stuck} -> :closed
    end
  end
end
