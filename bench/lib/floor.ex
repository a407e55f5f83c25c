defmodule Exosuit.Bench.Floor do
  @moduledoc false
  # The floor program (bench/floor) as a child, asked over its standard input. Its measuring and ours
  # take turns, so that what else the machine does hits both.

  @enforce_keys [:port, :http, :component]
  defstruct [:port, :http, :component]

  # The longest round takes some seconds.
  @timeout 120_000

  @type t :: %__MODULE__{
          port: port(),
          http: :inet.port_number(),
          component: :inet.port_number()
        }

  @doc "Starts the program; its HTTP servers listen at `http` (a wasmbus guest) and `component`."
  @spec start(Path.t(), [Path.t()]) :: t()
  def start(program, guests) do
    options = [:binary, :exit_status, line: 1_024, args: ["floor" | guests]]
    port = Port.open({:spawn_executable, program}, options)
    [http, component] = port |> answer() |> String.split() |> Enum.map(&String.to_integer/1)
    %__MODULE__{port: port, http: http, component: component}
  end

  @doc """
  The seconds that so many calls of the guest in wasmtime alone take, on all cores if asked to:
  `"plain"` with a fresh instance for each call, `"warm"` with one for each thread.
  """
  @spec calls(t(), String.t(), pos_integer(), pos_integer()) :: float()
  def calls(floor, kind, callers, calls), do: ask(floor, "#{kind} #{callers} #{calls}")

  @doc "The same by one caller, in the engine crate: with `\"fresh\"` or `\"warm\"` instances."
  @spec engine(t(), String.t(), pos_integer()) :: float()
  def engine(floor, kind, calls), do: ask(floor, "engine #{kind} #{calls}")

  @doc """
  The seconds that so many calls of an instance in wasmtime alone take: `"record"`, `"text"`, `"bytes"`,
  `"lines"`, `"large"`, `"find"` or `"large-import"`, as in `Exosuit.Bench.Typed`.
  """
  @spec typed(t(), String.t(), pos_integer()) :: float()
  def typed(floor, name, calls), do: ask(floor, "typed #{name} #{calls}")

  @doc "The seconds that so many requests to an HTTP server take, behind which that guest answers."
  @spec load(t(), String.t(), :inet.port_number(), pos_integer(), pos_integer()) :: float()
  def load(floor, guest, port, connections, requests) do
    ask(floor, "load #{guest} #{port} #{connections} #{requests}")
  end

  @doc """
  The seconds that so many calls over NATS take, so many at once: `kind` is `"raw"` or `"raw-mac"` where
  the messages are sent back, `"signed"` where the actor behind the subject is to answer, `"mac"` where
  the actor in the lattice of that name is.
  """
  @spec nats(t(), call, pos_integer(), pos_integer()) :: float()
        when call: {String.t(), String.t(), String.t(), String.t(), String.t()}
  def nats(floor, {kind, url, subject, seed, actor}, depth, calls) do
    ask(floor, "nats #{kind} #{url} #{subject} #{depth} #{calls} #{seed} #{actor}")
  end

  @doc "The seconds that it takes to send each line of a file as a message, heard or not."
  @spec publish(t(), String.t(), String.t(), Path.t()) :: float()
  def publish(floor, url, subject, file), do: ask(floor, "publish #{url} #{subject} #{file}")

  @doc "The seconds until Tokio has woken so many times, one after the other."
  @spec wakes(t(), pos_integer()) :: float()
  def wakes(floor, times), do: ask(floor, "wake #{times}")

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
