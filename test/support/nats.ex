defmodule Exosuit.Nats do
  @moduledoc """
  A NATS server of a test's own, with JetStream, on a free port: started, killed and started again
  as the test says.
  """

  alias Exosuit.HostCase

  @enforce_keys [:dir, :port]
  defstruct [:dir, :port, :os_pid, :process]

  @type t :: %__MODULE__{}

  @doc "Starts one, and stops it when the test ends. `arguments` go to the server as they are."
  @spec start!([String.t()]) :: t()
  def start!(arguments \\ []) do
    run(absent!(), arguments)
  end

  @doc "One that is not there yet: `restart!/2` starts it."
  @spec absent!() :: t()
  def absent! do
    server = %__MODULE__{dir: HostCase.tmp_dir!(), port: HostCase.free_port()}
    ExUnit.Callbacks.on_exit(fn -> System.cmd("pkill", ["-KILL", "-f", marker(server)]) end)
    server
  end

  @doc "Its address."
  @spec url(t()) :: String.t()
  def url(server), do: "nats://127.0.0.1:#{server.port}"

  @doc "The option `:nats` of a host: this server, patient for no longer than a test is."
  @spec options(t(), keyword()) :: keyword()
  def options(server, more \\ []) do
    Keyword.merge([servers: [url(server)], reconnect_delay: 200, ping_interval: 1_000], more)
  end

  @doc "Kills it, as a power cut would."
  @spec kill(t()) :: t()
  def kill(server) do
    {_output, 0} = System.cmd("kill", ["-KILL", "#{server.os_pid}"])
    receive do: ({port, {:exit_status, _status}} when port == server.process -> :ok)
    %{server | os_pid: nil, process: nil}
  end

  @doc "Starts it again, on its port, with what it had stored."
  @spec restart!(t(), [String.t()]) :: t()
  def restart!(server, arguments \\ []), do: run(server, arguments)

  defp run(server, arguments) do
    own = ["-a", "127.0.0.1", "-p", "#{server.port}", "-js", "-sd", marker(server)]
    program = System.find_executable("nats-server") || flunk("nats-server is not on PATH")
    options = [:binary, :exit_status, :stderr_to_stdout, args: own ++ arguments]
    process = Port.open({:spawn_executable, program}, options)
    {:os_pid, os_pid} = Port.info(process, :os_pid)
    await_ready(process, "")
    %{server | process: process, os_pid: os_pid}
  end

  defp await_ready(process, output) do
    receive do
      {^process, {:data, more}} ->
        output = output <> more
        if output =~ "Server is ready", do: :ok, else: await_ready(process, output)

      {^process, {:exit_status, status}} ->
        flunk("nats-server ended with #{status}: #{output}")
    end
  end

  # In its command line, so that it is found again whatever became of the test's process.
  defp marker(server), do: Path.join(server.dir, "jetstream")

  defp flunk(message), do: raise(ExUnit.AssertionError, message: message)
end
