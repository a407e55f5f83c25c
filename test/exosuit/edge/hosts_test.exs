defmodule Exosuit.Edge.HostsTest do
  use ExUnit.Case, async: true
  use Exosuit.HostCase

  alias Exosuit.{Directory, Json}
  alias Exosuit.Edge.{Heartbeat, PeerMonitor}
  alias Exosuit.Lattice.{Bus, Nats, Peers, Store}

  # Where a host shall be missed soon, or heard often.
  @often [heartbeat_interval: 1_000]

  setup do
    %{server: Exosuit.Nats.start!()}
  end

  test "hosts hear of each other, what runs there, and their end", %{server: server} do
    [one, two] = for _ <- 1..2, do: start_host!(server, labels: %{"zone" => "a"})
    start_actor!(two, "echo", "echo")
    two_id = id(two)
    assert eventually(fn -> match?(%{actors: 1}, ask(one, two)) end)
    assert %{providers: 0, labels: %{"zone" => "a"}, friendly_name: name} = peer(one, two_id)
    assert name == Exosuit.inventory(two).friendly_name
    assert [%{host_id: own}, %{host_id: ^two_id}] = Exosuit.hosts(one)
    assert own == id(one)
    assert %{connections: %{control: "connected", rpc: "connected"}} = Exosuit.inventory(one)

    :ok = stop_supervised(two)
    assert eventually(fn -> peer(one, two_id) == nil end)
  end

  test "a host that falls silent is lost, and told once", %{server: server} do
    [one, two] = for _ <- 1..2, do: start_host!(server, nats: options(server, @often))
    two_id = id(two)
    assert eventually(fn -> heartbeat_of?(one, two_id) end)
    :ok = Exosuit.subscribe(one)
    :ok = :sys.suspend(GenServer.whereis(Directory.via(two, Heartbeat)))

    assert_receive {:exosuit_event, %{type: "host_lost", data: %{host_id: ^two_id}}}, 30_000
    assert eventually(fn -> peer(one, two_id) == nil end)
    :ok = :sys.resume(GenServer.whereis(Directory.via(two, Heartbeat)))
    assert eventually(fn -> peer(one, two_id) end)
  end

  test "a host whose tree is killed is lost, too", %{server: server} do
    one = start_host!(server, nats: options(server, @often))
    options = [name: HostsTest.Killed, trusted_issuers: :any, nats: options(server, @often)]
    Process.flag(:trap_exit, true)
    {:ok, pid} = Exosuit.start_link(options)
    two_id = id(HostsTest.Killed)
    assert eventually(fn -> heartbeat_of?(one, two_id) end)
    :ok = Exosuit.subscribe(one)
    Process.exit(pid, :kill)
    assert_receive {:exosuit_event, %{type: "host_lost", data: %{host_id: ^two_id}}}, 30_000
  end

  test "events are told in the words of both generations", %{server: server} do
    host = start_host!(server)
    watcher = watch!(server)
    start_actor!(host, "echo", "echo")
    :ok = Exosuit.put_link(host, source: "echo", target: "kv", contract: "wasmcloud:keyvalue")
    :ok = Exosuit.scale_actor(host, "echo", 65)
    :ok = Exosuit.stop_actor(host, "echo")

    expected = [
      {"wasmbus.evt.default", "actors_started"},
      {"wasmbus.evt.default.component_scaled", "component_scaled"},
      {"wasmbus.evt.default", "linkdef_set"},
      {"wasmbus.evt.default.linkdef_set", "linkdef_set"},
      {"wasmbus.evt.default", "actors_stopped"}
    ]

    told = gather(watcher, expected)
    assert %{"count" => 64} = told[{"wasmbus.evt.default", "actors_started"}]

    assert %{"annotations" => %{}} =
             told[{"wasmbus.evt.default.component_scaled", "component_scaled"}]
  end

  test "whoever asks for heartbeats gets one, and the first says that the host has started", %{
    server: server
  } do
    watcher = watch!(server)
    host = start_host!(server, nats: options(server, heartbeat_interval: 60_000))

    started =
      gather(watcher, [
        {"wasmbus.evt.default", "host_started"},
        beat = {"wasmbus.evt.default", "host_heartbeat"}
      ])

    assert %{"friendly_name" => name, "version" => _} =
             started[{"wasmbus.evt.default", "host_started"}]

    assert %{"friendly_name" => ^name, "uptime_seconds" => _, "heartbeat_interval_ms" => 60_000} =
             started[beat]

    :ok = Exosuit.heartbeat(host)
    assert %{"actors" => %{}} = gather(watcher, [beat])[beat]
  end

  test "an outage ends with how things are, and no storm", %{server: server} do
    host = start_host!(server, nats: options(server, @often))
    :ok = Exosuit.subscribe(host)
    server = Exosuit.Nats.kill(server)
    assert eventually(fn -> Nats.state(lattice(host).handle).control != :connected end)

    for n <- 1..20 do
      start_actor!(host, "echo-#{n}", "echo")
      :ok = Exosuit.stop_actor(host, "echo-#{n}")
    end

    server = Exosuit.Nats.restart!(server)
    watcher = watch!(server)
    beat = {"wasmbus.evt.default", "host_heartbeat"}
    assert %{"actors" => none} = gather(watcher, [beat])[beat]
    assert none == %{}
    assert_receive {:exosuit_event, %{type: "events_dropped", data: %{count: count}}}, 10_000
    assert count >= 40

    # What comes next is not what was lost.
    start_actor!(host, "after", "echo")
    :ok = Bus.publish(watcher.lattice, "wasmbus.evt.default", ~s({"type": "end"}))
    refute "actor_stopped" in until_end(watcher)
  end

  test "a change of the store by hand is told by one host, and one by a host by that alone", %{
    server: server
  } do
    hosts = for _ <- 1..3, do: start_host!(server)
    for one <- hosts, two <- hosts, one != two, do: assert(eventually(fn -> ask(one, two) end))
    for host <- hosts, do: :ok = Exosuit.subscribe(host)
    first = Enum.min_by(hosts, &id/1) |> id()
    {:ok, text} = Json.encode(%{actor_id: "m", provider_id: "v", contract_id: "a:b"})
    :ok = Store.update(lattice(hd(hosts)), :data, "LINKDEF_by-hand", fn nil -> {:put, text} end)

    assert_receive {:exosuit_event, %{type: "linkdef_set", source: ^first, data: %{source: "m"}}},
                   60_000

    last = Enum.max_by(hosts, &id/1)
    :ok = Exosuit.put_link(last, source: "n", target: "v", contract: "a:b")
    assert eventually(fn -> Enum.all?(hosts, &(length(Exosuit.links(&1)) == 2)) end)
    :ok = Store.delete(lattice(hd(hosts)), :data, "LINKDEF_by-hand")
    assert_receive {:exosuit_event, %{type: "linkdef_deleted", source: ^first}}, 60_000

    last = id(last)
    assert_receive {:exosuit_event, %{type: "linkdef_set", source: ^last}}
    refute_received {:exosuit_event, %{type: "linkdef_set"}}
  end

  test "what is at the edge may be killed, one after the other", %{server: server} do
    [one, two] = for _ <- 1..2, do: start_host!(server)
    two_id = id(two)

    for role <- [Heartbeat, PeerMonitor, Exosuit.Edge.EventForwarder] do
      for host <- [one, two] do
        via = Directory.via(host, role)
        kill(GenServer.whereis(via))
        assert eventually(fn -> is_pid(GenServer.whereis(via)) end)
      end

      Peers.forget(Directory.fetch!(one, :instance), two_id)
      assert eventually(fn -> ask(one, two) end)
      name = role |> inspect() |> String.replace(".", "-")
      :ok = Exosuit.put_link(two, source: "a", target: "b", contract: "c:d", name: name)
      assert eventually(fn -> Enum.any?(Exosuit.links(one), &(&1.name == name)) end)
    end
  end

  test "what is no event, and who is nobody, is passed over; of more hosts than that none is kept",
       %{server: server} do
    host = start_host!(server)
    instance = Directory.fetch!(host, :instance)
    beat = &~s({"type": "com.wasmcloud.lattice.host_heartbeat", "source": #{&1}, "data": #{&2}})

    assert eventually(fn ->
             :ok = Bus.publish(instance.lattice, "wasmbus.evt.default", beat.(~s("N0"), "{}"))
             peer(host, "N0")
           end)

    for payload <- [
          "",
          "[]",
          <<255>>,
          beat.("1", "{}"),
          beat.(~s("N1"), "[]"),
          beat.(inspect(String.duplicate("N", 1_000)), "{}"),
          beat.(~s("N2"), ~s({"labels": 1, "version": [], "friendly_name": {}, "actors": 7})),
          beat.(~s("N3"), ~s({"components": [1, 2], "labels": {"a": 1, "b": "c"}}))
        ] do
      :ok = Bus.publish(instance.lattice, "wasmbus.evt.default", payload)
    end

    assert eventually(fn -> peer(host, "N3") end)
    assert %{actors: 2, labels: %{"b" => "c"}} = peer(host, "N3")
    assert %{actors: nil, labels: none, version: nil} = peer(host, "N2")
    assert none == %{}
    assert length(Exosuit.hosts(host)) == 4

    :ok = Exosuit.subscribe(host)

    for n <- 1..Peers.max(),
        do: Peers.hear(instance, "X#{n}", %{}, System.monotonic_time(:millisecond))

    :ok = Bus.publish(instance.lattice, "wasmbus.evt.default", beat.(~s("N4"), "{}"))
    assert_receive {:exosuit_event, %{type: "hosts_ignored"}}, 10_000
    assert peer(host, "N4") == nil
  end

  defp start_host!(server, options \\ []) do
    host = start_supervised_host!(Keyword.merge([nats: options(server)], options))
    assert eventually(fn -> Nats.state(lattice(host).handle).control == :connected end)
    host
  end

  defp options(server, more \\ []), do: Exosuit.Nats.options(server, more)

  # What the one knows of the other, who says it again.
  defp ask(one, two) do
    :ok = Exosuit.heartbeat(two)
    peer(one, id(two))
  end

  defp lattice(host), do: Directory.fetch!(host, :instance).lattice
  defp id(host), do: Directory.fetch!(host, :instance).source
  defp peer(host, id), do: Enum.find(tl(Exosuit.hosts(host)), &(&1.host_id == id))

  # Whether the host has heard more of that one than its start: only heartbeats have their interval, and a host
  # without one counts as lost after the usual 75 s.
  defp heartbeat_of?(host, id),
    do: match?(%{actors: count} when is_integer(count), peer(host, id))

  # One that hears all, in a lattice of its own.
  defp watch!(server) do
    lattice = lattice(start_host!(server, lattice: "elsewhere"))

    subscriptions =
      for subject <- ["wasmbus.evt.default", "wasmbus.evt.default.>"], into: %{} do
        {:ok, subscription} = Bus.subscribe(lattice, subject)
        {subscription.reference, subscription}
      end

    watcher = %{lattice: lattice, subscriptions: subscriptions}

    # What is said from now on by others is heard: the server knows that we listen.
    :ok = Bus.publish(lattice, "wasmbus.evt.default", ~s({"type": "end"}))
    _before = until_end(watcher)
    watcher
  end

  # The first of each that is expected, whatever comes beside.
  defp gather(watcher, expected, found \\ %{}) do
    if Enum.all?(expected, &is_map_key(found, &1)) do
      found
    else
      {subject, event} = next(watcher)
      key = {subject, name(event)}
      found = if key in expected, do: Map.put_new(found, key, event["data"]), else: found
      gather(watcher, expected, found)
    end
  end

  defp until_end(watcher) do
    case next(watcher) do
      {_subject, %{"type" => "end"}} -> []
      {_subject, event} -> [name(event) | until_end(watcher)]
    end
  end

  defp next(watcher) do
    assert_receive {:exosuit_lattice, reference, {subject, nil, payload}}, 20_000
    :ok = Bus.next(watcher.subscriptions[reference])
    {:ok, event} = Json.decode(payload)
    {subject, event}
  end

  defp name(%{"type" => "com.wasmcloud.lattice." <> name}), do: name
  defp name(_other), do: nil
end
