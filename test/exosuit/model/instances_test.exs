defmodule Exosuit.Model.InstancesTest do
  use ExUnit.Case, async: true

  alias Exosuit.Model.Instances

  doctest Instances

  @a %{"scaler" => "a"}
  @b %{"scaler" => "b", "zone" => "1"}
  @both [{@a, 2}, {@b, 3}]

  test "what one asked for is its own: set and added to without touching the others" do
    assert Instances.change(@both, {:set, @a, 5}) == [{@a, 5}, {@b, 3}]
    assert Instances.change(@both, {:add, @b, 2}) == [{@a, 2}, {@b, 5}]
    assert Instances.change(@both, {:set, %{}, 1}) == @both ++ [{%{}, 1}]
    assert Instances.change(@both, {:set, @a, 0}) == [{@b, 3}]
    assert Instances.change([], {:add, @a, 1}) == [{@a, 1}]
  end

  test "taken away are as many as asked for, of those that match" do
    assert Instances.change(@both, {:remove, @a, 1}) == [{@a, 1}, {@b, 3}]
    assert Instances.change(@both, {:remove, %{"zone" => "1"}, 2}) == [{@a, 2}, {@b, 1}]
    assert Instances.change(@both, {:remove, @b, :all}) == [{@a, 2}]
    assert Instances.change(@both, {:remove, %{}, 4}) == [{@a, 1}]
    assert Instances.change(@both, {:remove, %{}, :all}) == []
    assert Instances.change(@both, {:remove, %{"zone" => "2"}, :all}) == @both
    assert Instances.change(@both, {:remove, @a, 9}) == [{@b, 3}]
  end

  test "the total grows with the oldest share and shrinks from the youngest" do
    assert Instances.change(@both, {:total, 7}) == [{@a, 4}, {@b, 3}]
    assert Instances.change(@both, {:total, 5}) == @both
    assert Instances.change(@both, {:total, 1}) == [{@a, 1}]
    assert Instances.change(@both, {:total, 0}) == []
  end

  test "the total is bounded, and so is the number of shares" do
    assert [{@a, 99_997}, {@b, 3}] = Instances.change(@both, {:set, @a, 99_997})

    for change <- [
          {:set, @a, 99_998},
          {:set, %{}, 4_294_967_295},
          {:add, @b, 2 ** 64},
          {:total, 100_001}
        ] do
      assert {:error, %Exosuit.Error{reason: :limit, detail: detail}} =
               Instances.change(@both, change)

      assert detail =~ "expected a number of instances from 1 to 100000 in all, got "
    end

    many = for n <- 1..1_000, do: {%{"n" => "#{n}"}, 1}
    assert {:error, %Exosuit.Error{detail: detail}} = Instances.change(many, {:set, %{}, 1})
    assert detail =~ "at most 1000 sets of annotations"
    assert length(Instances.change(many, {:set, %{"n" => "1"}, 2})) == 1_000
  end

  test "ids are UUIDs, the same for the same, and for nothing else" do
    id = Instances.id("N", "M", @b, 1)
    assert id =~ ~r/\A[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\z/
    assert id == Instances.id("N", "M", @b, 1)

    others = [{"N", "M", @b, 2}, {"N", "M", @a, 1}, {"N", "L", @b, 1}, {"O", "M", @b, 1}]

    for {host, actor, annotations, n} <- others,
        do: assert(Instances.id(host, actor, annotations, n) != id)
  end
end
