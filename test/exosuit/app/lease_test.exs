defmodule Exosuit.App.LeaseTest do
  # What one member does about a lease; `Exosuit.App.SimulatedTest` checks that no two run a singleton.
  use ExUnit.Case, async: true

  alias Exosuit.App.Machine.{Lease, Options}

  doctest Lease

  @length 15_000
  @mine %{holder: "N1", length: @length}
  @theirs %{holder: "N2", length: @length}
  @free %{holder: nil, length: @length}

  defp facts(now, more \\ []) do
    Map.merge(%{own: "N1", now: now, options: %Options{}, live?: true}, Map.new(more))
  end

  defp unknown, do: Lease.unknown(0, %Options{})
  defp held, do: Lease.written(unknown(), @mine, 100, 3, facts(300))

  test "a lease that nobody has is taken after its length: somebody may have had it" do
    assert Lease.due(unknown(), true, facts(@length - 1)) == nil
    assert Lease.due(unknown(), true, facts(@length)) == @mine
    assert Lease.due(unknown(), false, facts(@length)) == nil
  end

  test "a write counts from when it was sent, and is renewed long before its end" do
    refute Lease.held?(unknown(), 0)
    assert Lease.held?(held(), 10_099)
    refute Lease.held?(held(), 10_100)
    assert Lease.due(held(), true, facts(3_099)) == nil
    assert Lease.due(held(), true, facts(3_100)) == @mine
    # Once it has ended, its holder waits like everybody else.
    assert Lease.due(held(), true, facts(10_100)) == nil
    assert Lease.due(held(), true, facts(15_300)) == @mine
  end

  test "what another host renews is waited for; what it gives back is taken at once" do
    seen = Lease.changed(unknown(), @theirs, 4, facts(20_000))
    assert Lease.due(seen, true, facts(34_999)) == nil
    assert Lease.due(seen, true, facts(35_000)) == @mine
    # An older change arrives late.
    assert Lease.changed(seen, @free, 3, facts(21_000)) == seen
    assert Lease.due(Lease.changed(seen, @free, 5, facts(21_000)), true, facts(21_000)) == @mine
  end

  test "a lease given back in a store that may be older is waited for" do
    seen = Lease.changed(unknown(), @free, 4, facts(20_000, live?: false))
    assert Lease.due(seen, true, facts(34_999)) == nil
    assert Lease.due(seen, true, facts(35_000)) == @mine
  end

  test "a holder renews what a store lost, and ends if another host takes the lease" do
    lost = Lease.changed(held(), nil, 0, facts(2_000))
    assert Lease.held?(lost, 2_000)
    assert {Lease.due(lost, true, facts(3_100)), lost.revision} == {@mine, 0}

    older = Lease.changed(held(), @theirs, 2, facts(2_000, live?: false))
    assert Lease.held?(older, 2_000)
    refute Lease.held?(Lease.changed(held(), @theirs, 4, facts(2_000)), 2_000)
  end

  test "a refused write says what the store holds, even if that is older" do
    refused = Lease.conflict(held(), @theirs, 2, facts(2_000))
    assert {refused.revision, Lease.held?(refused, 2_000)} == {2, true}
    gone = Lease.conflict(held(), nil, 0, facts(2_000))
    assert {gone.revision, Lease.due(gone, true, facts(3_100))} == {0, @mine}
  end

  test "a longer lease is waited for as long as its holder says" do
    seen = Lease.changed(unknown(), %{@theirs | length: 60_000}, 4, facts(0))
    assert Lease.due(seen, true, facts(59_999)) == nil
    assert Lease.due(seen, true, facts(60_000)) == @mine
  end

  test "what is not wanted any more is given back, by its holder alone" do
    assert Lease.due(held(), false, facts(200)) == @free
    assert Lease.due(held(), false, facts(10_100)) == nil
  end

  test "any text is read as a lease or refused" do
    {:ok, text} = Lease.encode(@mine)
    assert Lease.decode(text) == {:ok, @mine}
    {:ok, text} = Lease.encode(@free)
    assert Lease.decode(text) == {:ok, @free}

    long = String.duplicate("N", 2_000)
    zero = ~s({"holder": "N1", "length": 0})
    number = ~s({"holder": 1, "length": 15000})
    endless = ~s({"holder": "N1", "length": 1e300})

    for text <- ["", "[]", "{}", <<255>>, long, zero, number, endless] do
      assert {:error, %Exosuit.Error{}} = Lease.decode(text)
    end
  end
end
