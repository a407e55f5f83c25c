defmodule Exosuit.LinkChangesTest do
  # Changes of links that are refused, late, slow or interrupted: what holds before and after, by
  # inventory, router and answers over real sockets.
  use Exosuit.HostCase, async: true

  alias Exosuit.{Directory, Http, Manifest, Router}
  alias Exosuit.Host.{Deployment, Linking, Links, Reconciler}
  alias Exosuit.Model.Link

  @web Path.expand("../guests/components/web.wasm", __DIR__)
  @http "wasi:http"
  @keyvalue "wasmcloud:keyvalue"

  defmodule Greeter do
    # Refuses, raises or is slow, as the link says, and keeps what it heard of its links.
    use Exosuit.Provider, contract: "test:greeter"

    # The state is whom to tell: the test.
    @impl Exosuit.Provider
    def init(%{"test" => test}), do: {:ok, test |> Base.decode64!() |> :erlang.binary_to_term()}

    @impl Exosuit.Provider
    def put_link(%{values: %{"refuse" => text}}, _state), do: {:error, text}

    def put_link(%{values: %{"wait" => _}} = link, test) do
      send(test, {:heard, :waiting, link.values, self()})
      receive do: (:go -> send(test, {:heard, :put, link.values}))
      {:ok, test}
    end

    def put_link(%{values: %{"raise" => text}} = link, test) do
      send(test, {:heard, :raised, link.values})
      raise text
    end

    def put_link(link, test) do
      send(test, {:heard, :put, link.values})
      {:ok, test}
    end

    @impl Exosuit.Provider
    def delete_link(link, test) do
      send(test, {:heard, :delete, link.values})
      {:ok, test}
    end

    @impl Exosuit.Provider
    def handle_invocation(_operation, _payload, context),
      do: {:ok, context.link.values["greeting"]}
  end

  describe "a refused change" do
    test "of a route leaves inventory, router and answers as they were, whatever step refuses it" do
      it = web!()
      {:ok, _kv} = Exosuit.start_provider(it.host, "keyvalue", id: "kv")
      {:ok, other} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
      {:ok, taken} = :inet.port(other)
      own = "127.0.0.1:#{it.port}"

      refused = [
        # The options of the call.
        {:raises, route(name: 1)},
        {:raises, route(source_config: %{"address" => 1})},
        # The router, by names, and by what the ends are.
        {:invalid_input, route(name: "no name")},
        {:conflict, route(target: "other")},
        {:invalid_link, route(contract: "wasmcloud:messaging")},
        {:invalid_link, [source: "web", target: "kv", contract: @http]},
        # The provider, by its settings, and by what it needs.
        {:invalid_link, route(source_config: %{"address" => "here"})},
        {:invalid_link, route(source_config: %{"address" => own, "timeout_ms" => "soon"})},
        {:invalid_link, route(source_config: %{"address" => own, "routing_mode" => "path"})},
        {:conflict, route(source_config: %{"address" => "127.0.0.1:#{taken}"})},
        {:io, route(source_config: %{"address" => "192.0.2.1:80"})}
      ]

      before = snapshot(it)
      assert {[%{status: :in_force}], _states, _providers, {200, _hello}} = before

      for {reason, fields} <- refused do
        assert refusal(it.host, fields) == reason, inspect(fields)
        assert snapshot(it) == before, inspect(fields)
      end

      # Put again as it was it is no change, and changed for the good it is taken.
      :ok = put(it.host, route(source_config: %{"address" => own}))
      assert snapshot(it) == before
      port = free_port()
      :ok = put(it.host, route(source_config: %{"address" => "127.0.0.1:#{port}"}))
      assert {200, _hello} = Http.request(port, "GET", "/hello")
      assert {:error, :econnrefused} = Http.connect(it.port)
    end

    test "by the claims of the actor changes nothing" do
      host = start_supervised_host!()
      {wasm, _keys} = Guests.sign(tmp_dir!(), "echo", caps: [])
      {:ok, actor} = Exosuit.start_actor(host, wasm)
      {:ok, "kv"} = Exosuit.start_provider(host, "keyvalue", id: "kv")
      before = {at_rest(Exosuit.inventory(host)), states(host)}
      fields = [source: actor, target: "kv", contract: @keyvalue]
      assert {:error, %Error{reason: :missing_claim}} = Exosuit.put_link(host, fields)
      assert {at_rest(Exosuit.inventory(host)), states(host)} == before
    end

    test "by a provider in Elixir leaves the old values, and it hears of them if it fell" do
      host = start_supervised_host!(actors: [caller: "caller"])
      {:ok, "greeter"} = Exosuit.start_provider(host, Greeter, id: "greeter", config: test())
      link = [source: "caller", target: "greeter", contract: "test:greeter"]
      values = &values(link, &1)
      :ok = Exosuit.put_link(host, values.(%{"greeting" => "hello"}))
      assert_receive {:heard, :put, %{"greeting" => "hello"}}
      before = {Exosuit.inventory(host).links, states(host)}

      for change <- [%{"refuse" => "no"}, %{"raise" => "ouch"}] do
        assert {:error, %Error{reason: :provider}} = Exosuit.put_link(host, values.(change))
        assert {Exosuit.inventory(host).links, states(host)} == before
        assert [%Link{target_config: %{"greeting" => "hello"}}] = Exosuit.links(host)
      end

      # The first said that nothing has changed; of the second, nobody knows.
      assert_receive {:heard, :raised, %{"raise" => "ouch"}}
      assert_receive {:heard, :put, %{"greeting" => "hello"}}
      refute_received {:heard, _what, _values}

      new = Keyword.merge(values.(%{"raise" => "ouch"}), name: "new")
      assert {:error, %Error{reason: :provider}} = Exosuit.put_link(host, new)
      assert_receive {:heard, :raised, %{"raise" => "ouch"}}
      assert_receive {:heard, :delete, %{"raise" => "ouch"}}
    end

    test "of a configuration that a link names changes neither" do
      it = web!()
      :ok = Exosuit.put_config(it.host, "place", %{"address" => "127.0.0.1:#{it.port}"})
      :ok = put(it.host, route(source_configs: ["place"]))
      before = snapshot(it)
      bad = %{"address" => "127.0.0.1:#{it.port}", "timeout_ms" => "soon"}
      assert {:error, %Error{reason: :invalid_link}} = Exosuit.put_config(it.host, "place", bad)
      assert snapshot(it) == before
      assert {:ok, %{"address" => _}} = Exosuit.get_config(it.host, "place")
    end
  end

  describe "a link that is refused by its surroundings" do
    test "when its provider starts is tried again until it is taken, and the inventory says so" do
      {:ok, other} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
      {:ok, port} = :inet.port(other)
      host = start_supervised_host!()
      {:ok, "web"} = Exosuit.start_actor(host, @web, id: "web", instances: 8)
      :ok = put(host, route(source_config: %{"address" => "127.0.0.1:#{port}"}))
      assert [%{status: :waiting}] = Exosuit.inventory(host).links

      {:ok, "http"} = Exosuit.start_provider(host, "http-server", id: "http")
      refused = eventually(fn -> refused(host) end)
      assert %{reason: :conflict, retry_in_ms: delay} = refused
      assert delay in 0..60_000
      assert refused.error =~ "address 127.0.0.1:#{port} is in use"
      assert [%{refused_links: [error]}] = Exosuit.inventory(host).providers
      assert error =~ ~r/is in use.*; retry in \d+ s$/

      # Killed, the process of the links knows what it has to do.
      kill(GenServer.whereis(Directory.via(host, Links)))
      :ok = :gen_tcp.close(other)
      assert eventually(fn -> match?({200, _}, answer(port)) end)
      assert eventually(fn -> match?([%{status: :in_force}], Exosuit.inventory(host).links) end)
    end

    test "by its settings is refused for good, until they change" do
      host = start_supervised_host!()
      {:ok, "web"} = Exosuit.start_actor(host, @web, id: "web", instances: 8)
      :ok = put(host, route(source_config: %{"address" => "here"}))
      {:ok, "http"} = Exosuit.start_provider(host, "http-server", id: "http")
      assert %{reason: :invalid_link, retry_in_ms: nil} = eventually(fn -> refused(host) end)

      port = free_port()
      :ok = put(host, route(source_config: %{"address" => "127.0.0.1:#{port}"}))
      assert {200, _hello} = Http.request(port, "GET", "/hello")
      assert [%{status: :in_force, error: nil}] = Exosuit.inventory(host).links
    end

    test "of a manifest stays wanted while the provider runs, with the old one in force" do
      it = web!()
      {:ok, other} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
      {:ok, port} = :inet.port(other)
      instance = Directory.fetch!(it.host, :instance)
      [link] = Exosuit.links(it.host)
      wanted = %{link | source_config: %{"address" => "127.0.0.1:#{port}"}}
      assert {:error, %Error{reason: :conflict}} = Links.put(instance, wanted, :keep)
      assert {200, _hello} = answer(it.port)
      assert %{reason: :conflict} = refused(it.host)
      assert [^link] = Exosuit.links(it.host)

      :ok = :gen_tcp.close(other)
      assert eventually(fn -> match?({200, _}, answer(port)) end)
      assert [^wanted] = Exosuit.links(it.host)
      assert {:error, :econnrefused} = Http.connect(it.port)
    end
  end

  describe "the links of an actor that was stopped" do
    test "are not inherited by other code under its id, unless they are put again or outlive it" do
      host = start_supervised_host!()
      dir = tmp_dir!()
      {:ok, "kv"} = Exosuit.start_provider(host, "keyvalue", id: "kv")
      {one, keys} = Guests.sign(dir, "caller", caps: [@keyvalue])
      {two, _others} = Guests.sign(dir, "caller", caps: [@keyvalue])
      {forged, _keys} = Guests.sign(dir, "caller", caps: [@keyvalue], subject: keys.subject)
      link = [source: "a", target: "kv", contract: @keyvalue]
      status = fn -> for link <- Exosuit.inventory(host).links, do: {link.status, link.reason} end
      start = fn wasm -> {:ok, "a"} = Exosuit.start_actor(host, wasm, id: "a") end

      # It was put by hand before anybody ran.
      :ok = Exosuit.put_link(host, link)
      start.(one)
      assert status.() == [in_force: nil]

      # Other code, also that of another issuer for the same key; and its own again.
      for {wasm, expected} <- [
            {two, [refused: :denied]},
            {forged, [refused: :denied]},
            {Guests.path("caller"), [refused: :denied]},
            {one, [in_force: nil]}
          ] do
        :ok = Exosuit.stop_actor(host, "a")
        eventually(fn -> Exosuit.inventory(host).actors == [] end)
        start.(wasm)
        assert eventually(fn -> status.() == expected end)
        restart_links(host)
        assert eventually(fn -> status.() == expected end)
      end

      :ok = Exosuit.stop_actor(host, "a")
      start.(two)
      assert eventually(fn -> status.() == [refused: :denied] end)
      :ok = Exosuit.put_link(host, link)
      assert eventually(fn -> status.() == [in_force: nil] end)

      :ok = Exosuit.put_link(host, link ++ [outlives: true])
      :ok = Exosuit.stop_actor(host, "a")
      start.(one)
      assert eventually(fn -> status.() == [in_force: nil] end)
    end
  end

  describe "new settings of a link of an actor that was stopped" do
    setup do
      host = start_supervised_host!()
      dir = tmp_dir!()
      {:ok, "kv"} = Exosuit.start_provider(host, "keyvalue", id: "kv")
      {one, _keys} = Guests.sign(dir, "caller", caps: [@keyvalue])
      {two, _keys} = Guests.sign(dir, "caller", caps: [@keyvalue])
      :ok = Exosuit.put_config(host, "db", %{"bucket" => "one"})
      link = [source: "a", target: "kv", contract: @keyvalue, target_configs: ["db"]]
      :ok = Exosuit.put_link(host, link)
      {:ok, "a"} = Exosuit.start_actor(host, one, id: "a")
      :ok = Exosuit.stop_actor(host, "a")
      eventually(fn -> Exosuit.inventory(host).actors == [] end)
      {:ok, "a"} = Exosuit.start_actor(host, two, id: "a")
      assert denied?(host)
      %{host: host, link: link}
    end

    test "do not free it, whoever has them: a configuration, or what hosts share", it do
      :ok = Exosuit.put_config(it.host, "db", %{"bucket" => "two"})
      assert [%{target_config: %{"bucket" => "two"}} = held] = Exosuit.links(it.host)
      assert denied?(it.host)

      instance = Directory.fetch!(it.host, :instance)
      other = %{held | target_config: %{"bucket" => "three"}, interfaces: ["key-value"]}
      more = %{held | target: "b", interfaces: ["other"]}
      assert %{put: [_, _]} = replace(instance, [other, more])
      assert denied?(it.host)
      assert %{put: [], deleted: [^more]} = replace(instance, [other])
      assert [^other] = Exosuit.links(it.host)
      assert denied?(it.host)

      :ok = Exosuit.put_link(it.host, it.link)
      assert [%{status: :in_force}] = Exosuit.inventory(it.host).links
    end
  end

  describe "a refused change of a manifest" do
    test "ends when the manifest is applied as it was before" do
      it = web!()
      instance = Directory.fetch!(it.host, :instance)
      {:ok, other} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
      {:ok, port} = :inet.port(other)
      [link] = Exosuit.links(it.host)
      link = %{link | app: "shop"}
      moved = %{link | source_config: %{"address" => "127.0.0.1:#{port}"}}
      assert [{{:link, ^link}, :ok}] = deploy(instance, [link])
      assert [{{:link, ^moved}, {:error, %Error{reason: :conflict}}}] = deploy(instance, [moved])
      assert [^moved] = Links.refused(instance)

      assert [{{:link, ^link}, :ok}] = deploy(instance, [link])
      assert Links.refused(instance) == []
      assert Exosuit.links(it.host) == [link]
      assert deploy(instance, [link]) == []
      :ok = :gen_tcp.close(other)
    end
  end

  describe "a new configuration" do
    test "is what the link has in the end, however many are put at a time" do
      host = start_supervised_host!()
      put = &Exosuit.put_config(host, "c", %{"value" => "#{&1}"})
      :ok = put.(0)
      :ok = put(host, source: "a", target: "b", contract: "c:d", target_configs: ["c"])

      for round <- 1..50 do
        1..4 |> Enum.map(&Task.async(fn -> put.(round * &1) end)) |> Task.await_many()
        assert [%{target_config: values}] = Exosuit.links(host)
        assert {:ok, values} == Exosuit.get_config(host, "c")
      end
    end

    test "is tried for a link that was refused with the one before" do
      it = web!()
      {:ok, other} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
      {:ok, taken} = :inet.port(other)
      instance = Directory.fetch!(it.host, :instance)
      place = &Exosuit.put_config(it.host, "place", %{"address" => "127.0.0.1:#{&1}"})
      :ok = place.(taken)
      [link] = Exosuit.links(it.host)
      address = %{"address" => "127.0.0.1:#{taken}"}
      wanted = %{link | source_configs: ["place"], source_config: address}
      assert {:error, %Error{reason: :conflict}} = Linking.put(instance, wanted, :keep)

      port = free_port()
      :ok = place.(port)
      assert Links.refused(instance) == []
      assert {200, _hello} = Http.request(port, "GET", "/hello")
      :ok = :gen_tcp.close(other)
    end
  end

  describe "slow clients" do
    test "hold up no deletion, no other change, and no restart of a provider" do
      it = web!()
      slow = for _ <- 1..3, do: slow_client(it.port)
      started = System.monotonic_time(:millisecond)
      key = Keyword.take(route([]), [:source, :contract, :name])

      :ok = Exosuit.delete_link(it.host, key)
      assert {:error, :econnrefused} = Http.connect(it.port)
      :ok = Exosuit.put_link(it.host, source: "a", target: "b", contract: "c:d")
      :ok = put(it.host, route(source_config: %{"address" => "127.0.0.1:#{it.port}"}))
      slow = slow ++ for _ <- 1..3, do: slow_client(it.port)

      kill(Exosuit.whereis(it.host, "http"))
      assert eventually(fn -> match?({200, _}, answer(it.port)) end)
      assert System.monotonic_time(:millisecond) - started < 10_000
      Enum.each(slow, &:gen_tcp.close/1)
    end
  end

  describe "a slow provider" do
    setup do
      host = start_supervised_host!(actors: [caller: "caller"])
      {:ok, "greeter"} = Exosuit.start_provider(host, Greeter, id: "greeter", config: test())
      link = [source: "caller", target: "greeter", contract: "test:greeter"]
      %{host: host, instance: Directory.fetch!(host, :instance), link: link}
    end

    test "holds up no change of other links, and inventory and table are there meanwhile", it do
      slow = Task.async(fn -> Exosuit.put_link(it.host, values(it.link, %{"wait" => "1"})) end)
      assert_receive {:heard, :waiting, _values, provider}, 10_000

      for n <- 1..20 do
        fields = [source: "a#{n}", target: "b", contract: "c:d"]
        :ok = Exosuit.put_link(it.host, fields)
        :ok = Exosuit.delete_link(it.host, Keyword.take(fields, [:source, :contract]))
      end

      assert Exosuit.inventory(it.host).links == []
      assert Task.yield(slow, 0) == nil
      send(provider, :go)
      assert Task.await(slow) == :ok
      assert [%{status: :in_force}] = Exosuit.inventory(it.host).links
    end

    test "of a link delays what is noted of others of its key, and loses none of it", it do
      refusing = it.link |> values(%{"refuse" => "no"}) |> Keyword.put(:target, "late")
      :ok = Exosuit.put_link(it.host, refusing ++ [interfaces: ["late"]])
      waiting = values(it.link, %{"wait" => "1"}) ++ [interfaces: ["greeter"]]
      slow = Task.async(fn -> Exosuit.put_link(it.host, waiting) end)
      assert_receive {:heard, :waiting, _values, provider}, 10_000
      {:ok, "late"} = Exosuit.start_provider(it.host, Greeter, id: "late", config: test())
      # It has looked at all that was not being changed.
      :sys.get_state(process(it.host, Links))
      assert Links.refused(it.instance) == []
      send(provider, :go)
      assert Task.await(slow) == :ok
      assert [%{target: "late"}] = eventually(fn -> some(Links.refused(it.instance)) end)
    end

    test "that started while nobody heard of it has its refusals noted", it do
      refusing = it.link |> values(%{"refuse" => "no"}) |> Keyword.put(:target, "late")
      :ok = Exosuit.put_link(it.host, refusing ++ [interfaces: ["late"]])
      waiting = it.link |> values(%{"wait" => "1"}) |> Keyword.put(:target, "late")
      :ok = Exosuit.put_link(it.host, waiting ++ [interfaces: ["greeter"]])
      config = test()
      start = fn -> Exosuit.start_provider(it.host, Greeter, id: "late", config: config) end
      starting = Task.Supervisor.async_nolink(start_supervised!(Task.Supervisor), start)
      assert_receive {:heard, :waiting, _values, provider}, 10_000
      reconciler = process(it.host, Reconciler)
      :ok = :sys.suspend(reconciler)
      send(provider, :go)
      assert eventually(fn -> Exosuit.whereis(it.host, "late") end)
      kill(reconciler)
      assert {:exit, _killed} = Task.yield(starting, 10_000)
      assert [%{target: "late"}] = eventually(fn -> some(Links.refused(it.instance)) end)
    end

    test "that answers after the link was deleted is told to let go of it", it do
      slow = Task.async(fn -> Exosuit.put_link(it.host, values(it.link, %{"wait" => "1"})) end)
      assert_receive {:heard, :waiting, _values, provider}, 10_000
      {:ok, asked} = Router.ask_delete(it.instance.router, {"caller", "test:greeter", "default"})
      send(provider, :go)
      assert {:error, %Error{reason: :dropped}} = Task.await(slow)
      assert_receive {^asked, {:ok, _count}}, 10_000
      assert_receive {:heard, :put, %{"wait" => "1"}}
      assert_receive {:heard, :delete, %{"wait" => "1"}}, 10_000
      assert states(it.host) == %{} and Exosuit.links(it.host) == []
    end

    test "that answers after a change was given up has its old values again", it do
      :ok = Exosuit.put_link(it.host, values(it.link, %{"greeting" => "hello"}))
      assert_receive {:heard, :put, %{"greeting" => "hello"}}
      slow = Task.async(fn -> Exosuit.put_link(it.host, values(it.link, %{"wait" => "1"})) end)
      assert_receive {:heard, :waiting, _values, provider}, 10_000
      send(provider, :go)
      assert Task.await(slow) == :ok
      assert_receive {:heard, :put, %{"wait" => "1"}}
      # As the data plane tells it when its time is up: once or twice, it is undone once.
      keeper = Exosuit.whereis(it.host, "greeter")
      %{previous: previous} = :sys.get_state(keeper)
      [{_key, {number, _before}}] = Map.to_list(previous)
      send(keeper, {:exosuit_link_undo, number})
      assert_receive {:heard, :put, %{"greeting" => "hello"}}
      send(keeper, {:exosuit_link_undo, number})
      assert %{links: links} = :sys.get_state(keeper)
      assert [%{values: %{"greeting" => "hello"}}] = Map.values(links)
      refute_received {:heard, _what, _values}
    end
  end

  describe "after random kills under load" do
    test "the tables of the control plane and of the router agree" do
      it = web!()
      {:ok, _kv} = Exosuit.start_provider(it.host, "keyvalue", id: "kv")
      seed = {1, 2, System.unique_integer([:positive])}
      parent = self()

      writers =
        for n <- 1..4 do
          spawn_link(fn ->
            :rand.seed(:exsss, put_elem(seed, 0, n))
            write(it.host, 250)
            send(parent, {:written, n})
          end)
        end

      for _ <- 1..12 do
        role = Enum.random([Links, Links, Exosuit.Host.Reconciler, :http, :kv])
        pid = eventually(fn -> process(it.host, role) end)
        kill(pid)
        eventually(fn -> process(it.host, role) not in [nil, pid] end)
      end

      for {_pid, n} <- Enum.zip(writers, 1..4), do: assert_receive({:written, ^n}, 60_000)
      assert eventually(fn -> agree?(it.host) end), "seed #{inspect(seed)}"
    end

    test "what was put and never written down is deleted by the next process of the links" do
      it = web!()
      instance = Directory.fetch!(it.host, :instance)
      ghost = %Link{source: "ghost", target: "kv", namespace: "wasmcloud", package: "keyvalue"}
      {:ok, asked} = Router.ask_put(instance.router, ghost)
      assert_receive {^asked, {:ok, _}}, 10_000
      refute agree?(it.host)

      # It is known by nobody, and deleted all the same.
      :ok = Exosuit.delete_link(it.host, source: "ghost", contract: @keyvalue)
      assert agree?(it.host)

      {:ok, asked} = Router.ask_put(instance.router, ghost)
      assert_receive {^asked, {:ok, _}}, 10_000
      kill(GenServer.whereis(Directory.via(it.host, Links)))
      assert eventually(fn -> agree?(it.host) end)
      assert {:error, %Error{reason: :not_found}} = delete(it.host, "ghost")
    end
  end

  defp write(host, count) do
    for _ <- 1..count do
      source = "a#{:rand.uniform(8)}"
      fields = [source: source, target: "kv", contract: @keyvalue]

      # The process that is asked may be killed before it answers.
      try do
        case :rand.uniform(4) do
          1 -> delete(host, source)
          2 -> Exosuit.put_link(host, fields ++ [target_config: %{"bucket" => "no bucket"}])
          n -> Exosuit.put_link(host, fields ++ [target_config: %{"bucket" => "b#{n}"}])
        end
      catch
        :exit, _reason -> :killed
      end
    end
  end

  defp denied?(host) do
    states = for link <- Exosuit.inventory(host).links, link.target == "kv", do: link
    match?([%{status: :refused, reason: :denied}], states)
  end

  defp replace(config, [link | _] = links) do
    reference = Links.replace(config, Link.key(link), links)
    assert_receive {:exosuit_links, ^reference, report}, 10_000
    report
  end

  defp deploy(config, links) do
    fields = [name: "shop", specifications: [], workloads: [], links: links]

    options = %{
      former: [],
      keep_links?: false,
      alone?: false,
      provisional: [],
      allow_issuer_change?: false
    }

    {:ok, outcomes} = Deployment.apply(config, struct!(Manifest, fields), options)
    outcomes
  end

  defp some([]), do: nil
  defp some(list), do: list

  # With it restart those below it, the last of them the reconciler.
  defp restart_links(host) do
    reconciler = process(host, Exosuit.Host.Reconciler)
    kill(process(host, Links))
    eventually(fn -> process(host, Exosuit.Host.Reconciler) not in [nil, reconciler] end)
  end

  defp delete(host, source), do: Exosuit.delete_link(host, source: source, contract: @keyvalue)

  defp process(host, role) when role in [:http, :kv], do: Exosuit.whereis(host, "#{role}")
  defp process(host, role), do: GenServer.whereis(Directory.via(host, role))

  defp agree?(host) do
    id = &{Link.key(&1), &1.target, &1.interfaces}
    states = states(host)
    # Settings that were put while their provider was down are refused when it is back.
    refused = host |> Directory.fetch!(:instance) |> Links.refused() |> Enum.map(id)

    Enum.sort(Enum.map(Exosuit.links(host), id)) == Enum.sort(Map.keys(states)) and
      Enum.all?(states, fn {id, state} -> state in [:in_force, :waiting] or id in refused end)
  end

  # How a provider finds its test.
  defp test, do: %{"test" => Base.encode64(:erlang.term_to_binary(self()))}

  defp values(link, values), do: Keyword.put(link, :target_config, values)

  # A component behind an HTTP server.
  defp web!(options \\ []) do
    host = start_supervised_host!(options)
    port = free_port()
    {:ok, "web"} = Exosuit.start_actor(host, @web, id: "web", instances: 8)
    {:ok, "http"} = Exosuit.start_provider(host, "http-server", id: "http")
    :ok = put(host, route(source_config: %{"address" => "127.0.0.1:#{port}"}))
    %{host: host, port: port}
  end

  defp route(fields) do
    route = [source: "http", target: "web", contract: @http, name: "default"]
    Keyword.merge(route ++ [interfaces: ["incoming-handler"]], fields)
  end

  defp put(host, fields), do: Exosuit.put_link(host, fields)

  defp refusal(host, fields) do
    {:error, %Error{reason: reason}} = put(host, fields)
    reason
  rescue
    ArgumentError -> :raises
  end

  defp refused(host), do: Enum.find(Exosuit.inventory(host).links, &(&1.status == :refused))

  defp snapshot(%{host: host, port: port}) do
    %{links: links, providers: providers} = at_rest(Exosuit.inventory(host))
    {links, states(host), providers, Http.request(port, "GET", "/hello")}
  end

  defp states(host), do: Router.link_states(Directory.fetch!(host, :instance).router)

  # Without what changes by itself.
  defp at_rest(%{providers: providers} = inventory) do
    inventory = Map.drop(inventory, [:uptime_seconds, :uptime_human])
    %{inventory | providers: Enum.map(providers, &Map.delete(&1, :health))}
  end

  defp answer(port) do
    case Http.connect(port) do
      {:ok, socket} -> Http.exchange(socket, "GET", "/hello")
      {:error, _not_open} -> nil
    end
  end

  # One that begins a request and never ends it.
  defp slow_client(port) do
    {:ok, socket} = Http.connect(port)
    head = "POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\n"
    :ok = :gen_tcp.send(socket, head)
    # Its header was read: the next connection has been answered.
    assert {200, _hello} = answer(port)
    socket
  end
end
