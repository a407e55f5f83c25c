defmodule Exosuit.Bench.Lives do
  @moduledoc false
  # How actors start, fall and idle.

  alias Exosuit.Bench.{Measure, Row}

  @many 1_000
  @idle 10_000

  @spec rows(atom(), binary()) :: [Row.t()]
  def rows(host, echo) do
    [one, thousand] =
      Measure.medians(
        [fn -> starts(host, echo, 100) / 100 end, fn -> starts(host, echo, @many) end],
        5
      )

    [killed] = Measure.medians([fn -> recovery(host, echo) end], 25)

    [
      Row.new("start of an actor, code cached", "ms", one * 1_000, nil, {:at_most, 5, :ours}),
      Row.new("start of #{@many} actors, code cached", "s", thousand, nil, {:at_most, 2, :ours}),
      Row.new(
        "actor killed → next good answer",
        "ms",
        killed * 1_000,
        nil,
        {:at_most, 10, :ours}
      ),
      Row.new("an idle actor, of #{@idle}", "KiB", idle(host, echo), nil, {:at_most, 100, :ours})
    ]
  end

  # One after the other; they are stopped again, which is not counted.
  defp starts(host, echo, count) do
    seconds = Measure.seconds(fn -> start(host, echo, count) end)
    stop(host, count)
    seconds
  end

  # An actor of its own each time, as one that falls again and again is given up. The call finds no
  # process and waits for the next one.
  defp recovery(host, echo) do
    {:ok, id} = Exosuit.start_actor(host, echo, id: "fallen")
    actor = Exosuit.whereis(host, id)
    monitor = Process.monitor(actor)

    seconds =
      Measure.seconds(fn ->
        Process.exit(actor, :kill)
        receive do: ({:DOWN, ^monitor, :process, _pid, _reason} -> :ok)
        {:ok, "x"} = Exosuit.call(host, id, "Echo.Say", "x")
      end)

    :ok = Exosuit.stop_actor(host, id)
    seconds
  end

  defp idle(host, echo) do
    before = resident()
    start(host, echo, @idle)
    grown = resident() - before
    stop(host, @idle)
    grown / @idle
  end

  defp start(host, echo, count) do
    for n <- 1..count, do: {:ok, _id} = Exosuit.start_actor(host, echo, id: "idle-#{n}")
  end

  defp stop(host, count), do: for(n <- 1..count, do: :ok = Exosuit.stop_actor(host, "idle-#{n}"))

  # KiB of memory that this process holds.
  defp resident do
    Enum.each(Process.list(), &:erlang.garbage_collect/1)

    [kib] =
      Regex.run(~r/VmRSS:\s+(\d+)/, File.read!("/proc/self/status"), capture: :all_but_first)

    String.to_integer(kib)
  end
end
