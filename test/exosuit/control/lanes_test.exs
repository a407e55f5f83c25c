defmodule Exosuit.Control.LanesTest do
  use ExUnit.Case, async: true

  alias Exosuit.Control.Lanes

  doctest Lanes

  test "one of a lane runs, the others wait for it in order" do
    assert {:run, lanes} = Lanes.enter(Lanes.new(8), :a, 1)
    assert {:wait, lanes} = Lanes.enter(lanes, :a, 2)
    assert {:wait, lanes} = Lanes.enter(lanes, :a, 3)
    assert {:run, lanes} = Lanes.enter(lanes, :b, 4)
    assert {{:run, 2}, lanes} = Lanes.leave(lanes, :a)
    assert {{:run, 3}, lanes} = Lanes.leave(lanes, :a)
    assert {:idle, lanes} = Lanes.leave(lanes, :a)
    assert {:idle, lanes} = Lanes.leave(lanes, :b)
    assert lanes == Lanes.new(8)
  end

  test "what runs and what waits is bounded together" do
    {:run, lanes} = Lanes.enter(Lanes.new(2), :a, 1)
    {:wait, lanes} = Lanes.enter(lanes, :a, 2)
    assert Lanes.enter(lanes, :a, 3) == :full
    assert Lanes.enter(lanes, :b, 3) == :full
    {{:run, 2}, lanes} = Lanes.leave(lanes, :a)
    assert {:run, _lanes} = Lanes.enter(lanes, :b, 3)
  end
end
