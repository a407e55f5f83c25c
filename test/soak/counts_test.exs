defmodule Exosuit.Soak.CountsTest do
  use ExUnit.Case, async: true

  alias Exosuit.Soak.Counts

  test "counts are a set, in whatever order they come" do
    counts = Enum.shuffle(Enum.to_list(1..10) ++ Enum.to_list(12..20) ++ [30])
    ranges = Enum.reduce(counts, [], &add!/2)
    assert ranges == [{30, 30}, {12, 20}, {1, 10}]
    assert {Counts.size(ranges), Counts.greatest(ranges)} == {20, 30}
    for count <- counts, do: assert(Counts.add(ranges, count) == :error)
    assert add!(11, ranges) == [{30, 30}, {1, 20}]
  end

  test "the empty set" do
    assert {Counts.size([]), Counts.greatest([])} == {0, 0}
  end

  defp add!(count, ranges) do
    {:ok, ranges} = Counts.add(ranges, count)
    ranges
  end
end
