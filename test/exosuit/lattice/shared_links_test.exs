defmodule Exosuit.Lattice.SharedLinksTest do
  use ExUnit.Case, async: true
  use Exosuit.HostCase

  alias Exosuit.{Directory, Json}
  alias Exosuit.Host.Replica
  alias Exosuit.Lattice.{Bus, Nats, Records, Store}
  alias Exosuit.Model.Link

  defmodule Slow do
    # Takes a link when the test says so.
    use Exosuit.Provider, contract: "test:slow"

    @impl Exosuit.Provider
    def init(%{"test" => test}), do: {:ok, test |> Base.decode64!() |> :erlang.binary_to_term()}

    @impl Exosuit.Provider
    def put_link(_link, test) do
      send(test, {:asked, self()})
      receive do: (:go -> {:ok, test})
    end

    @impl Exosuit.Provider
    def handle_invocation(_operation, payload, _context), do: {:ok, payload}
  end

  @web Path.expand("../../guests/components/web.wasm", __DIR__)
  @contract "wasmcloud:keyvalue"
  @old [source: "a", target: "kv", contract: "wasmcloud:keyvalue", target_config: %{"k" => "v"}]
  @new [
    source: "a",
    target: "kv",
    contract: "wasi:keyvalue",
    interfaces: ["store"],
    source_config: %{"from" => "here"}
  ]

  setup do
    server = Exosuit.Nats.start!()
    [one, two] = for _ <- 1..2, do: start_host!(server)
    %{server: server, one: one, two: two, lattice: lattice(one)}
  end

  test "a link made on one host is on the other, where each era can read it, and goes from both",
       it do
    :ok = Exosuit.subscribe(it.one)
    :ok = Exosuit.put_link(it.one, @old)
    :ok = Exosuit.put_link(it.one, @new)
    assert same_links?(it)

    assert [%Link{target_config: %{"k" => "v"}}, %Link{source_config: %{"from" => "here"}}] =
             sorted_links(it.one)

    {definition, "COMPONENT_a"} = Records.places({"a", "wasmcloud:keyvalue", "default"})
    assert {:ok, %{"provider_id" => "kv", "values" => %{"k" => "v"}}} = fetch(it, definition)

    assert {:ok, %{"links" => [%{"target" => "kv", "source_config" => [name]}]}} =
             fetch(it, "COMPONENT_a")

    assert {:ok, %{"from" => "here"}} = Exosuit.get_config(it.two, name)

    :ok = Exosuit.delete_link(it.two, Keyword.take(@old, [:source, :contract]))
    :ok = Exosuit.delete_link(it.two, Keyword.take(@new, [:source, :contract]))
    assert Exosuit.links(it.two) == []
    assert eventually(fn -> Exosuit.links(it.one) == [] end)
    assert {:error, %Error{reason: :not_found}} = Exosuit.get_config(it.one, name)

    for _ <- 1..2 do
      assert_receive {:exosuit_event, %{type: "linkdef_set", data: %{source: "a"} = data}}
      refute is_map_key(data, :target_config)
    end

    refute_received {:exosuit_event, %{type: "linkdef_set"}}
    refute_received {:exosuit_event, %{type: "linkdef_deleted"}}
  end

  test "what two hosts write at the same time is all there", it do
    put = fn host, n -> Exosuit.put_link(host, [name: "link-#{n}"] ++ @new) end
    hosts = [it.one, it.two]

    results =
      for(n <- 1..40, do: Task.async(fn -> put.(Enum.at(hosts, rem(n, 2)), n) end))
      |> Task.await_many(60_000)

    assert Enum.uniq(results) == [:ok]
    assert same_links?(it)
    assert length(Exosuit.links(it.one)) == 40
  end

  test "one link that two hosts write at the same time is one of the two, and whole", it do
    put = fn {host, value} ->
      Exosuit.put_link(host, Keyword.put(@new, :source_config, %{"v" => value}))
    end

    writers = for n <- 1..30, do: {Enum.at([it.one, it.two], rem(n, 2)), "#{rem(n, 3)}"}
    results = writers |> Enum.map(&Task.async(fn -> put.(&1) end)) |> Task.await_many(60_000)
    assert Enum.uniq(results) == [:ok]
    # Both may have the same for a moment, on the way of the other to what was written last.
    assert value = eventually(fn -> agreed(it) end)
    assert value in ["0", "1", "2"]
  end

  test "a link that changes its kind stands in one place", it do
    whole = Keyword.drop(@new, [:interfaces, :source_config])
    :ok = Exosuit.put_link(it.one, whole)
    {definition, component} = Records.places({"a", "wasi:keyvalue", "default"})
    :ok = Exosuit.put_link(it.two, @new)
    assert {:ok, nil} = Store.get(it.lattice, :data, definition)
    assert same_links?(it)
    assert [%Link{interfaces: ["store"]}] = Exosuit.links(it.one)

    :ok = Exosuit.put_link(it.one, whole)
    assert {:ok, %{"links" => []}} = fetch(it, component)
    assert same_links?(it)
    assert [%Link{interfaces: []}] = Exosuit.links(it.one)

    other = Keyword.put(@new, :target, "other")
    assert {:error, %Error{reason: :conflict}} = Exosuit.put_link(it.two, other)
    assert [%Link{target: "kv"}] = Exosuit.links(it.one)
  end

  test "what a router refuses is made nowhere", it do
    {:ok, "keyvalue"} = Exosuit.start_provider(it.one, "keyvalue")
    :ok = Exosuit.put_link(it.one, Keyword.put(@new, :target, "keyvalue"))
    wrong = [source: "a", target: "keyvalue", contract: "wasi:http"]
    assert {:error, %Error{reason: :invalid_link}} = Exosuit.put_link(it.one, wrong)
    {definition, _component} = Records.places({"a", "wasi:http", "default"})
    assert {:ok, nil} = Store.get(it.lattice, :data, definition)
    assert same_links?(it)
    assert [%Link{package: "keyvalue"}] = Exosuit.links(it.two)
  end

  test "a change that a host refuses is written for nobody, and takes no other host's port", it do
    webs = for _ <- 1..2, do: web!(it.server, [8_001])
    [%{host: one}, %{host: two}] = webs
    :ok = Exosuit.put_link(one, route(%{}))
    assert eventually(fn -> Enum.all?(webs, &hello?/1) end)
    before = Enum.map(webs, &routes/1)

    for bad <- [%{"timeout_ms" => "soon"}, %{"address" => "here"}, %{"routing_mode" => "path"}] do
      assert {:error, %Error{reason: :invalid_link}} = Exosuit.put_link(two, route(bad))
      assert Enum.map(webs, &routes/1) == before
      assert Enum.all?(webs, &hello?/1)
    end

    # Where it cannot be written, it is not made here either.
    Exosuit.Nats.kill(it.server)
    change = route(%{"timeout_ms" => "1000"})

    assert eventually(fn ->
             match?({:error, %Error{reason: :unavailable}}, Exosuit.put_link(two, change))
           end)

    assert Enum.map(webs, &routes/1) == before
    assert Enum.all?(webs, &hello?/1)
  end

  test "a host that cannot take a change keeps the link that it had, says so, and tries again",
       it do
    [one, two] = webs = for _ <- 1..2, do: web!(it.server, [8_001, 8_002])
    :ok = Exosuit.put_link(one.host, route(%{}))
    assert eventually(fn -> Enum.all?(webs, &hello?/1) end)
    :ok = Exosuit.subscribe(two.host)

    # The other port is free for the host that writes, and taken for the other.
    {:ok, other} = :gen_tcp.listen(two.ports[8_002], ip: {127, 0, 0, 1})
    :ok = Exosuit.put_link(one.host, route(%{"address" => "127.0.0.1:8002"}))
    assert eventually(fn -> hello?(one, 8_002) end)
    assert_receive {:exosuit_event, %{type: "linkdef_set_failed", data: %{error: error}}}, 10_000
    assert error =~ "is in use"
    assert hello?(two, 8_001)

    assert [%{status: :refused, reason: :conflict, retry_in_ms: delay}] =
             Exosuit.inventory(two.host).links

    assert delay in 0..60_000
    assert [%Link{source_config: %{"address" => "127.0.0.1:8001"}}] = Exosuit.links(two.host)

    :ok = :gen_tcp.close(other)
    assert eventually(fn -> hello?(two, 8_002) end)
    assert eventually(fn -> match?([%{status: :in_force}], Exosuit.inventory(two.host).links) end)
    assert Exosuit.links(one.host) == Exosuit.links(two.host)
  end

  test "what others write is taken as it is, and what is no record is told and passed over", it do
    :ok = Exosuit.subscribe(it.two)
    write(it, :data, "LINKDEF_by-hand", %{actor_id: "m", provider_id: "v", contract_id: "a:b"})
    assert eventually(fn -> match?([%Link{source: "m"}], Exosuit.links(it.one)) end)

    write(it, :data, "LINKDEF_by-hand", %{actor_id: "m", provider_id: "w", contract_id: "a:b"})
    assert eventually(fn -> match?([%Link{target: "w"}], Exosuit.links(it.two)) end)

    :ok = Store.update(it.lattice, :data, "COMPONENT_b", fn nil -> {:put, "not JSON"} end)

    assert_receive {:exosuit_event, %{type: "record_refused", data: %{key: "COMPONENT_b"}}},
                   10_000

    write(it, :data, "COMPONENT_c", %{links: [%{source_id: "c"}, component_link("c")]})
    assert eventually(fn -> Enum.any?(Exosuit.links(it.one), &(&1.source == "c")) end)

    :ok = Exosuit.delete_link(it.two, source: "m", contract: "a:b")
    assert {:ok, nil} = Store.get(it.lattice, :data, "LINKDEF_by-hand")
  end

  test "named configurations reach the links that name them, and change with them", it do
    :ok = Exosuit.subscribe(it.two)
    link = Keyword.drop(@new, [:source_config]) ++ [target_configs: ["base", "more"]]
    :ok = Exosuit.put_config(it.one, "base", %{"a" => "1", "b" => "1"})
    :ok = Exosuit.put_link(it.one, link)
    assert Exosuit.links(it.one) == []
    assert_receive {:exosuit_event, %{type: "linkdef_set_failed", data: %{error: error}}}, 10_000
    assert error =~ "more"

    :ok = Exosuit.put_config(it.two, "more", %{"b" => "2"})
    assert_receive {:exosuit_event, %{type: "config_set", data: %{config_name: "more"}}}
    assert eventually(fn -> target_config(it.one) == %{"a" => "1", "b" => "2"} end)
    assert [%Link{target_configs: ["base", "more"]}] = Exosuit.links(it.two)

    :ok = Exosuit.put_config(it.one, "base", %{"a" => "3"})
    assert target_config(it.one) == %{"a" => "3", "b" => "2"}
    assert eventually(fn -> target_config(it.two) == %{"a" => "3", "b" => "2"} end)

    :ok = Exosuit.delete_config(it.two, "more")
    assert_receive {:exosuit_event, %{type: "config_deleted", data: %{config_name: "more"}}}
    assert eventually(fn -> Exosuit.links(it.one) == [] end)
    assert {:error, %Error{reason: :invalid_input}} = Exosuit.put_config(it.one, "a b", %{})
    assert {:error, %Error{reason: :not_found}} = Exosuit.get_config(it.one, "more")
  end

  test "a link waits for its configuration, says so, and is bound to the same code when it is back",
       it do
    {:ok, "kv"} =
      Exosuit.start_provider(it.one, "keyvalue", id: "kv", config: %{"backend" => "memory"})

    dir = tmp_dir!()
    [first, second] = for _ <- 1..2, do: elem(Guests.sign(dir, "caller", caps: [@contract]), 0)
    link = [source: "a", target: "kv", contract: @contract, target_configs: ["db"]]
    put_config = fn -> Exosuit.put_config(it.one, "db", %{"bucket" => "one"}) end
    start = fn code -> {:ok, "a"} = Exosuit.start_actor(it.one, code, id: "a") end

    stop = fn ->
      :ok = Exosuit.stop_actor(it.one, "a")
      eventually(fn -> Exosuit.inventory(it.one).actors == [] end)
    end

    :ok = put_config.()
    :ok = Exosuit.put_link(it.one, link)
    start.(first)
    assert eventually(fn -> states(it.one) == [{:in_force, nil}] end)

    # Stopped before it is deleted, or meanwhile; with other processes of the host in between.
    for stops_before? <- [true, false], falls? <- [true, false] do
      if stops_before?, do: stop.()
      :ok = Exosuit.delete_config(it.two, "db")
      assert eventually(fn -> states(it.one) == [{:refused, :not_found}] end)
      assert [%{error: error, retry_in_ms: nil}] = Exosuit.inventory(it.one).links
      assert error =~ ~s(there is no configuration "db")
      assert Exosuit.links(it.one) == []
      unless stops_before?, do: stop.()
      if falls?, do: restart_links(it.one)
      start.(second)
      assert states(it.one) == [{:refused, :not_found}]
      :ok = put_config.()
      assert eventually(fn -> states(it.one) == [{:refused, :denied}] end)
      stop.()
      start.(first)
      assert eventually(fn -> states(it.one) == [{:in_force, nil}] end)
    end

    stop.()
    start.(second)
    :ok = Exosuit.delete_config(it.two, "db")
    assert eventually(fn -> states(it.one) == [{:refused, :not_found}] end)
    :ok = Exosuit.put_link(it.one, link)
    :ok = put_config.()
    assert eventually(fn -> states(it.one) == [{:in_force, nil}] end)
  end

  test "what is asked for before there is a connection waits for the first attempt, and no more",
       it do
    :ok = Exosuit.put_link(start_supervised_host!(nats: Exosuit.Nats.options(it.server)), @old)
    assert same_links?(it)

    nowhere = start_supervised_host!(nats: [servers: ["nats://127.0.0.1:#{free_port()}"]])
    assert {:error, %Error{reason: :unavailable}} = Exosuit.put_link(nowhere, @old)
    assert {:error, %Error{reason: :unavailable}} = Exosuit.put_config(nowhere, "a", %{})
  end

  test "without a connection nothing changes; afterwards all is as it became meanwhile", it do
    :ok = Exosuit.put_link(it.one, @old)
    :ok = Exosuit.put_link(it.one, @new)
    assert same_links?(it)
    server = Exosuit.Nats.kill(it.server)

    assert eventually(fn ->
             match?({:error, %Error{reason: :unavailable}}, Exosuit.put_link(it.one, other(1)))
           end)

    delete = &Exosuit.delete_link(it.two, Keyword.take(&1, [:source, :contract]))
    assert eventually(fn -> match?({:error, %Error{reason: :unavailable}}, delete.(@old)) end)
    assert {:error, %Error{reason: :unavailable}} = Exosuit.put_config(it.two, "a", %{})
    assert [_, _] = Exosuit.links(it.one)

    # Elsewhere, the store goes on without these hosts.
    elsewhere = Exosuit.Nats.restart!(%{server | port: free_port()})
    third = start_host!(elsewhere)
    :ok = Exosuit.delete_link(third, Keyword.take(@old, [:source, :contract]))
    :ok = Exosuit.put_link(third, other(2))
    Exosuit.Nats.restart!(%{Exosuit.Nats.kill(elsewhere) | port: server.port})

    for host <- [it.one, it.two] do
      assert eventually(fn ->
               Enum.sort(for link <- Exosuit.links(host), do: link.namespace) == ["other", "wasi"]
             end)
    end
  end

  test "a provider that is slow to take a link holds up none of what others write", it do
    test = Base.encode64(:erlang.term_to_binary(self()))
    {:ok, "slow"} = Exosuit.start_provider(it.two, Slow, id: "slow", config: %{"test" => test})
    :ok = Exosuit.put_link(it.one, source: "a", target: "slow", contract: "test:slow")
    assert_receive {:asked, provider}, 10_000

    for n <- 1..5, do: :ok = Exosuit.put_link(it.one, other(n))
    assert eventually(fn -> length(Exosuit.links(it.two)) == 5 end)
    :ok = Exosuit.put_link(it.two, other(6))
    assert length(Exosuit.links(it.two)) == 6

    send(provider, :go)
    assert same_links?(it)
    assert length(Exosuit.links(it.two)) == 7
  end

  test "a write whose outcome nobody heard of is the same for the servers and all hosts", it do
    :ok = Exosuit.put_link(it.one, @old)
    assert same_links?(it)
    signal = fn name -> {_, 0} = System.cmd("kill", ["-#{name}", "#{it.server.os_pid}"]) end

    # It answers nobody, and reads later what it was sent meanwhile.
    signal.("STOP")
    assert eventually(fn -> stopped?(it.server.os_pid) end)
    assert {:error, %Error{}} = Exosuit.put_link(it.one, @new)
    signal.("CONT")

    assert eventually(fn -> Exosuit.put_link(it.two, other(1)) == :ok end)
    assert same_links?(it)
    assert Enum.any?(Exosuit.links(it.one), &(&1.source == "o1"))

    written? =
      case fetch(it, "COMPONENT_a") do
        {:ok, %{"links" => [_new]}} -> true
        _nothing -> false
      end

    assert eventually(fn ->
             Enum.any?(
               Exosuit.links(it.one),
               &(&1.package == "keyvalue" and &1.namespace == "wasi")
             ) == written?
           end)

    assert same_links?(it)
  end

  test "a bucket that is lost is filled again with what is known", it do
    :ok = Exosuit.put_link(it.one, @old)
    :ok = Exosuit.put_link(it.one, @new)
    assert same_links?(it)
    for host <- [it.one, it.two], do: :ok = Exosuit.subscribe(host)

    for bucket <- ["LATTICEDATA_default", "CONFIGDATA_default"] do
      subject = "$JS.API.STREAM.DELETE.KV_#{bucket}"
      assert {:ok, _answer} = Bus.request(it.lattice, subject, "", 10_000)
    end

    # A consumer that is gone is noticed when its heartbeats stay away; by the second host, too late to
    # see that anything is missing.
    for bucket <- [:data, :configurations] do
      assert_receive {:exosuit_event, %{type: "lattice_state_lost", data: %{bucket: ^bucket}}},
                     60_000
    end

    assert eventually(fn -> match?({:ok, %{"links" => [_]}}, fetch(it, "COMPONENT_a")) end)
    :ok = Exosuit.put_link(it.two, other(1))
    assert eventually(fn -> length(Exosuit.links(it.one)) == 3 end)
    assert same_links?(it)

    third = start_host!(it.server)
    assert eventually(fn -> length(Exosuit.links(third)) == 3 end)
  end

  test "the replica may be killed, and takes up what happened meanwhile", it do
    :ok = Exosuit.put_link(it.one, @old)
    assert same_links?(it)
    via = Directory.via(it.two, Replica)
    pid = GenServer.whereis(via)
    :ok = :sys.suspend(pid)
    :ok = Exosuit.put_link(it.one, @new)
    :ok = Exosuit.delete_link(it.one, Keyword.take(@old, [:source, :contract]))
    assert [%Link{namespace: "wasmcloud"}] = Exosuit.links(it.two)
    kill(pid)
    assert same_links?(it)
    assert [%Link{namespace: "wasi"}] = Exosuit.links(it.two)

    for role <- [Exosuit.Host.Links, Directory] do
      kill(GenServer.whereis(Directory.via(it.two, role)))
      assert eventually(fn -> is_pid(GenServer.whereis(via)) end)

      :ok =
        Exosuit.put_link(
          it.one,
          Keyword.put(@old, :name, inspect(role) |> String.replace(".", "-"))
        )

      assert same_links?(it)
    end
  end

  test "a manifest's links are its application's, on the host that it was applied to", it do
    instance = Directory.fetch!(it.one, :instance)

    link = %Link{
      source: "a",
      target: "b",
      namespace: "c",
      package: "d",
      app: "app",
      target_config: %{"x" => "y"}
    }

    :ok = Exosuit.Host.Linking.put(instance, %{link | interfaces: ["e"]})
    assert [%Link{app: "app", target_configs: []}] = Exosuit.links(it.one)
    assert same_links?(it)
    assert [%Link{app: nil}] = Exosuit.links(it.two)
    kill(GenServer.whereis(Directory.via(it.one, Replica)))
    :ok = Exosuit.put_link(it.two, other(1))
    assert same_links?(it)
    assert Enum.any?(Exosuit.links(it.one), &(&1.app == "app"))
  end

  defp start_host!(server) do
    host = start_supervised_host!(nats: Exosuit.Nats.options(server))
    assert eventually(fn -> Nats.state(lattice(host).handle).control == :connected end)
    host
  end

  # A component behind an HTTP server, which listens on a port of its own where links say these.
  defp web!(server, said) do
    ports = Map.new(said, &{&1, free_port()})
    nats = Exosuit.Nats.options(server)
    host = start_supervised_host!(nats: nats, http_ports: ports)
    assert eventually(fn -> Nats.state(lattice(host).handle).control == :connected end)
    {:ok, "web"} = Exosuit.start_actor(host, @web, id: "web", instances: 8)
    {:ok, "http"} = Exosuit.start_provider(host, "http-server", id: "http")
    %{host: host, ports: ports}
  end

  defp route(config) do
    [
      source: "http",
      target: "web",
      contract: "wasi:http",
      interfaces: ["incoming-handler"],
      source_config: Map.merge(%{"address" => "127.0.0.1:8001"}, config)
    ]
  end

  defp routes(%{host: host}) do
    states = Exosuit.Router.link_states(Directory.fetch!(host, :instance).router)
    {Exosuit.links(host), Exosuit.inventory(host).links, states}
  end

  defp hello?(web, said \\ 8_001) do
    match?({200, _hello}, Exosuit.Http.request(web.ports[said], "GET", "/hello"))
  end

  # The value of the one link, where both hosts have what the record and its configuration say.
  defp agreed(it) do
    with {:ok, %{"links" => [%{"source_config" => [name]}]}} <- fetch(it, "COMPONENT_a"),
         {:ok, %{"v" => value}} <- Exosuit.get_config(it.two, name),
         [%Link{source_config: %{"v" => ^value}}] <- Exosuit.links(it.one),
         [%Link{source_config: %{"v" => ^value}}] <- Exosuit.links(it.two),
         do: value,
         else: (_on_its_way -> nil)
  end

  defp states(host),
    do: for(link <- Exosuit.inventory(host).links, do: {link.status, link.reason})

  # With it, those below restart, the last of them the replica.
  defp restart_links(host) do
    replica = GenServer.whereis(Directory.via(host, Replica))
    kill(GenServer.whereis(Directory.via(host, Exosuit.Host.Links)))
    eventually(fn -> GenServer.whereis(Directory.via(host, Replica)) not in [nil, replica] end)
    eventually(fn -> states(host) == [{:refused, :not_found}] end)
  end

  defp lattice(host), do: Directory.fetch!(host, :instance).lattice

  defp other(n), do: [source: "o#{n}", target: "t", contract: "other:one"]

  defp component_link(source) do
    %{source_id: source, target: "t", wit_namespace: "a", wit_package: "b", interfaces: ["c"]}
  end

  defp target_config(host) do
    with [%Link{target_config: values}] <- Exosuit.links(host), do: values
  end

  defp write(it, bucket, key, value) do
    {:ok, text} = Json.encode(value)
    :ok = Store.update(it.lattice, bucket, key, fn _old -> {:put, text} end)
  end

  defp fetch(it, key) do
    with {:ok, value} when value != nil <- Store.get(it.lattice, :data, key),
         do: Json.decode(value)
  end

  defp same_links?(it) do
    eventually(fn ->
      [] != Exosuit.links(it.one) and sorted_links(it.one) == sorted_links(it.two)
    end)
  end

  # Whose application they are is nobody else's.
  defp sorted_links(host) do
    host
    |> Exosuit.links()
    |> Enum.map(&%{&1 | app: nil})
    |> Enum.sort_by(&{Link.key(&1), &1.interfaces}, :desc)
  end

  # Each thread of a process stops when it next runs.
  defp stopped?(os_pid) do
    for stat <- Path.wildcard("/proc/#{os_pid}/task/*/stat"), reduce: true do
      stopped? -> stopped? and File.read!(stat) =~ ") T "
    end
  end
end
