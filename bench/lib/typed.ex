defmodule Exosuit.Bench.Typed do
  @moduledoc false
  # Typed functions of components, warm, by one caller: values from Elixir to a guest and back, and imports that a
  # provider in Elixir answers. Beside wasmex, if it is there, on the same component.

  alias Exosuit.Bench.{Floor, Measure, Provider, Row, Wasmex}

  @person %{
    id: 7,
    name: "Ada Lovelace",
    email: "ada@example.org",
    street: "12 St James's Square",
    city: "London",
    country: "United Kingdom",
    note: "met in June",
    plan: :team,
    balance: 12.5,
    is_active: true
  }
  @text String.duplicate("0123456789", 10)
  @bytes :binary.copy(<<7>>, 100)
  @large :binary.copy(<<7>>, 1_048_576)

  defmodule Desk do
    @moduledoc false
    use Exosuit.Provider, contract: "bench:typed"

    @impl Exosuit.Provider
    def handle_function("bench:typed/desk#find", [_id], context), do: context.state
    def handle_function("bench:typed/desk#bytes", [bytes], _context), do: bytes

    @impl Exosuit.Provider
    def init(_options), do: {:ok, Exosuit.Bench.Typed.person()}
  end

  @doc "The record of ten fields."
  def person, do: @person

  @spec rows(Floor.t(), atom(), Path.t()) :: [Row.t()]
  def rows(floor, host, typed) do
    {:ok, "desk"} = Exosuit.start_provider(host, Desk, id: "desk")
    :ok = Exosuit.put_link(host, source: "typed-caller", target: "desk", contract: "bench:typed")
    wasmex = Wasmex.start(typed)

    Enum.flat_map(compared(), &beside(floor, host, wasmex, &1)) ++
      Enum.map(exports(), &export(floor, host, &1)) ++
      Enum.map(imports(), &import(floor, host, &1))
  end

  # The goal of records is that of a floor that passes them as wasmtime's `Val`, too.
  defp compared do
    [
      {"a record of ten fields there and back", "record", @person, 5_000, {:at_most, 2, :ratio}},
      {"a string of 100 bytes there and back", "text", @text, 5_000, nil}
    ]
  end

  # What, the function, its name in the floor, what is sent, and how often.
  defp exports do
    lines = for count <- 0..999, do: %{name: "bolt", count: count, price: 1.5}

    [
      {"list<u8> of 100 bytes there and back", "bytes", "bytes", @bytes, 5_000},
      {"a list of 1000 records there and back", "lines", "lines", lines, 50},
      {"list<u8> of 1 MiB through an export", "bytes", "large", @large, 50}
    ]
  end

  # The same, and what comes back.
  defp imports do
    [
      {"list<u8> of 1 MiB through an import", "bytes", "large-import", @large, @large, 50},
      {"a record that an Elixir provider gives", "find", "find", 7, @person, 2_000}
    ]
  end

  defp beside(floor, host, wasmex, {what, function, value, calls, goal}) do
    theirs = wasmex && fn -> repeat(calls, Wasmex.call(wasmex, function, value)) end

    [floor, ours | theirs] =
      Measure.medians([
        fn -> Floor.typed(floor, function, calls) end,
        fn -> repeat(calls, call(host, "typed", function, value, value)) end
        | List.wrap(theirs)
      ])

    [ours, floor] = Enum.map([ours, floor], &each(&1, calls))
    theirs = theirs |> Enum.map(&each(&1, calls)) |> List.first()

    [
      Row.new(what, "µs", ours, floor, goal),
      Row.beside("  beside wasmex", "µs", ours, theirs, {:at_most, 0.1, :ratio})
    ]
  end

  defp export(floor, host, {what, function, name, value, calls}) do
    [floor, ours] =
      Measure.medians([
        fn -> Floor.typed(floor, name, calls) end,
        fn -> repeat(calls, call(host, "typed", function, value, value)) end
      ])

    Row.new(what, "µs", each(ours, calls), each(floor, calls), nil)
  end

  # The floor is the component whose import Rust answers, and what cannot be saved of a process that answers.
  defp import(floor, host, {what, function, name, argument, answer, calls}) do
    [guest, messages, wakes, ours] =
      Measure.medians([
        fn -> Floor.typed(floor, name, calls) end,
        fn -> Provider.messages(answer, calls) end,
        fn -> Floor.wakes(floor, calls) end,
        fn -> repeat(calls, call(host, "typed-caller", function, argument, answer)) end
      ])

    Row.new(what, "µs", each(ours, calls), each(guest + messages + wakes, calls), nil)
  end

  defp call(host, actor, function, argument, answer) do
    fn -> {:ok, ^answer} = Exosuit.call(host, actor, function, [argument]) end
  end

  defp repeat(calls, call), do: Measure.seconds(fn -> times(calls, call) end)

  defp times(0, _call), do: :ok

  defp times(left, call) do
    call.()
    times(left - 1, call)
  end

  defp each(seconds, calls), do: seconds * 1_000_000 / calls
end
