defmodule Exosuit.Proxy do
  @moduledoc """
  A TCP proxy of a test's own, on a free port, which can be cut: then it closes what is open, and accepts nothing.
  """

  use GenServer

  @doc "Starts one in front of a port of this machine. It ends with the test."
  @spec start!(:inet.port_number()) :: pid()
  def start!(target) do
    ExUnit.Callbacks.start_supervised!({__MODULE__, target})
  end

  @doc "Its port, the same for as long as it lives."
  @spec port(pid()) :: :inet.port_number()
  def port(proxy), do: GenServer.call(proxy, :port)

  @doc "Cuts all connections, and refuses new ones."
  @spec cut(pid()) :: :ok
  def cut(proxy), do: GenServer.call(proxy, :cut)

  @doc "Takes connections again."
  @spec heal(pid()) :: :ok
  def heal(proxy), do: GenServer.call(proxy, :heal)

  @spec start_link(:inet.port_number()) :: GenServer.on_start()
  def start_link(target), do: GenServer.start_link(__MODULE__, target)

  @impl GenServer
  def init(target) do
    {:ok, listener} = listen(0)
    {:ok, port} = :inet.port(listener)
    {:ok, accept(%{target: target, port: port, listener: listener, acceptor: nil})}
  end

  @impl GenServer
  def handle_call(:port, _from, state), do: {:reply, state.port, state}

  # The connections are linked to the acceptor, and end with it: it must not end by itself, without an error.
  def handle_call(:cut, _from, state) do
    Process.unlink(state.acceptor)
    monitor = Process.monitor(state.acceptor)
    Process.exit(state.acceptor, :kill)
    receive do: ({:DOWN, ^monitor, :process, _pid, _reason} -> :ok)
    :ok = :gen_tcp.close(state.listener)
    {:reply, :ok, %{state | listener: nil}}
  end

  def handle_call(:heal, _from, state) do
    {:ok, listener} = listen(state.port)
    {:reply, :ok, accept(%{state | listener: listener})}
  end

  defp listen(port) do
    options = [:binary, active: false, reuseaddr: true, ip: {127, 0, 0, 1}]
    :gen_tcp.listen(port, options)
  end

  defp accept(%{listener: listener, target: target} = state) do
    %{state | acceptor: spawn_link(fn -> accept(listener, target) end)}
  end

  defp accept(listener, target) do
    with {:ok, socket} <- :gen_tcp.accept(listener) do
      pid = spawn_link(fn -> receive do: (:go -> connect(socket, target)) end)
      :ok = :gen_tcp.controlling_process(socket, pid)
      send(pid, :go)
      accept(listener, target)
    end
  end

  # Without a target, as with a refused connection.
  defp connect(socket, target) do
    case :gen_tcp.connect({127, 0, 0, 1}, target, [:binary, active: true, nodelay: true]) do
      {:ok, other} ->
        :ok = :inet.setopts(socket, active: true, nodelay: true)
        pump(socket, other)

      {:error, _refused} ->
        :gen_tcp.close(socket)
    end
  end

  defp pump(one, other) do
    receive do
      {:tcp, ^one, bytes} ->
        _sent = :gen_tcp.send(other, bytes)
        pump(one, other)

      {:tcp, ^other, bytes} ->
        _sent = :gen_tcp.send(one, bytes)
        pump(one, other)

      {:tcp_closed, _either} ->
        Enum.each([one, other], &:gen_tcp.close/1)

      {:tcp_error, _either, _reason} ->
        Enum.each([one, other], &:gen_tcp.close/1)
    end
  end
end
