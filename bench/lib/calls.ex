defmodule Exosuit.Bench.Calls do
  @moduledoc false
  # Calls from Elixir, a fresh instance each, 100 bytes there and back.

  alias Exosuit.Bench.{Floor, Measure, Row}

  @payload :binary.copy(<<7>>, 100)
  @calls 20_000

  @spec rows(Floor.t(), atom()) :: [Row.t()]
  def rows(floor, host) do
    [plain, engine, one] =
      Measure.medians([
        fn -> Floor.plain(floor, 1, @calls) end,
        fn -> Floor.engine(floor, @calls) end,
        fn -> ours(host, 1) end
      ])

    [all_cores, many] =
      Measure.medians([fn -> Floor.plain(floor, 64, @calls) end, fn -> ours(host, 64) end])

    fresh = "Elixir → actor, fresh instance"

    [
      Row.new("#{fresh}, 1 caller", "µs", each(one), each(plain), {:at_most, 1.3, :ratio}),
      Row.new("  of which the engine crate alone", "µs", each(engine), each(plain), nil),
      Row.new(
        "#{fresh}, 64 callers",
        "calls/s",
        @calls / many,
        @calls / all_cores,
        {:at_least, 0.7, :ratio}
      )
    ]
  end

  defp each(seconds), do: seconds * 1_000_000 / @calls

  # Seconds for all calls, from the word to go to the last answer.
  defp ours(host, callers) do
    each = div(@calls, callers)
    tasks = for _caller <- 1..callers, do: Task.async(fn -> wait_and_call(host, each) end)

    seconds =
      Measure.seconds(fn ->
        Enum.each(tasks, &send(&1.pid, :go))
        Task.await_many(tasks, 120_000)
      end)

    seconds * @calls / (each * callers)
  end

  defp wait_and_call(host, calls) do
    receive do: (:go -> :ok)
    call(host, calls)
  end

  defp call(_host, 0), do: :ok

  defp call(host, left) do
    {:ok, @payload} = Exosuit.call(host, "echo", "Echo.Say", @payload)
    call(host, left - 1)
  end
end
