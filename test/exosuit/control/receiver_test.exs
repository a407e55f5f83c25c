defmodule Exosuit.Control.ReceiverTest do
  # The control interface as those meet it who send what they like.
  use Exosuit.HostCase, async: true

  alias Exosuit.Control.Receiver
  alias Exosuit.{Directory, Json, Nats}
  alias Exosuit.Lattice.Bus

  setup do
    host = start_supervised_host!(nats: Nats.options(Nats.start!(), prefix: "a.b.ctl"))
    %{lattice: lattice, source: id} = Directory.fetch!(host, :instance)
    it = %{host: host, lattice: lattice, id: id}
    eventually(fn -> match?({:ok, _}, ask(it, "a.b.ctl.default.get.#{id}.inv", "")) end)
    it
  end

  defp ask(it, subject, payload) do
    with {:ok, reply} <- Bus.request(it.lattice, subject, payload, 30_000), do: Json.decode(reply)
  end

  defp command(it, verb), do: "a.b.ctl.default.cmd.#{it.id}.#{verb}"

  test "garbage is refused, each in the words of its generation, and the next is served", it do
    bodies = [
      "no json",
      "[]",
      "7",
      "null",
      <<255, 254>>,
      String.duplicate("[", 100_000),
      ~s({"actor_ref":) <> String.duplicate(~s({"a":), 500) <> "1" <> String.duplicate("}", 501),
      ~s({"actor_ref":1,"component_id":[],"key":{}}),
      ~s({"actor_ref":"#{String.duplicate("x", 1_000_000)}"})
    ]

    for body <- bodies do
      assert {:ok, %{"accepted" => false, "error" => error}} = ask(it, command(it, "la"), body)
      assert error != "" and byte_size(error) < 1_000

      for subject <- ["component.scale.#{it.id}", "link.put", "label.put.#{it.id}"] do
        assert {:ok, %{"success" => false, "message" => message}} =
                 ask(it, "a.b.ctl.v1.default." <> subject, body)

        assert message != "" and byte_size(message) < 1_000
      end
    end

    assert {:ok, %{"host_id" => _}} = ask(it, "a.b.ctl.default.get.#{it.id}.inv", "")
  end

  test "subjects that nobody knows are refused, and auctions of nothing are silent", it do
    assert {:ok, %{"error" => "Invalid request topic"}} = ask(it, command(it, "fly"), "{}")

    assert {:ok, %{"success" => false, "message" => "unsupported subject" <> _}} =
             ask(it, "a.b.ctl.v1.default.component.fly.#{it.id}", "{}")

    for body <- ["", "[]", ~s({"actor_ref":7})] do
      assert {:ok, []} = Bus.gather(it.lattice, "a.b.ctl.default.auction.actor", body, 200, 1)
    end
  end

  test "what nobody waits for is done as well", it do
    :ok = Exosuit.subscribe(it.host)
    body = ~s({"key":"zone","value":"b"})
    :ok = Bus.publish(it.lattice, "a.b.ctl.v1.default.label.put.#{it.id}", body)
    assert_receive {:exosuit_event, %{type: "labels_changed"}}, 10_000
    assert %{"zone" => "b"} = Exosuit.facts(it.host).labels
  end

  test "two hosts answer once where the state is shared, and both where it is their own", it do
    %{config: %{nats: nats}} = Directory.fetch!(it.host, :instance)
    options = [servers: nats.control.servers, prefix: "a.b.ctl"]
    other = start_supervised_host!(nats: options)

    eventually(fn ->
      {:ok, pings} = Bus.gather(it.lattice, "a.b.ctl.default.ping.hosts", "", 3_000, 2)
      length(pings) == 2
    end)

    {:ok, [_one]} = Bus.gather(it.lattice, "a.b.ctl.default.get.links", "", 3_000, 2)
    {:ok, [_one]} = Bus.gather(it.lattice, "a.b.ctl.v1.default.claims.get", "", 3_000, 2)
    {:ok, [_one]} = Bus.gather(it.lattice, "a.b.ctl.v1.default.config.get.x", "", 3_000, 2)
    assert Directory.fetch!(other, :instance).source != it.id
  end

  test "what is about the same thing is done in the order in which it came", it do
    inbox = "order.inbox"
    {:ok, answers} = Bus.subscribe(it.lattice, inbox)
    receiver = GenServer.whereis(Directory.via(it.host, Receiver))
    {reference, _v1} = v1_subscription(receiver)
    subject = "a.b.ctl.v1.default.label.put.#{it.id}"

    for n <- 1..100 do
      body = ~s({"key":"k","value":"#{n}"})
      send(receiver, {:exosuit_lattice, reference, {subject, inbox, body}})
    end

    assert Enum.all?(collect(answers, 100), & &1["success"])
    assert Exosuit.facts(it.host).labels["k"] == "100"
  end

  test "a flood is answered to the last, if with refusals, and nothing piles up", it do
    count = 2_000
    inbox = "flood.inbox"
    {:ok, answers} = Bus.subscribe(it.lattice, inbox)
    receiver = GenServer.whereis(Directory.via(it.host, Receiver))
    {reference, _v1} = v1_subscription(receiver)
    one_by_one = "a.b.ctl.v1.default.label.put.#{it.id}"
    all_at_once = "a.b.ctl.v1.default.host.ping"

    # As the bus brings it, but faster.
    for n <- 1..count do
      subject = if rem(n, 2) == 0, do: one_by_one, else: all_at_once
      body = ~s({"key":"k","value":"#{n}"})
      send(receiver, {:exosuit_lattice, reference, {subject, inbox, body}})
    end

    replies = collect(answers, count)
    assert Enum.all?(replies, &match?(%{"success" => _, "message" => _}, &1))
    assert Enum.any?(replies, & &1["success"])
    assert eventually(fn -> state(receiver).running == %{} end)
    assert state(receiver).lanes == Exosuit.Control.Lanes.new(Receiver.max_commands())
  end

  describe "an acknowledged command" do
    setup do
      server = Nats.start!()
      host = start_supervised_host!(nats: Nats.options(server), allow_file_load: true)
      instance = Directory.fetch!(host, :instance)
      prefix = "wasmbus.ctl.v1.default"
      it = %{host: host, instance: instance, lattice: instance.lattice, prefix: prefix}
      eventually(fn -> match?({:ok, _}, ask(it, "#{prefix}.host.get.#{instance.source}", "")) end)
      # Another of the lattice, who hears what is told.
      watcher = start_supervised_host!(nats: Nats.options(server))
      lattice = Directory.fetch!(watcher, :instance).lattice
      {:ok, told} = Bus.subscribe(lattice, "wasmbus.evt.default.*")
      eventually(fn -> Bus.connected?(lattice) end)
      # Its server has the subscription, as what is sent later is answered.
      {:ok, _} = Bus.request(lattice, "#{prefix}.host.get.#{instance.source}", "", 10_000)
      Map.put(it, :told, told)
    end

    for {verb, body, failed} <- [
          {"component.scale", %{component_id: "a", count: 2}, "component_scale_failed"},
          {"provider.start", %{provider_id: "a"}, "provider_start_failed"}
        ] do
      test "whose task is killed is told as failed: #{verb}", it do
        reconciler = suspend_reconciler(it)
        accept(it, unquote(verb), unquote(Macro.escape(body)))
        [task] = eventually(fn -> tasks(it, 1) end)
        await_call(reconciler)
        kill(task)
        assert %{"error" => error} = hear(it.told, unquote(failed))
        assert error =~ "the command crashed"
        :ok = :sys.resume(reconciler)
      end
    end

    test "that waits while the host begins to stop is told as failed, and what comes then is refused",
         it do
      reconciler = suspend_reconciler(it)
      scale = %{component_id: "a", count: 2}
      accept(it, "component.scale", scale)
      accept(it, "component.scale", %{scale | count: 3})
      [task] = eventually(fn -> tasks(it, 1) end)
      await_call(reconciler)
      :ok = Exosuit.Settings.stop(it.instance)

      assert {:ok, %{"success" => false, "message" => message}} =
               command(it, "component.scale", scale)

      assert message =~ "the host is stopping"

      kill(task)
      assert %{"max_instances" => 2, "error" => first} = hear(it.told, "component_scale_failed")
      assert first =~ "the command crashed"
      assert %{"max_instances" => 3, "error" => second} = hear(it.told, "component_scale_failed")
      assert second =~ "the host is stopping"
      :ok = :sys.resume(reconciler)
    end

    test "that has not finished when the host stops is told as failed", it do
      start_actor!(it.host, "a", "echo")
      reconciler = suspend_reconciler(it)
      accept(it, "component.scale", %{component_id: "a", count: 2})
      accept(it, "component.update", %{component_id: "a", new_component_ref: file("echo")})
      accept(it, "component.scale", %{component_id: "b", count: 1})
      await_call(reconciler)
      whole = it.host |> Directory.via(:host) |> GenServer.whereis() |> Process.monitor()
      :ok = Exosuit.stop(it.host)

      failures = for _ <- 1..3, do: hear(it.told, "component_scale_failed")
      assert Enum.sort(for it <- failures, do: it["component_id"]) == ["a", "a", "b"]
      assert Enum.all?(failures, &(&1["error"] =~ "the host stopped before"))
      kill(reconciler)
      assert_receive {:DOWN, ^whole, :process, _host, _reason}, 30_000
    end
  end

  defp suspend_reconciler(it) do
    reconciler = GenServer.whereis(Directory.via(it.host, Exosuit.Host.Reconciler))
    :ok = :sys.suspend(reconciler)
    reconciler
  end

  defp await_call(pid) do
    eventually(fn -> Process.info(pid, :message_queue_len) != {:message_queue_len, 0} end)
  end

  defp accept(it, verb, body) do
    assert {:ok, %{"success" => true}} = command(it, verb, body)
  end

  defp command(it, verb, body) do
    references = %{
      "component.scale" => %{component_ref: file("echo")},
      "provider.start" => %{provider_ref: "wasmcloud+builtin://keyvalue"}
    }

    {:ok, body} = body |> Map.merge(Map.get(references, verb, %{})) |> Json.encode()
    ask(it, "#{it.prefix}.#{verb}.#{it.instance.source}", body)
  end

  defp file(guest), do: "file://" <> Guests.path(guest)

  defp tasks(it, count) do
    tasks = Task.Supervisor.children(Directory.via(it.host, :wire_commands))
    if length(tasks) == count, do: tasks
  end

  defp hear(%{reference: reference} = told, name) do
    assert_receive {:exosuit_lattice, ^reference, {_subject, _reply_to, payload}}, 30_000
    :ok = Bus.next(told)
    {:ok, event} = Json.decode(payload)
    if event["type"] =~ ~r/\.#{name}$/, do: event["data"], else: hear(told, name)
  end

  defp v1_subscription(receiver) do
    Enum.find(state(receiver).subscriptions, fn {_reference, {protocol, _prefix, _it}} ->
      protocol == Exosuit.Protocol.V1
    end)
  end

  defp state(receiver), do: :sys.get_state(receiver)

  defp collect(_answers, 0), do: []

  defp collect(%{reference: reference} = answers, left) do
    assert_receive {:exosuit_lattice, ^reference, {_subject, _reply_to, payload}}, 30_000
    :ok = Bus.next(answers)
    {:ok, reply} = Json.decode(payload)
    [reply | collect(answers, left - 1)]
  end
end
