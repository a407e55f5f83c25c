defmodule Exosuit.Bench.Nats do
  @moduledoc false
  # A NATS server of the bench's own, with JetStream, and the floor of all that goes through it:
  # processes that send back what they get. All of them end with this one, however that ends.

  # What they write first.
  @timeout 30_000

  @enforce_keys [:program, :url]
  defstruct [:program, :url]

  @type t :: %__MODULE__{program: Path.t(), url: String.t()}

  # Its standard input ends with the process that started it.
  @script ~S"""
  nats-server -a 127.0.0.1 -p -1 -js -sd "$1" 2>&1 &
  cat >/dev/null
  kill $!
  wait
  rm -rf "$1"
  """

  @doc "Starts a server; `nil` where there is no `nats-server`. The program is that of the floor."
  @spec start(Path.t()) :: t() | nil
  def start(program) do
    if System.find_executable("nats-server"), do: %__MODULE__{program: program, url: server()}
  end

  @doc """
  Starts what sends back at this subject what it gets of a kind, `"signed"` or `"mac"`; with the key of
  a cluster, once it has seen that it is signed by that.
  """
  @spec echo(t(), String.t(), String.t(), [String.t()]) :: :ok
  def echo(nats, subject, kind, issuer \\ []) do
    port = open(nats.program, ["nats-echo", nats.url, subject, kind | issuer])
    "ready" = await(port, ~r/^(ready)$/)
    :ok
  end

  defp server do
    store = Path.join(System.tmp_dir!(), "exosuit-bench-#{System.pid()}")
    port = open("/bin/sh", ["-c", @script, "nats", store])
    address = await(port, ~r/Listening for client connections on (\S+)/)
    await(port, ~r/Server is (ready)/)
    "nats://" <> address
  end

  defp open(program, arguments) do
    Port.open({:spawn_executable, program}, [:binary, :exit_status, line: 4_096, args: arguments])
  end

  defp await(port, expected) do
    receive do
      {^port, {:data, {_whole, line}}} ->
        case Regex.run(expected, line, capture: :all_but_first) do
          [found] -> found
          nil -> await(port, expected)
        end

      {^port, {:exit_status, status}} ->
        raise "ended with status #{status}, before it wrote #{inspect(expected)}"
    after
      @timeout -> raise "nothing is written like #{inspect(expected)}"
    end
  end
end
