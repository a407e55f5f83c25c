defmodule Exosuit.Host.PlanTest do
  use ExUnit.Case, async: true

  alias Exosuit.Host.Plan
  alias Exosuit.Model.{ActorSpecification, Limits, Link, ProviderSpecification}

  doctest Plan

  @actor %ActorSpecification{
    id: "a",
    artifact: {:file, "a.wasm", "DIGEST"},
    limits: %Limits{memory: 1, queue: 1}
  }
  @provider %ProviderSpecification{id: "p", artifact: {:builtin, "keyvalue"}}
  @link %Link{source: "a", target: "p", namespace: "wasmcloud", package: "keyvalue"}
  @desired %{specifications: [@actor, @provider], links: [@link]}
  @nothing %{specifications: [], links: [], idle: [], running: []}
  @running [{:actor, "a"}, {:provider, "p"}]

  defp there(changes \\ %{}),
    do: @desired |> Map.merge(%{idle: [], running: @running}) |> Map.merge(changes)

  test "from nothing: all is specified and linked, then actors start, and providers last" do
    assert Plan.steps(@desired, @nothing) == [
             {:specify, @actor},
             {:specify, @provider},
             {:link, @link},
             {:start, {:actor, "a"}},
             {:start, {:provider, "p"}}
           ]
  end

  test "of the providers, one that listens starts last" do
    http = %ProviderSpecification{id: "http", artifact: {:builtin, "http-server"}}
    desired = %{@desired | specifications: [http, @provider, @actor]}

    assert for({:start, {_role, id}} <- Plan.steps(desired, @nothing), do: id) == [
             "a",
             "p",
             "http"
           ]
  end

  test "from what is there already: nothing" do
    assert Plan.steps(@desired, there()) == []
  end

  test "another number of instances is a change in place" do
    scaled = %{@actor | instances: 7}
    desired = %{@desired | specifications: [scaled, @provider]}
    assert Plan.steps(desired, there()) == [{:change, scaled}]
  end

  test "other code and other settings are an update of what runs, which nothing stops before" do
    grants = %Exosuit.Model.Grants{arguments: ["-v"]}

    for changed <- [
          %{@actor | artifact: {:file, "a.wasm", "OTHER"}},
          %{@actor | artifact: {:file, "a.wasm", nil}},
          %{@actor | artifact: {:file, "a.wasm", "OTHER"}, instances: 7},
          %{@actor | config: %{"level" => "debug"}},
          %{@actor | grants: grants},
          %{@actor | limits: %{@actor.limits | deadline: 1_000}}
        ] do
      desired = %{@desired | specifications: [changed, @provider]}
      assert Plan.steps(desired, there()) == [{:update, changed}]
    end
  end

  test "what does not run makes room at once for what should be" do
    rebuilt = %{@actor | artifact: {:file, "a.wasm", "OTHER"}}
    desired = %{@desired | specifications: [rebuilt, @provider]}

    for idle <- [[], [{:actor, "a"}]] do
      there = there(%{idle: idle, running: [{:provider, "p"}]})

      assert Plan.steps(desired, there) == [
               {:stop, {:actor, "a"}},
               {:specify, rebuilt},
               {:start, {:actor, "a"}}
             ]
    end
  end

  test "a provider that runs is exchanged, and one that listens last" do
    http = %ProviderSpecification{id: "http", artifact: {:builtin, "http-server"}}
    changed = %{http | config: %{"address" => "127.0.0.1:1"}}
    other = %{@provider | config: %{"bucket" => "b"}}
    there = %{specifications: [@actor, http, @provider], links: [@link], idle: [], running: []}
    there = %{there | running: [{:provider, "http"} | @running]}
    desired = %{@desired | specifications: [changed, @actor, other]}
    assert Plan.steps(desired, there) == [{:exchange, other}, {:exchange, changed}]
  end

  test "a link with another configuration is made again, and no other" do
    changed = %{@link | target_config: %{"bucket" => "b"}}
    assert Plan.steps(%{@desired | links: [changed]}, there()) == [{:link, changed}]
  end

  test "links of one key cover different interfaces, and one that goes takes the others along" do
    store = %{@link | namespace: "wasi", interfaces: ["store"]}
    atomics = %{store | target: "q", interfaces: ["atomics"]}
    both = %{@desired | links: [store, atomics]}
    key = Link.key(store)
    there = there(%{links: [store, atomics]})
    assert Plan.steps(both, there) == []

    one = %{@desired | links: [store]}
    assert Plan.steps(one, there) == [{:unlink, key}, {:link, store}]
    assert Plan.steps(both, there(%{links: [store]})) == [{:link, atomics}]
  end

  test "a link that covers more, or less, takes the place of what it was" do
    store = %{@link | namespace: "wasi", interfaces: ["store"]}
    wider = %{store | interfaces: ["store", "atomics"]}
    narrow = %{@desired | links: [store]}
    assert Plan.steps(%{narrow | links: [wider]}, there(%{links: [store]})) == [{:link, wider}]
    assert Plan.steps(narrow, there(%{links: [wider]})) == [{:link, store}]
  end

  test "a link to another target is removed first, as the two cannot be there at once" do
    other = %{@link | target: "q"}
    steps = Plan.steps(%{@desired | links: [other]}, there())
    assert steps == [{:unlink, Link.key(@link)}, {:link, other}]
  end

  test "what has failed is tried again" do
    assert Plan.steps(@desired, there(%{idle: [{:actor, "a"}]})) == [{:start, {:actor, "a"}}]
  end

  test "what failed of another application is not touched" do
    assert Plan.steps(@desired, there(%{idle: [{:actor, "b"}]})) == []
  end

  test "to nothing: all is stopped and unlinked" do
    steps = Plan.steps(%{specifications: [], links: []}, there())

    assert Enum.sort(steps) ==
             Enum.sort([
               {:stop, {:actor, "a"}},
               {:stop, {:provider, "p"}},
               {:unlink, {"a", "wasmcloud:keyvalue", "default"}}
             ])
  end
end
