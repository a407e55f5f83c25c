defmodule Exosuit.Bench.Floor do
  @moduledoc false
  # The floor program (bench/floor) as a child, asked over its standard input. Its measuring and ours
  # take turns, so that what else the machine does hits both.

  @enforce_keys [:port, :http]
  defstruct [:port, :http]

  # The longest round takes some seconds.
  @timeout 120_000

  @type t :: %__MODULE__{port: port(), http: :inet.port_number()}

  @doc "Starts the program; `http` is where its HTTP server listens."
  @spec start(Path.t(), Path.t(), Path.t()) :: t()
  def start(program, echo, web) do
    options = [:binary, :exit_status, line: 1_024, args: ["floor", echo, web]]
    port = Port.open({:spawn_executable, program}, options)
    %__MODULE__{port: port, http: port |> answer() |> String.to_integer()}
  end

  @doc "The seconds that so many calls of the guest in wasmtime alone take, on all cores if asked to."
  @spec plain(t(), pos_integer(), pos_integer()) :: float()
  def plain(floor, callers, calls), do: ask(floor, "plain #{callers} #{calls}")

  @doc "The same by one caller, in the engine crate."
  @spec engine(t(), pos_integer()) :: float()
  def engine(floor, calls), do: ask(floor, "engine #{calls}")

  @doc "The seconds that so many requests to an HTTP server take."
  @spec load(t(), :inet.port_number(), pos_integer(), pos_integer()) :: float()
  def load(floor, port, connections, requests) do
    ask(floor, "load #{port} #{connections} #{requests}")
  end

  defp ask(floor, request) do
    Port.command(floor.port, request <> "\n")
    {seconds, ""} = floor.port |> answer() |> Float.parse()
    seconds
  end

  defp answer(port) do
    receive do
      {^port, {:data, {:eol, line}}} -> line
      {^port, {:exit_status, status}} -> raise "the floor program ended with status #{status}"
    after
      @timeout -> raise "the floor program gives no answer"
    end
  end
end
