defmodule Exosuit.Config.EngineTest do
  use ExUnit.Case, async: true

  alias Exosuit.Config.Engine

  test "the defaults run what toolchains build" do
    assert %Engine{core_instances: 1_000, module_bytes: 268_435_456, pool_slots: 1_000} =
             Engine.new!([])
  end

  test "each number has its bounds, whatever is thrown at it" do
    extremes = [-1, 1.0, 2 ** 31 * 2 ** 32, 2 ** 63, 2 ** 64, "10", nil, :many]

    for name <- Engine.names(), value <- extremes do
      error = assert_raise ArgumentError, fn -> Engine.new!([{name, value}]) end
      assert error.message =~ "expected #{inspect(name)} to be an integer from"
    end
  end

  test "an option that there is not is named" do
    assert_raise ArgumentError, ~r/pool_slot\b/, fn -> Engine.new!(pool_slot: 1) end
  end
end
