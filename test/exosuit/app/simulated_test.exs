defmodule Exosuit.App.SimulatedTest do
  # `bin/soak --simulated` runs the same with more seeds. A failed seed is run again by
  # `Exosuit.Simulated.run(seed)`.
  use ExUnit.Case, async: true

  alias Exosuit.Simulated
  alias Exosuit.Simulated.Faults

  @moduletag timeout: :infinity

  @seeds String.to_integer(System.get_env("SIMULATED_SEEDS", "200"))

  test "after any schedule of faults, the lattice settles and nothing is lost" do
    failed =
      for {seed, {:error, violations}} <- run(1..@seeds), do: {seed, Enum.take(violations, 5)}

    assert failed == []
  end

  # Each rule is needed: without it, a seed of the profile that is about it fails.
  for {rule, profile, text} <- [
        {:frozen, :cuts, "who is cut off starts nobody else's share, as membership is frozen"},
        {:generation, :stores,
         "a store that lacks records stops nothing, by generation and position"},
        {:slots, :calm, "members of an application are updated one after the other, by slots"},
        {:handover, :joins, "what moves goes on until it runs elsewhere, by the hand-over"},
        {:lease_end, :singletons, "a singleton ends with its lease"},
        {:lease_wait, :singletons, "a lease is taken when nobody can run by it any more"}
      ] do
    test text do
      assert profile_holds?(unquote(profile), [])
      refute profile_holds?(unquote(profile), [unquote(rule)])
    end
  end

  test "there is a profile for each kind of fault" do
    assert Faults.profiles() == [
             :all,
             :calm,
             :crashes,
             :cuts,
             :joins,
             :schemas,
             :singletons,
             :stores
           ]
  end

  defp profile_holds?(profile, without) do
    Enum.all?(run(1..12, profile: profile, without: without), &match?({_seed, :ok}, &1))
  end

  defp run(seeds, options \\ []) do
    seeds
    |> Task.async_stream(&{&1, Simulated.run(&1, options)}, timeout: :infinity)
    |> Stream.map(fn {:ok, result} -> result end)
  end
end
