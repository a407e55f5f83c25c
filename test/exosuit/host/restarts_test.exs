defmodule Exosuit.Host.RestartsTest do
  use ExUnit.Case, async: true

  alias Exosuit.Host.Restarts

  test "what had run well is started again at once" do
    assert {:after, 0, _restarts} = Restarts.next(Restarts.new(), 0)
  end

  test "what keeps falling is started later and later, and then no more" do
    {delays, restarts} =
      Enum.map_reduce(1..15, Restarts.new(), fn now, restarts ->
        {:after, delay, restarts} = Restarts.next(restarts, now)
        {delay, restarts}
      end)

    assert Enum.take(delays, 5) == [0, 10, 20, 40, 80]
    assert List.last(delays) == 1_000
    assert delays == Enum.sort(delays)
    assert {:give_up, 15} = Restarts.next(restarts, 16)
  end

  test "falls of more than a minute ago are forgotten" do
    restarts = Enum.to_list(1..15)
    assert {:after, 0, [60_016]} = Restarts.next(restarts, 60_016)
  end
end
