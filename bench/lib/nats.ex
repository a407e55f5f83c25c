defmodule Exosuit.Bench.Nats do
  @moduledoc false
  # A NATS server of the bench's own, with JetStream, and beside it the floor of all that goes through
  # it: a process that sends back what it gets. Both end with this one, however that ends.

  # What they write first.
  @timeout 30_000

  @enforce_keys [:url, :subject]
  defstruct [:url, :subject]

  @type t :: %__MODULE__{url: String.t(), subject: String.t()}

  # Its standard input ends with the process that started it.
  @script ~S"""
  nats-server -a 127.0.0.1 -p -1 -js -sd "$1" 2>&1 &
  cat >/dev/null
  kill $!
  wait
  rm -rf "$1"
  """

  @doc "Starts both; `nil` where there is no `nats-server`. At `subject` the floor sends back."
  @spec start(Path.t()) :: t() | nil
  def start(program) do
    if System.find_executable("nats-server") do
      url = server()
      open(program, ["nats-echo", url, "echo"]) |> await(~r/^(ready)$/m)
      %__MODULE__{url: url, subject: "echo"}
    end
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
