defmodule Exosuit.RetryTest do
  use ExUnit.Case, async: true

  alias Exosuit.Retry

  doctest Retry

  @hour 3_600_000

  defp delays(retry, times, random) do
    {delays, _retry} =
      Enum.map_reduce(1..times, retry, fn now, retry -> Retry.failed(retry, now, random) end)

    delays
  end

  test "what had worked is tried again at once, and then from one second on" do
    retry = Retry.worked(Retry.new(), 0)
    assert [0, 1_000, 2_000, 4_000] = delays(retry, 4, 0.0)
  end

  test "what never worked is tried again after a second" do
    assert [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 48_000, 48_000] =
             delays(Retry.new(), 8, 0.0)
  end

  test "a delay is from 1 s to 60 s, whatever the jitter, and the tries never end" do
    for random <- [0.0, 0.5, 0.999_999, 1.0], delay <- delays(Retry.new(), 2_000, random) do
      assert delay in 1_000..60_000
    end

    assert List.last(delays(Retry.new(), 2_000, 1.0)) == 60_000
  end

  test "what fell together is not tried together" do
    delays = for _ <- 1..50, do: elem(Retry.failed(Retry.new(), 0), 0)
    assert length(Enum.uniq(delays)) > 1
    assert Enum.all?(delays, &(&1 in 1_000..1_250))
  end

  test "what works only for a moment in between is tried later and later" do
    {_delay, retry} = Retry.failed(Retry.worked(Retry.new(), 0), 1, 0.0)
    {1_000, retry} = Retry.failed(Retry.worked(retry, 2), 3, 0.0)
    assert {2_000, _retry} = Retry.failed(Retry.worked(retry, 4), 59_999, 0.0)
  end

  test "what has worked for a minute starts from the beginning" do
    {_delay, retry} = Enum.reduce(1..9, {0, Retry.new()}, &Retry.failed(elem(&2, 1), &1))
    assert {0, retry} = Retry.failed(Retry.worked(retry, @hour), @hour + 60_000)
    assert {1_000, _retry} = Retry.failed(retry, @hour + 60_000, 0.0)
  end

  test "becoming slow is told once" do
    {slow, _retry} =
      Enum.map_reduce(1..20, Retry.new(), fn now, retry ->
        {delay, retry} = Retry.failed(retry, now, 0.0)
        {Retry.turned_slow?(retry) and delay, retry}
      end)

    assert Enum.filter(slow, & &1) == [16_000]
  end
end
