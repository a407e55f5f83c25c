defmodule Exosuit.App.MachineTest do
  # What one machine does about single events; `Exosuit.App.SimulatedTest` has what many do together.
  use ExUnit.Case, async: true

  alias Exosuit.App.{Machine, Model, Record, Status}
  alias Exosuit.App.Machine.Slots
  alias Exosuit.Error
  alias Exosuit.Model.{Application, Digest, Workload}

  doctest Machine

  @bad Error.new(:invalid_module, "it is not Wasm")

  defp member(id), do: %{id: id, labels: %{}, features: [], schema: 1}

  defp model(code, instances, singleton? \\ false) do
    workload = %Workload{
      role: :actor,
      id: "echo",
      reference: "exosuit+object://" <> Digest.of(code),
      instances: instances,
      singleton?: singleton?
    }

    %Model{
      manifest: %{"name" => "shop", "components" => [], "providers" => []},
      application: %Application{name: "shop", workloads: [workload]}
    }
  end

  defp applied(code) do
    %{
      model: Digest.of("model " <> code),
      manifest: Digest.of(code),
      objects: [Digest.of(code)],
      at: 1,
      by: "me"
    }
  end

  defp record(codes) do
    {:ok, record} = Record.new("shop", applied(hd(codes)))

    Enum.reduce(tl(codes), record, fn code, record ->
      {:ok, record} = Record.apply_version(record, applied(code))
      record
    end)
  end

  # Gives the state and all actions, without copies and events for people.
  defp feed(state, events) do
    {state, actions} =
      Enum.reduce(events, {state, []}, fn event, {state, actions} ->
        {state, more} = Machine.handle(state, event)
        {state, actions ++ more}
      end)

    {state, Enum.reject(actions, &match?({kind, _} when kind in [:keep], &1))}
  end

  defp connected(options \\ []) do
    {state, []} = Machine.new(member("N1"), [now: 0] ++ options)

    {state, []} =
      feed(state, [
        {:bus, :up, 0},
        {:store, :up, 0},
        {:records_current, %{generation: "g", position: 0}, 0}
      ])

    state
  end

  # A host that runs version 1 on its own.
  defp running(instances \\ 4) do
    {state, _actions} =
      feed(connected(alone: true), [
        {:record, "shop", record(["a"]), 1},
        {:model, Digest.of("model a"), model("a", instances)},
        {:objects, "shop", 1, [Digest.of("a")], :here},
        {:applied, "shop", 1, %{"echo" => instances}, %{"echo" => :running}},
        {:written, {:status, "shop"}, {:ok, 2}},
        {:written, {:status, "shop"}, {:ok, 2}}
      ])

    state
  end

  defp updating(codes) do
    {state, _actions} =
      feed(running(), [
        {:record, "shop", record(codes), 3},
        {:model, Digest.of("model b"), model("b", 4)},
        {:objects, "shop", 2, [Digest.of("b")], :here},
        {:written, {:slots, "shop"}, {:ok, 4}}
      ])

    state
  end

  test "keeps nothing of applications that are gone" do
    gone = [
      {:record_deleted, "shop"},
      {:applied, "shop", 1, %{}, %{}},
      {:status, "N1", "shop", nil}
    ]

    {state, _actions} = feed(running(), gone)
    assert state.statuses == %{}

    many = for n <- 1..1_023, do: Digest.of("#{n}")
    later = [{:record, "shop", record(["b"]), 9}, {:objects, "shop", 1, many, :here}]
    {state, _actions} = feed(state, later ++ [{:objects, "shop", 1, [Digest.of("b")], :here}])
    assert state.objects == MapSet.new([Digest.of("b")])
  end

  test "keeps no error of an application that is gone" do
    away = Error.new(:unavailable, "the store is away")
    {state, _actions} = feed(connected(alone: true), [{:record, "shop", record(["a"]), 1}])
    {state, _actions} = feed(state, [{:model, Digest.of("model a"), {:error, away}}])
    assert map_size(state.errors) == 1
    {state, _actions} = feed(state, [{:record_deleted, "shop"}])
    assert state.errors == %{}

    {state, _actions} =
      feed(running(), [
        {:record, "shop", record(["a", "b"]), 3},
        {:model, Digest.of("model b"), model("b", 4)},
        {:objects, "shop", 2, [Digest.of("b")], {:error, away}}
      ])

    assert map_size(state.errors) == 1
    gone = [{:record_deleted, "shop"}, {:applied, "shop", 1, %{}, %{}}]
    {state, _actions} = feed(state, gone)
    assert state.errors == %{}
  end

  test "a new application is fetched, then run, then said to run" do
    {state, actions} = feed(connected(alone: true), [{:record, "shop", record(["a"]), 1}])
    assert actions == [{:fetch_model, Digest.of("model a")}]

    {state, actions} = feed(state, [{:model, Digest.of("model a"), model("a", 4)}])
    assert actions == [{:fetch_objects, "shop", 1, [Digest.of("a")]}]

    {state, actions} = feed(state, [{:objects, "shop", 1, [Digest.of("a")], :here}])
    assert {:apply_share, "shop", 1, %{"echo" => 4}} in actions
    assert %Model{} = Machine.model(state, "shop", 1)

    # The write of the first status is still under way.
    {state, actions} = feed(state, [{:applied, "shop", 1, %{"echo" => 4}, %{"echo" => :running}}])
    assert actions == []
    {state, actions} = feed(state, [{:written, {:status, "shop"}, {:ok, 2}}])
    assert [{:write_status, "shop", %Status{} = status}] = actions
    assert Status.runs?(status, {1, Digest.of("model a")}, "echo")
    assert Machine.share(state, "shop") == {1, %{"echo" => 4}}
  end

  test "a host that does not know the members yet starts nothing" do
    {state, actions} =
      feed(connected(), [
        {:record, "shop", record(["a"]), 1},
        {:model, Digest.of("model a"), model("a", 4)},
        {:tick, 1_999}
      ])

    assert actions == []
    assert {_state, [{:fetch_objects, "shop", 1, _digests} | _]} = feed(state, [{:tick, 2_000}])
  end

  test "a fetch that fails is tried again after a pause, and said" do
    {state, _actions} = feed(connected(alone: true), [{:record, "shop", record(["a"]), 1}])
    error = {:error, Error.new(:unavailable, "no store")}
    {state, actions} = feed(state, [{:model, Digest.of("model a"), error}, {:tick, 4_999}])
    assert [{:write_status, "shop", %Status{problem: problem}}] = actions
    assert problem =~ "no store"
    assert {_state, [{:fetch_model, _digest}]} = feed(state, [{:tick, 5_000}])
  end

  test "an update waits for a slot, and gives it back when all runs" do
    {state, actions} =
      feed(running(), [
        {:slots, "shop", %{version: 2, holders: ["N1x"]}, 3},
        {:slots, "shop", %{version: 2, holders: []}, 4},
        {:record, "shop", record(["a", "b"]), 5},
        {:model, Digest.of("model b"), model("b", 4)},
        {:objects, "shop", 2, [Digest.of("b")], :here}
      ])

    assert {:write_slots, "shop", %{version: 2, holders: ["N1"]}, 4} in actions
    refute Enum.any?(actions, &match?({:apply_share, _, _, _}, &1))

    {state, actions} = feed(state, [{:written, {:slots, "shop"}, {:ok, 6}}])
    assert {:apply_share, "shop", 2, %{"echo" => 4}} in actions

    {_state, actions} =
      feed(state, [{:applied, "shop", 2, %{"echo" => 4}, %{"echo" => :running}}])

    assert {:write_slots, "shop", %{version: 2, holders: []}, 6} in actions
  end

  test "a version that is refused for good brings the one before back" do
    {state, actions} =
      feed(updating(["a", "b"]), [
        {:applied, "shop", 2, %{"echo" => 4}, %{"echo" => {:refused, @bad, true}}}
      ])

    assert [failed] = for({:write_record, "shop", record, 3} <- actions, do: record)
    assert failed.version == 1
    assert Record.fetch(failed, 2).failed =~ "it is not Wasm"

    {_state, actions} = feed(state, [{:written, {:record, "shop"}, {:ok, 5}}])
    assert {:apply_share, "shop", 1, %{"echo" => 4}} in actions
  end

  test "a version that does not run by the deadline brings the one before back" do
    {state, actions} =
      feed(updating(["a", "b"]), [
        {:applied, "shop", 2, %{"echo" => 4}, %{"echo" => {:starting, nil}}},
        {:tick, 59_999}
      ])

    refute Enum.any?(actions, &match?({:write_record, _, _, _}, &1))
    {_state, actions} = feed(state, [{:tick, 60_000}])
    assert [%{version: 1}] = for({:write_record, "shop", record, 3} <- actions, do: record)
  end

  test "a manifest sets the deadline of its versions, and how many members update at a time" do
    rollout = %{"max_unavailable" => 2, "progress_deadline_ms" => 5_000}
    second = put_in(model("b", 4).manifest["rollout"], rollout)

    {state, actions} =
      feed(running(), [
        {:beat, member("N2"), 0},
        {:slots, "shop", %{version: 2, holders: ["N2"]}, 3},
        {:record, "shop", record(["a", "b"]), 5},
        {:model, Digest.of("model b"), second},
        {:objects, "shop", 2, [Digest.of("b")], :here}
      ])

    assert {:write_slots, "shop", %{version: 2, holders: ["N1", "N2"]}, 3} in actions
    {state, actions} = feed(state, [{:written, {:slots, "shop"}, {:ok, 6}}])
    assert [share] = for({:apply_share, "shop", 2, share} <- actions, do: share)

    {_state, actions} =
      feed(state, [
        {:applied, "shop", 2, share, %{"echo" => {:starting, nil}}},
        {:tick, 5_000}
      ])

    assert [%{version: 1}] = for({:write_record, "shop", record, 5} <- actions, do: record)
  end

  test "if the store loses a record of a newer schema, it is put back as it was" do
    newer = {:newer, 2, "newer"}
    {state, actions} = feed(running(), [{:record, "shop", newer, 5}])
    refute Enum.any?(actions, &match?({:put_back, _, _, _}, &1))
    {state, actions} = feed(state, [{:records_lost, ["shop"]}])
    assert {:put_back, "shop", newer, 0} in actions
    assert {_state, []} = feed(state, [{:written, {:record, "shop"}, {:ok, 7}}, {:tick, 9_000}])
  end

  test "a record of a newer schema is written over the record that it followed, and over no other" do
    newer = {:newer, 2, "newer"}
    {state, _actions} = feed(running(), [{:record, "shop", newer, 5}])
    facts = %{generation: "h", position: 4}

    restored = fn record ->
      told = [{:store, :up, 0}, {:record, "shop", record, 3}, {:records_current, facts, 0}]
      feed(state, [{:store, :down, 0} | told])
    end

    {state, actions} = restored.(record(["a"]))
    assert {:write_record, "shop", newer, 3} in actions
    refute Enum.any?(actions, &match?({:apply_share, _, _, _}, &1))
    assert {_state, []} = feed(state, [{:written, {:record, "shop"}, {:ok, 5}}, {:tick, 9_000}])

    {state, actions} = restored.(record(["a", "b"]))
    refute Enum.any?(actions, &match?({:write_record, _, _, _}, &1))
    assert Machine.record(state, "shop").version == 2
  end

  test "without an older version, a host by itself keeps the share that it refuses, and says so" do
    {_state, actions} =
      feed(running(), [{:health, "shop", 1, %{"echo" => {:refused, @bad, true}}}])

    refute Enum.any?(actions, &match?({:apply_share, "shop", _, _}, &1))

    assert [%{refused: %{"echo" => why}}] =
             for({:write_status, "shop", status} <- actions, do: status)

    assert why =~ "it is not Wasm"
  end

  test "what moves to another member goes on until that reports it running" do
    {state, actions} = feed(running(), [{:beat, member("N2"), 10_000}])
    refute Enum.any?(actions, &match?({:apply_share, _, _, _}, &1))

    status = %Status{
      model: Digest.of("model a"),
      version: 1,
      workloads: %{"echo" => %{count: 2, state: :running, detail: nil}}
    }

    {_state, actions} = feed(state, [{:status, "N2", "shop", status}])
    assert {:apply_share, "shop", 1, %{"echo" => 2}} in actions
  end

  test "what moves to another member goes on while it starts again, but not if it is refused" do
    {state, _actions} = feed(running(), [{:beat, member("N2"), 10_000}])
    starting = {:health, "shop", 1, %{"echo" => {:starting, nil}}}
    {state, actions} = feed(state, [starting, {:tick, 10_250}])
    refute Enum.any?(actions, &match?({:apply_share, _, _, _}, &1))

    {_state, actions} = feed(state, [{:health, "shop", 1, %{"echo" => {:refused, @bad, false}}}])
    assert {:apply_share, "shop", 1, %{"echo" => 2}} in actions
  end

  test "what moves to another member stops after the grace, unless the host is cut off" do
    beats = for n <- 1..25, do: {:beat, member("N2"), 10_000 + n * 1_000}
    {state, actions} = feed(running(), beats ++ [{:tick, 39_999}])
    refute Enum.any?(actions, &match?({:apply_share, _, _, _}, &1))
    {cut, actions} = feed(state, [{:bus, :down, 39_999}, {:tick, 99_000}])
    refute Enum.any?(actions, &match?({:apply_share, _, _, _}, &1))
    {_state, actions} = feed(state, [{:beat, member("N2"), 40_500}, {:tick, 41_000}])
    assert {:apply_share, "shop", 1, %{"echo" => 2}} in actions
    assert length(Machine.members(cut)) == 2
  end

  test "an undeployed or deleted application stops, and its status goes" do
    for event <- [{:record, "shop", Record.undeploy(record(["a"])), 9}, {:record_deleted, "shop"}] do
      {_state, actions} = feed(running(), [event])
      assert {:apply_share, "shop", 1, %{}} in actions
      assert {:write_status, "shop", nil} in actions
    end
  end

  test "a record of a newer schema is left running, and never written" do
    {state, actions} =
      feed(running(), [{:record, "shop", {:newer, 2, "newer"}, 9}, {:tick, 100_000}])

    refute Enum.any?(
             actions,
             &match?({kind, _, _, _} when kind in [:apply_share, :write_record], &1)
           )

    assert Machine.share(state, "shop") == {1, %{"echo" => 4}}
  end

  test "a host that starts from its copy runs its last share at once, without a lattice" do
    copy = Machine.copy(running())
    {state, actions} = Machine.new(member("N1"), now: 0, copy: copy)
    assert hd(actions) == {:apply_share, "shop", 1, %{"echo" => 4}}
    assert %Model{} = Machine.model(state, "shop", 1)
    assert Machine.apps(state) == ["shop"]
  end

  test "what a store lacks is put back, unless it is the store of the copy and not behind" do
    copy = Machine.copy(running())

    for {generation, position, expected} <- [
          {"g", 9, {:apply_share, "shop", 1, %{}}},
          {"g", 0, {:put_back, "shop", record(["a"]), 0}},
          {"h", 9, {:put_back, "shop", record(["a"]), 9}},
          {nil, 0, {:put_back, "shop", record(["a"]), 0}}
        ] do
      {state, _actions} = Machine.new(member("N1"), now: 0, copy: copy)
      facts = %{generation: generation, position: position}

      {_state, actions} =
        feed(state, [{:bus, :up, 0}, {:store, :up, 0}, {:records_current, facts, 0}])

      assert expected in actions
      new? = generation == nil or position < 1
      assert new? == {:write_generation, generation} in actions
    end
  end

  test "a store that has another generation than the copy lost what it lacks, whenever it tells the generation" do
    {state, _actions} = Machine.new(member("N1"), now: 0, copy: Machine.copy(running()))
    facts = %{generation: "h", position: 9}
    told = [{:store, :up, 0}, {:generation, "h"}]

    # The host stops half-way and starts again from its copy, or is interrupted.
    {half, _actions} = feed(state, told)
    {again, _actions} = Machine.new(member("N1"), now: 0, copy: Machine.copy(half))
    early = %{Machine.copy(running()) | generation: nil}
    {early, _actions} = Machine.new(member("N1"), now: 0, copy: early)

    for state <- [state, half, again, early] do
      {_state, actions} = feed(state, told ++ [{:records_current, facts, 0}])
      assert {:put_back, "shop", record(["a"]), 9} in actions
    end
  end

  describe "a record that this host put back, if the store is interrupted before it tells of it," do
    setup do
      lost = [{:records_lost, ["shop"]}, {:written, {:record, "shop"}, {:ok, 3}}]
      {state, actions} = feed(running(), lost)
      assert {:put_back, "shop", record(["a"]), 0} in actions
      {state, []} = feed(state, [{:store, :down, 1_000}, {:store, :up, 2_000}])
      %{state: state}
    end

    test "is lost if the store is another one", %{state: state} do
      for facts <- [%{generation: nil, position: 0}, %{generation: "h", position: 9}] do
        {state, actions} = feed(state, [{:generation, "h"}, {:records_current, facts, 2_000}])
        assert {:put_back, "shop", record(["a"]), facts.position} in actions
        assert Machine.record(state, "shop") == record(["a"])
      end

      lost = [{:records_lost, []}, {:records_current, %{generation: "g", position: 9}, 2_000}]
      {_state, actions} = feed(state, lost)
      assert {:put_back, "shop", record(["a"]), 9} in actions
    end

    test "was deleted if the store is the same", %{state: state} do
      facts = %{generation: "g", position: 9}
      {state, actions} = feed(state, [{:records_current, facts, 2_000}])
      assert {:apply_share, "shop", 1, %{}} in actions
      assert Machine.record(state, "shop") == nil
    end

    test "is there if the store tells of it now", %{state: state} do
      facts = %{generation: "g", position: 9}
      told = {:record, "shop", record(["a"]), 3}
      {state, actions} = feed(state, [told, {:records_current, facts, 2_000}])
      refute Enum.any?(actions, &(elem(&1, 0) in [:apply_share, :put_back, :write_record]))
      assert Machine.record(state, "shop") == record(["a"])
    end
  end

  test "a record is put back with the position at which the store lacked it, whatever this host writes meanwhile" do
    {state, _actions} = Machine.new(member("N1"), now: 0, copy: Machine.copy(running()))
    facts = %{generation: "h", position: 9}

    {state, actions} =
      feed(state, [
        {:store, :up, 0},
        {:records_current, facts, 0},
        {:record, "other", %{record(["a"]) | name: "other"}, 12}
      ])

    assert {:put_back, "shop", record(["a"]), 9} in actions

    # It was put back and deleted by others, and the watch has not shown it yet.
    {_state, actions} = feed(state, [{:written, {:record, "shop"}, :conflict}, {:tick, 99_000}])
    assert {:put_back, "shop", record(["a"]), 9} in actions
  end

  test "an answer to a write that comes late is no news" do
    {state, _actions} = feed(running(), [{:records_lost, ["shop"]}])
    facts = %{generation: "h", position: 9}

    # The record was deleted in the meantime, or the store is another one.
    {deleted, _actions} =
      feed(state, [
        {:record, "shop", record(["a"]), 3},
        {:record_deleted, "shop"},
        {:written, {:record, "shop"}, {:ok, 3}}
      ])

    assert Machine.record(deleted, "shop") == nil

    {_state, actions} =
      feed(state, [
        {:store, :down, 0},
        {:store, :up, 0},
        {:written, {:record, "shop"}, {:ok, 3}},
        {:records_current, facts, 0}
      ])

    assert {:put_back, "shop", record(["a"]), 9} in actions
  end

  test "a record of a higher edition is written over an older one, once" do
    {state, _actions} = feed(running(), [{:record, "shop", record(["a", "b"]), 9}])
    restored = [{:store, :down, 0}, {:store, :up, 0}, {:record, "shop", record(["a"]), 5}]

    {_state, actions} =
      feed(
        state,
        restored ++ [{:records_current, %{generation: "g", position: 5}, 0}, {:tick, 1}]
      )

    assert [{:write_record, "shop", record, 5}] =
             for({:write_record, _, _, _} = it <- actions, do: it)

    assert record.version == 2
  end

  test "a host that lost what it ran is told again" do
    assert {_state, [{:apply_share, "shop", 1, %{"echo" => 4}} | _]} =
             feed(running(), [{:host_restarted, 5}])
  end

  test "a conflict waits for news or for a pause" do
    {state, actions} =
      feed(running(), [
        {:record, "shop", record(["a", "b"]), 3},
        {:model, Digest.of("model b"), model("b", 4)},
        {:objects, "shop", 2, [Digest.of("b")], :here},
        {:written, {:slots, "shop"}, :conflict},
        {:tick, 1}
      ])

    assert [_one] = for({:write_slots, _, _, _} = it <- actions, do: it)
    {state, actions} = feed(state, [{:slots, "shop", %{version: 2, holders: ["N1"]}, 7}])
    assert {:apply_share, "shop", 2, %{"echo" => 4}} in actions
    # The news of a write before comes late.
    {_state, actions} = feed(state, [{:slots, "shop", %{version: 2, holders: ["N9"]}, 6}])
    assert actions == []
  end

  # Updates to version 2, and gives its slot back. Both writes of the slots were accepted, but no event shows them.
  defp updated do
    {state, actions} =
      feed(updating(["a", "b"]), [
        {:applied, "shop", 2, %{"echo" => 4}, %{"echo" => :running}},
        {:written, {:slots, "shop"}, {:ok, 5}},
        {:written, {:status, "shop"}, {:ok, 6}},
        {:written, {:status, "shop"}, {:ok, 7}}
      ])

    assert {:write_slots, "shop", %{version: 2, holders: []}, 4} in actions
    state
  end

  # The watch is interrupted, and the store has all records.
  defp reconnected(state, told) do
    record = {:record, "shop", record(["a", "b"]), 1}
    current = {:records_current, %{generation: "g", position: 9}, 0}
    feed(state, [{:store, :down, 0}, {:store, :up, 0}, record] ++ told ++ [current])
  end

  defp third do
    [
      {:record, "shop", record(["a", "b", "c"]), 10},
      {:model, Digest.of("model c"), model("c", 4)},
      {:objects, "shop", 3, [Digest.of("c")], :here}
    ]
  end

  test "the answer of a write may come after the news of a later one" do
    {state, actions} =
      feed(updating(["a", "b"]), [
        {:applied, "shop", 2, %{"echo" => 4}, %{"echo" => :running}},
        {:slots, "shop", %{version: 2, holders: []}, 5},
        {:slots, "shop", %{version: 2, holders: ["N9"]}, 6},
        {:slots, "shop", %{version: 2, holders: []}, 7},
        {:written, {:slots, "shop"}, {:ok, 5}}
      ])

    assert {:write_slots, "shop", %{version: 2, holders: []}, 4} in actions
    {_state, actions} = feed(state, third())
    assert {:write_slots, "shop", %{version: 3, holders: ["N1"]}, 7} in actions
  end

  test "what the store does not show after an interruption, it lacks, although it accepted it" do
    {state, actions} = reconnected(updated(), [])
    assert [%Status{version: 2}] = for({:write_status, "shop", status} <- actions, do: status)
    {_state, actions} = feed(state, third())
    assert {:write_slots, "shop", %{version: 3, holders: ["N1"]}, 0} in actions
  end

  test "what the store shows after an interruption is not written again" do
    %{"N1" => status} = Machine.statuses(updated(), "shop")
    slots = {:slots, "shop", %{version: 2, holders: []}, 5}
    {state, actions} = reconnected(updated(), [slots, {:status, "N1", "shop", status}])
    assert actions == []
    {state, actions} = reconnected(state, [])
    assert actions == []
    {_state, actions} = feed(state, third())
    assert {:write_slots, "shop", %{version: 3, holders: ["N1"]}, 5} in actions
  end

  @lease {:lease, "shop", "echo"}
  @mine %{holder: "N1", length: 15_000}

  # Connected for long enough, so that nobody can hold a lease that it has not seen.
  defp with_singleton(options) do
    feed(connected(options), [
      {:tick, 20_000},
      {:record, "shop", record(["a"]), 1},
      {:model, Digest.of("model a"), model("a", 4, true)},
      {:objects, "shop", 1, [Digest.of("a")], :here}
    ])
  end

  test "the only member runs a singleton without a lease" do
    {_state, actions} = with_singleton(alone: true)

    assert [{:hold, "shop", "echo", :infinity}, {:apply_share, "shop", 1, %{"echo" => 4}}] =
             Enum.filter(actions, &(elem(&1, 0) in [:hold, :apply_share, :write_lease]))
  end

  test "a singleton runs when its lease is taken, as long as it is renewed" do
    {state, actions} = with_singleton([])
    assert {:write_lease, "shop", "echo", @mine, 0} in actions
    assert for({:apply_share, _, _, _} = it <- actions, do: it) == []

    {state, actions} = feed(state, [{:written, @lease, {:ok, 5}}])
    assert [{:hold, "shop", "echo", 30_000}, {:apply_share, "shop", 1, %{"echo" => 4}}] = actions

    {state, actions} = feed(state, [{:tick, 23_000}])
    assert [{:write_lease, "shop", "echo", @mine, 5}] = actions
    unavailable = Error.new(:unavailable, "the store is away")
    {state, []} = feed(state, [{:written, @lease, {:error, unavailable}}])
    {state, actions} = feed(state, [{:tick, 24_500}])
    assert [{:write_lease, "shop", "echo", @mine, 5}] = actions

    # The answer does not come.
    {state, []} = feed(state, [{:tick, 29_999}])
    {_state, actions} = feed(state, [{:tick, 30_000}])
    assert {:apply_share, "shop", 1, %{}} in actions
  end

  test "a status says which host has the lease" do
    seen = {:lease, "shop", "echo", %{holder: "N2", length: 15_000}, 4, 19_000}
    {state, []} = feed(connected(), [seen])

    {state, actions} =
      feed(state, [
        {:tick, 20_000},
        {:record, "shop", record(["a"]), 5},
        {:model, Digest.of("model a"), model("a", 4, true)},
        {:objects, "shop", 1, [Digest.of("a")], :here},
        {:written, {:status, "shop"}, {:ok, 6}}
      ])

    assert for({kind, _, _, _, _} <- actions, kind == :write_lease, do: kind) == []

    assert %{"N1" => %Status{version: 1, workloads: %{"echo" => echo}}} =
             Machine.statuses(state, "shop")

    assert %{state: :waiting, count: 0, detail: "host N2 has its lease" <> _} = echo
    assert %{holders: %{"echo" => "N2"}} = Machine.snapshot(state, "shop")

    # It is given back.
    {_state, actions} =
      feed(state, [{:lease, "shop", "echo", %{holder: nil, length: 15_000}, 7, 20_100}])

    assert {:write_lease, "shop", "echo", @mine, 7} in actions
  end

  test "a host that stops ends its singletons, and gives their leases back" do
    {state, _actions} = with_singleton([])
    {state, _actions} = feed(state, [{:written, @lease, {:ok, 5}}])
    assert Machine.holds_leases?(state)
    {state, actions} = feed(state, [{:stopping, 21_000}])
    assert {:apply_share, "shop", 1, %{}} in actions
    assert {:write_lease, "shop", "echo", %{holder: nil, length: 15_000}, 5} in actions
    assert Machine.holds_leases?(state)
    {state, actions} = feed(state, [{:written, @lease, {:ok, 6}}, {:tick, 22_000}])
    refute Machine.holds_leases?(state)
    assert for({:write_lease, _, _, _, _} = it <- actions, do: it) == []
  end

  test "slots are read from any text" do
    {:ok, text} = Slots.encode(%{version: 2, holders: ["N1"]})
    assert Slots.decode(text) == {:ok, %{version: 2, holders: ["N1"]}}

    for text <- ["", "[]", "{}", ~s({"version":1,"holders":[1]}), <<255>>],
        do: assert({:error, %Error{}} = Slots.decode(text))
  end
end
