defmodule Exosuit.Lattice.BoundsTest do
  # One who writes to the bus and to the store whatever they like: a host keeps what it needs, within
  # bounds of bytes, and says what it does not keep.
  use Exosuit.HostCase, async: true

  alias Exosuit.{Directory, Json}
  alias Exosuit.Edge.PeerMonitor
  alias Exosuit.Host.Replica
  alias Exosuit.Lattice.{Bus, Known, Mirror, Nats, Peers, Records, Store}
  alias Exosuit.Model.Link
  alias Exosuit.Protocol.{Events, Otp}

  @mebibyte String.duplicate("x", 1_048_576)

  describe "the table of other hosts" do
    setup do
      %{instance: %{tables: %{peers: Peers.table()}, source: "N"}}
    end

    test "takes no more bytes than that, and hosts that it has are heard on", %{
      instance: instance
    } do
      labels = for n <- 1..14, into: %{}, do: {"label-#{n}", String.duplicate("x", 1_000)}
      hear = &Peers.hear(instance, "N#{&1}", Events.heartbeat(%{"labels" => labels}), &2)
      full = Enum.find(1..Peers.max(), &(hear.(&1, 1) == :full))
      assert full > 2_000
      assert Peers.bytes(instance) <= Peers.max_bytes()
      assert Peers.get(instance, "N#{full}") == nil

      # And some more that say little, until there is no room for a label.
      assert Enum.find(1..1_000, &(Peers.hear(instance, "M#{&1}", %{}, 1) == :full))
      more = Map.put(labels, "another", String.duplicate("y", 1_000))
      assert Peers.hear(instance, "N1", Events.heartbeat(%{"labels" => more}), 2) == :full
      assert %{seen: 2, labels: ^labels} = Peers.get(instance, "N1")
      assert Peers.hear(instance, "N2", Events.heartbeat(%{"labels" => %{}}), 2) == :ok

      for %{host_id: id} <- Peers.list(instance), do: Peers.forget(instance, id)
      assert Peers.bytes(instance) == 0 and Peers.list(instance) == []
    end

    test "takes no labels of a host that has too many bytes of them", %{instance: instance} do
      labels = for n <- 1..60, into: %{}, do: {"label-#{n}", String.duplicate("x", 1_000)}

      assert Peers.hear(
               instance,
               "N1",
               Events.heartbeat(%{"labels" => labels, "version" => "1"}),
               1
             ) == :ok

      assert %{labels: none, version: "1"} = Peers.get(instance, "N1")
      assert none == %{}
    end
  end

  describe "the table of claims" do
    setup do
      %{instance: %{tables: %{known: Known.table()}}}
    end

    test "takes no more bytes than that, and what is needed first", %{instance: instance} do
      nobody = fn _claims -> false end
      put = &Known.put(instance, claims("N#{&1}"), nobody)
      full = Enum.find(1..10_000, &(put.(&1) == :full))
      assert full > 500
      assert Known.bytes(instance) <= Known.max_bytes()

      needed? = &(&1.subject in ["needed", "N1"])
      assert {:ok, [gone]} = Known.put(instance, claims("needed"), needed?)
      assert Known.get(instance, "needed") && Known.get(instance, gone) == nil
      assert Known.put(instance, claims("other"), needed?) == :full
      assert Known.bytes(instance) <= Known.max_bytes()

      for %{subject: key} <- Known.list(instance), do: Known.delete(instance, key)
      assert Known.bytes(instance) == 0
    end
  end

  describe "the mirror of what is shared" do
    test "takes no more bytes than that, and what the host needs first" do
      needed? = fn links -> Enum.any?(links, &(&1.source == "mine")) end
      tell = fn mirror, n, source -> tell(mirror, "COMPONENT_#{n}", source, needed?) end

      {mirror, dropped} =
        Enum.reduce(1..40, {%Mirror{}, 0}, fn n, {mirror, dropped} ->
          mirror = tell.(mirror, n, "other-#{n}")
          {{count, _last}, mirror} = Mirror.dropped(mirror)
          {mirror, dropped + count}
        end)

      assert dropped > 10 and mirror.bytes <= Mirror.max_bytes()
      assert Mirror.holders(mirror, {"other-1", "a:b", "default"}) == ["COMPONENT_1"]

      # What the host needs, and what it has written itself.
      mirror = tell.(mirror, "mine", "mine")
      assert Mirror.holders(mirror, {"mine", "a:b", "default"}) == ["COMPONENT_mine"]
      change = links("COMPONENT_written", "written")
      {mirror, _keys} = Mirror.write(mirror, change, 1, needed?)
      assert Mirror.holders(mirror, {"written", "a:b", "default"}) == ["COMPONENT_written"]
      assert {{2, "COMPONENT_" <> _}, mirror} = Mirror.dropped(mirror)
      assert mirror.bytes <= Mirror.max_bytes()

      mirror =
        Enum.reduce(Map.keys(mirror.records), mirror, fn key, mirror ->
          mirror |> Mirror.tell({:deleted, key}) |> elem(0)
        end)

      assert mirror == %Mirror{}
    end

    test "keeps the configurations that links name" do
      link = %{link("a") | target_configs: ["needed"]}
      {mirror, _keys} = Mirror.tell(%Mirror{}, {:links, "COMPONENT_a", 1, "value", [link]})
      value = %{"key" => @mebibyte}

      mirror =
        Enum.reduce(1..70, mirror, fn n, mirror ->
          mirror |> Mirror.tell({:configuration, "other-#{n}", value}) |> elem(0)
        end)

      assert {{count, _last}, mirror} = Mirror.dropped(mirror)
      assert count > 5 and mirror.bytes <= Mirror.max_bytes()
      {mirror, [_key]} = Mirror.tell(mirror, {:configuration, "needed", value})
      assert {[%{target_config: ^value}], []} = Mirror.wanted(mirror, Link.key(link))
    end
  end

  describe "in a lattice whose messages are short" do
    setup do
      conf = Path.join(tmp_dir!(), "nats.conf")
      File.write!(conf, "max_payload: 16384")
      server = Exosuit.Nats.start!(["-c", conf])
      options = Exosuit.Nats.options(server, heartbeat_interval: 1_000)
      [one, two] = for _ <- 1..2, do: start_supervised_host!(nats: options)
      for host <- [one, two], do: await_connected(host)
      %{one: one, two: two}
    end

    test "a host with many actors is not lost, and its inventories are shortened", it do
      :ok = Exosuit.subscribe(it.one)
      :ok = Exosuit.subscribe(it.two)
      for n <- 1..150, do: start_actor!(it.two, String.duplicate("a", 200) <> "-#{n}", "echo")
      id = id(it.two)
      assert_receive {:exosuit_event, %{type: "heartbeat_shortened", data: %{count: _}}}, 30_000

      # What is heard of it now is said by shortened ones.
      assert eventually(fn -> match?(%{actors: 150}, peer(it.one, id)) end)
      refute_received {:exosuit_event, %{type: "host_lost"}}

      lattice = lattice(it.one)
      {:ok, otp} = Bus.request(lattice, "wasmbus.ctl.default.get.#{id}.inv", "", 10_000)

      assert {:ok, %{"shortened" => true, "actors_count" => 150, "actors" => [_ | _]}} =
               Json.decode(otp)

      {:ok, v1} = Bus.request(lattice, "wasmbus.ctl.v1.default.host.get.#{id}", "", 10_000)
      assert {:ok, %{"success" => true, "response" => response}} = Json.decode(v1)
      assert %{"shortened" => true, "components_count" => 150, "components" => [_ | _]} = response
    end
  end

  describe "numbers and texts at the end of what there is" do
    setup do
      server = Exosuit.Nats.start!()
      host = start_supervised_host!(nats: Exosuit.Nats.options(server))
      await_connected(host)
      %{host: host}
    end

    test "are heard and read, and nothing crashes", %{host: host} do
      instance = Directory.fetch!(host, :instance)

      roles =
        for role <- [PeerMonitor, Replica],
            do: {role, GenServer.whereis(Directory.via(host, role))}

      fields = ~w(labels friendly_name version uptime_seconds actors components providers mac
        heartbeat_interval_ms actors_count components_count providers_count shortened)

      for field <- fields, extreme <- extremes(), type <- ~w(host_heartbeat host_started) do
        publish(instance, type, "NX", %{field => extreme})
      end

      for extreme <- extremes() do
        publish(instance, "host_heartbeat", extreme, %{})
        publish(instance, extreme, "NX", %{})
        publish(instance, "host_heartbeat", "NX", extreme)

        link =
          Map.new(
            ~w(source_id wit_namespace wit_package name actor_id contract_id link_name),
            &{&1, extreme}
          )

        for type <- ~w(linkdef_set linkdef_deleted), do: publish(instance, type, "NX", link)
      end

      for {key, value} <- records(),
          do: :ok = Store.update(instance.lattice, :data, key, fn _ -> {:put, value} end)

      publish(instance, "host_heartbeat", "NLAST", %{})
      assert eventually(fn -> peer(host, "NLAST") end)
      :ok = Exosuit.put_link(host, source: "last", target: "kv", contract: "a:b")
      for {role, pid} <- roles, do: assert(GenServer.whereis(Directory.via(host, role)) == pid)
    end

    test "are no claims, links and configurations that they could not be" do
      for {key, value} <- records() do
        case key do
          "CLAIMS_" <> key ->
            with {:ok, claims} <- Otp.Claims.decode(key, value),
                 do: assert(claims.revision in 0..0x7FFF_FFFF_FFFF_FFFF)

          key ->
            Records.read_links(key, value)
        end

        Records.read_configuration(value)
      end
    end
  end

  # As JSON has them: 2^64 and what is more are floats there, and what is no UTF-8 is no JSON.
  defp extremes do
    [
      0,
      1,
      -1,
      2 ** 31,
      2 ** 32,
      2 ** 53,
      2 ** 63 - 1,
      2 ** 63,
      2 ** 64 - 1,
      -(2 ** 63),
      1.0e308,
      -0.5,
      "",
      "0",
      "-1"
    ] ++
      [
        "99999999999999999999",
        String.duplicate("9", 5_000),
        String.duplicate("é", 50_000),
        "\u0000",
        nil,
        true
      ] ++
      [[], [1], List.duplicate(%{}, 1_000), %{}, %{"" => ""}, %{"a" => %{"b" => []}}]
  end

  defp records do
    key = "M" <> String.duplicate("A", 55)
    claims = ~w(call_alias iss name caps rev revision tags version sub contract_id)
    link = ~w(actor_id provider_id link_name contract_id values)

    component =
      ~w(links url source_id target name wit_namespace wit_package interfaces source_config target_config)

    bare =
      for extreme <- extremes(),
          {:ok, value} = Json.encode(extreme),
          place <- ["CLAIMS_" <> key, "LINKDEF_X", "COMPONENT_x"],
          do: {place, value}

    by_field =
      for {place, fields} <- [
            {"CLAIMS_" <> key, claims},
            {"LINKDEF_X", link},
            {"COMPONENT_x", component}
          ],
          field <- fields,
          extreme <- extremes(),
          {:ok, value} =
            Json.encode(%{field => extreme, "links" => [%{"source_id" => "x", field => extreme}]}),
          do: {place, value}

    bare ++
      by_field ++
      [
        {"CLAIMS_" <> key, <<255, 254>>},
        {"LINKDEF_X", "{\"a\":1e999999}"},
        {"COMPONENT_x", String.duplicate("[", 10_000)}
      ]
  end

  defp publish(instance, type, source, data) do
    type = if is_binary(type), do: "com.wasmcloud.lattice." <> type, else: type
    {:ok, text} = Json.encode(%{type: type, source: source, data: data})
    :ok = Bus.publish(instance.lattice, "wasmbus.evt.default", text)
  end

  defp claims(key) do
    %{
      subject: key,
      name: nil,
      call_alias: nil,
      tags: [String.duplicate("x", 60_000)],
      capabilities: []
    }
  end

  defp tell(mirror, key, source, needed?) do
    {mirror, _keys} = Mirror.tell(mirror, links(key, source), needed?)
    mirror
  end

  defp links(key, source), do: {:links, key, 1, @mebibyte, [link(source)]}
  defp link(source), do: %Link{source: source, target: "kv", namespace: "a", package: "b"}

  defp await_connected(host) do
    assert eventually(fn -> match?(%{control: :connected}, Nats.state(lattice(host).handle)) end)
  end

  defp lattice(host), do: Directory.fetch!(host, :instance).lattice
  defp id(host), do: Directory.fetch!(host, :instance).source
  defp peer(host, id), do: Enum.find(tl(Exosuit.hosts(host)), &(&1.host_id == id))
end
