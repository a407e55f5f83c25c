defmodule Exosuit.Bench.Calls do
  @moduledoc false
  # Calls from Elixir, 100 bytes there and back: to a fresh instance each, and to warm ones.

  alias Exosuit.Bench.{Floor, Measure, Row}

  @payload :binary.copy(<<7>>, 100)
  @calls 20_000

  @spec rows(Floor.t(), atom()) :: [Row.t()]
  def rows(floor, host) do
    fresh(floor, host) ++ warm(floor, host)
  end

  defp fresh(floor, host) do
    what = "Elixir → actor, fresh instance"
    rows(floor, host, {what, "echo", "plain", "fresh"}, {:at_most, 1.3, :ratio})
  end

  defp warm(floor, host) do
    what = "Elixir → actor, warm instance"
    rows(floor, host, {what, "echo-warm", "warm", "warm"}, {:at_most, 2, :above})
  end

  defp rows(floor, host, {what, actor, plain, engine}, goal) do
    [plain_one, engine, one] =
      Measure.medians([
        fn -> Floor.calls(floor, plain, 1, @calls) end,
        fn -> Floor.engine(floor, engine, @calls) end,
        fn -> seconds(host, actor, 1, @calls) end
      ])

    [all_cores, many] =
      Measure.medians([
        fn -> Floor.calls(floor, plain, 64, @calls) end,
        fn -> seconds(host, actor, 64, @calls) end
      ])

    [
      Row.new("#{what}, 1 caller", "µs", each(one), each(plain_one), goal),
      Row.new("  of which the engine crate alone", "µs", each(engine), each(plain_one), nil),
      Row.new(
        "#{what}, 64 callers",
        "calls/s",
        @calls / many,
        @calls / all_cores,
        {:at_least, 0.7, :ratio}
      )
    ]
  end

  defp each(seconds), do: seconds * 1_000_000 / @calls

  @doc "Seconds for so many calls, from the word to go to the last answer."
  @spec seconds(atom(), String.t(), pos_integer(), pos_integer()) :: float()
  def seconds(host, actor, callers, calls) do
    each = div(calls, callers)
    tasks = for _caller <- 1..callers, do: Task.async(fn -> wait_and_call(host, actor, each) end)

    seconds =
      Measure.seconds(fn ->
        Enum.each(tasks, &send(&1.pid, :go))
        Task.await_many(tasks, 120_000)
      end)

    seconds * calls / (each * callers)
  end

  defp wait_and_call(host, actor, calls) do
    receive do: (:go -> :ok)
    call(host, actor, calls)
  end

  defp call(_host, _actor, 0), do: :ok

  defp call(host, actor, left) do
    {:ok, @payload} = Exosuit.call(host, actor, "Echo.Say", @payload)
    call(host, actor, left - 1)
  end
end
