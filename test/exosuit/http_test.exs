defmodule Exosuit.HttpTest do
  # The counter example, as it is signed in examples/: HTTP in, key-value out, over real sockets.
  use Exosuit.HostCase, async: true

  alias Exosuit.Http

  @counter Path.expand("../../examples/counter/counter_s.wasm", __DIR__)
  @http "wasmcloud:httpserver"
  @keyvalue "wasmcloud:keyvalue"

  test "a signed actor answers HTTP and keeps its counter" do
    %{port: port} = counter!()

    assert {200, ~s({"counter":1})} = Http.request(port, "GET", "/a")
    assert {200, ~s({"counter":2})} = Http.request(port, "GET", "/a")
    assert {200, ~s({"counter":1})} = Http.request(port, "GET", "/b")
  end

  test "a counter in a file outlives its host" do
    dir = tmp_dir!()
    %{port: port, host: host} = counter!(data_dir: dir)
    assert {200, ~s({"counter":1})} = Http.request(port, "GET", "/a")
    stop_supervised!(host)

    %{port: port} = counter!(data_dir: dir)
    assert {200, ~s({"counter":2})} = Http.request(port, "GET", "/a")
  end

  test "two hundred connections at once are answered, each count once" do
    %{port: port} = counter!(instances: 200)

    counts =
      1..200
      |> Enum.map(fn _ -> Task.async(fn -> Http.request(port, "GET", "/a") end) end)
      |> Task.await_many(60_000)
      |> Enum.map(fn {200, body} -> count(body) end)

    assert Enum.sort(counts) == Enum.to_list(1..200)
  end

  test "a connection is kept for the next request" do
    %{port: port} = counter!()
    {:ok, socket} = Http.connect(port)
    for n <- 1..5, do: assert({200, ~s({"counter":#{n}})} == Http.exchange(socket, "GET", "/a"))
  end

  test "killing the actor under HTTP load costs only what is in flight" do
    %{port: port, host: host, actor: actor} = counter!(instances: 8)
    parent = self()
    callers = for _ <- 1..4, do: spawn_link(fn -> count_on(port, parent, []) end)

    # At once, then after one second and after two: requests wait for as long.
    for _ <- 1..3 do
      pid = eventually(fn -> Exosuit.whereis(host, actor) end)
      kill(pid)
      eventually(fn -> Exosuit.whereis(host, actor) not in [nil, pid] end)
    end

    Enum.each(callers, &send(&1, :stop))
    answers = for caller <- callers, do: receive(do: ({^caller, answers} -> answers))
    {good, failed} = answers |> List.flatten() |> Enum.split_with(&match?({200, _}, &1))

    counts = for {200, body} <- good, do: count(body)
    assert counts == Enum.uniq(counts)
    assert length(failed) <= 3 * 4
    assert Enum.all?(failed, fn {status, _body} -> status == 503 end)
    assert {200, _} = Http.request(port, "GET", "/a")
  end

  for role <- [:providers, Exosuit.Host.Links] do
    test "killing #{inspect(role)} closes and opens the listener" do
      %{port: port, host: host} = counter!()
      assert {200, _body} = Http.request(port, "GET", "/a")
      kill(GenServer.whereis(Exosuit.Directory.via(host, unquote(role))))
      assert eventually(fn -> match?({200, _body}, Http.request(port, "GET", "/a")) end)
    end
  end

  test "a link that was written down, and not put in force when its writer was killed, is put again" do
    %{port: port, host: host, actor: actor} = counter!()
    %{router: router} = Exosuit.Directory.fetch!(host, :instance)
    {:ok, asked} = Exosuit.Router.ask_delete(router, {actor, @keyvalue, "default"})
    assert_receive {^asked, {:ok, 1}}, 10_000
    assert {502, _body} = Http.request(port, "GET", "/a")
    kill(GenServer.whereis(Exosuit.Directory.via(host, Exosuit.Host.Links)))
    assert eventually(fn -> match?({200, _body}, Http.request(port, "GET", "/a")) end)
  end

  test "a killed provider process closes and opens the listener, and the store" do
    %{port: port, host: host} = counter!(data_dir: tmp_dir!())
    assert {200, ~s({"counter":1})} = Http.request(port, "GET", "/a")

    for id <- ["http", "kv"], _ <- 1..3 do
      pid = eventually(fn -> Exosuit.whereis(host, id) end)
      kill(pid)
      eventually(fn -> Exosuit.whereis(host, id) not in [nil, pid] end)
    end

    assert eventually(fn -> match?({200, _body}, Http.request(port, "GET", "/z")) end)
    assert {200, ~s({"counter":2})} = Http.request(port, "GET", "/a")
  end

  test "a host that stops answers what it has taken, and then closes the port" do
    %{port: port, host: host} = counter!(instances: 8)
    callers = for _ <- 1..8, do: Task.async(fn -> until_closed(port, []) end)
    eventually(fn -> match?({200, _body}, Http.request(port, "GET", "/b")) end)
    stop_supervised!(host)

    for answers <- Task.await_many(callers, 30_000) do
      assert Enum.all?(answers, &match?({200, _body}, &1))
    end

    assert {:error, :econnrefused} = Http.connect(port)
  end

  describe "what is refused" do
    test "a module with one byte changed does not start, and the port answers 503" do
      tampered = Path.join(tmp_dir!(), "tampered.wasm")
      bytes = File.read!(@counter)
      at = div(byte_size(bytes), 2)
      <<head::binary-size(at), byte, rest::binary>> = bytes
      File.write!(tampered, [head, Bitwise.bxor(byte, 1), rest])

      %{host: host, outcomes: outcomes, port: port} = applied!(tampered)

      assert [
               {{:start, {:actor, "app-counter"}},
                {:error, %Error{reason: :invalid_claims} = error}}
             ] = Enum.reject(outcomes, &match?({_step, :ok}, &1))

      assert Exception.message(error) =~ "hash"
      assert_receive {:exosuit_event, %{type: "actor_start_failed", data: %{error: text}}}
      assert text =~ "hash"
      assert {503, body} = Http.request(port, "GET", "/a")
      refute body =~ "hash"
      assert %{actors: [%{status: :failed}]} = Exosuit.inventory(host)
    end

    test "without the claim for key-value the call is refused with its reason, and the status is 502" do
      %{port: port} = applied!(resigned!([@http]))

      assert_receive {:exosuit_event,
                      %{type: "linkdef_set_failed", data: %{reason: :missing_claim, error: text}}}

      assert text =~ @keyvalue
      assert {502, body} = Http.request(port, "GET", "/a")
      refute body =~ "claim"

      assert_receive {:exosuit_event,
                      %{type: "invocation_failed", data: %{reason: :missing_claim, error: text}}}

      assert text =~ "missing capability claim for #{@keyvalue}"
    end

    test "without the claim for HTTP no request reaches the actor" do
      %{port: port} = applied!(resigned!([@keyvalue]))
      assert {502, _body} = Http.request(port, "GET", "/a")

      assert_receive {:exosuit_event,
                      %{type: "invocation_failed", data: %{reason: :missing_claim, error: text}}}

      assert text =~ @http
    end

    test "without the link the call is refused with its reason, at once" do
      %{port: port, host: host, actor: actor} = counter!()
      :ok = Exosuit.subscribe(host)
      assert {200, _body} = Http.request(port, "GET", "/a")
      :ok = Exosuit.delete_link(host, source: actor, contract: @keyvalue)
      assert {502, _body} = Http.request(port, "GET", "/a")

      assert_receive {:exosuit_event,
                      %{type: "invocation_failed", data: %{reason: :missing_link, error: text}}}

      assert text =~ @keyvalue
    end

    test "a link that the claims do not allow is refused when it is made" do
      host = start_supervised_host!()
      {:ok, actor} = Exosuit.start_actor(host, resigned!([@http]))
      {:ok, "keyvalue"} = Exosuit.start_provider(host, "keyvalue")

      assert {:error, %Error{reason: :missing_claim}} =
               Exosuit.put_link(host, source: actor, target: "keyvalue", contract: @keyvalue)

      assert %{links: []} = Exosuit.inventory(host)
    end

    test "a port that is taken is named" do
      %{port: port, host: host, actor: actor} = counter!()
      {:ok, "other"} = Exosuit.start_provider(host, "http-server", id: "other")

      assert {:error, error} =
               Exosuit.put_link(host,
                 source: actor,
                 target: "other",
                 contract: @http,
                 name: "second",
                 target_config: %{"address" => "127.0.0.1:#{port}"}
               )

      assert Exception.message(error) =~ "127.0.0.1:#{port}"
    end
  end

  describe "a certificate" do
    setup do
      %{host: host, actor: actor} = counter!()
      :ok = Exosuit.subscribe(host)
      dir = tmp_dir!()
      [cert, key] = for name <- ~w(cert.pem key.pem), do: Path.join(dir, name)
      certificate = %{"tls_cert_file" => cert, "tls_priv_key_file" => key}
      config = Map.merge(certificate, %{"address" => "127.0.0.1:0", "tls_reload_ms" => "10"})
      link = [source: actor, target: "http", contract: @http, name: "tls", target_config: config]
      %{host: host, link: link, cert: cert, key: key}
    end

    test "that is missing refuses the link and names the file", test do
      assert {:error, error} = Exosuit.put_link(test.host, test.link)
      assert Exception.message(error) =~ "tls_cert_file names #{test.cert}"
    end

    test "is shown to clients, and a broken one in its place is an event", test do
      File.cp!(tls_file("localhost.pem"), test.cert)
      File.cp!(tls_file("localhost.key.pem"), test.key)
      :ok = Exosuit.put_link(test.host, test.link)
      endpoints = Enum.flat_map(Exosuit.inventory(test.host).providers, & &1.endpoints)
      assert Enum.any?(endpoints, &String.starts_with?(&1, "https://127.0.0.1:"))

      cert = test.cert
      File.write!(cert, "broken")
      assert_receive {:exosuit_event, %{type: "certificate_refused", data: data}}, 30_000
      assert %{provider: "http", file: ^cert, reason: :invalid_link, error: error} = data
      assert error =~ "tls_cert_file names #{cert}"

      File.cp!(tls_file("second.pem"), test.cert)
      File.cp!(tls_file("second.key.pem"), test.key)
      assert_receive {:exosuit_event, %{type: "certificate_changed", data: data}}, 30_000
      assert %{provider: "http", file: ^cert} = data
    end

    defp tls_file(name) do
      Path.expand("../../native/exosuit_capabilities/tests/tls/#{name}", __DIR__)
    end
  end

  test "listens where the host says, in place of what the link says" do
    port = free_port()
    host = start_supervised_host!(actors: [], http_ports: %{8_080 => port})
    {:ok, actor} = Exosuit.start_actor(host, @counter)
    {:ok, _http} = Exosuit.start_provider(host, "http-server", id: "http")
    link = [source: actor, target: "http", contract: @http]
    :ok = Exosuit.put_link(host, link ++ [target_config: %{"address" => "127.0.0.1:8080"}])

    assert [%{endpoints: [endpoint]}] = Exosuit.inventory(host).providers
    assert endpoint =~ "127.0.0.1:#{port}"
    assert {:ok, socket} = Http.connect(port)
    :gen_tcp.close(socket)
  end

  defp counter!(options \\ []) do
    {instances, options} = Keyword.pop(options, :instances, 10)
    host = start_supervised_host!([unsigned: :deny] ++ options)
    backend = if options[:data_dir], do: "file", else: "memory"
    {:ok, actor} = Exosuit.start_actor(host, @counter, instances: instances)

    {:ok, _kv} =
      Exosuit.start_provider(host, "keyvalue", id: "kv", config: %{"backend" => backend})

    {:ok, _http} = Exosuit.start_provider(host, "http-server", id: "http")
    :ok = Exosuit.put_link(host, source: actor, target: "kv", contract: @keyvalue)
    port = free_port()

    :ok =
      Exosuit.put_link(host,
        source: actor,
        target: "http",
        contract: @http,
        target_config: address(port)
      )

    %{host: host, actor: actor, port: port}
  end

  # A manifest around a module, as `bin/exosuit up` applies it.
  defp applied!(wasm) do
    host = start_supervised_host!(unsigned: :deny)
    :ok = Exosuit.subscribe(host)
    port = free_port()
    manifest = Path.join(tmp_dir!(), "app.yaml")

    "../../examples/counter/app.yaml"
    |> Path.expand(__DIR__)
    |> File.read!()
    |> String.replace("name: counter\n  annotations", "name: app\n  annotations")
    |> String.replace("counter_s.wasm", wasm)
    |> String.replace("127.0.0.1:8080", "127.0.0.1:#{port}")
    |> then(&File.write!(manifest, &1))

    {:ok, outcomes, []} = Exosuit.apply_manifest(host, manifest)
    %{host: host, outcomes: outcomes, port: port}
  end

  defp resigned!(caps),
    do: elem(Guests.sign(tmp_dir!(), "counter", wasm: @counter, caps: caps), 0)

  defp address(port), do: %{"address" => "127.0.0.1:#{port}"}

  defp count(body), do: body |> Exosuit.Json.decode() |> elem(1) |> Map.fetch!("counter")

  defp count_on(port, parent, answers) do
    receive do
      :stop -> send(parent, {self(), answers})
    after
      0 -> count_on(port, parent, [Http.request(port, "GET", "/a") | answers])
    end
  end

  # A connection that is refused was not taken: everything before must have been answered.
  defp until_closed(port, answers) do
    case Http.request(port, "GET", "/a") do
      {:error, :econnrefused} ->
        answers

      # It came between the last look into the kernel's queue and the end of the socket, where
      # nobody can answer any more; the port is closed from then on. The kernel resets such a connection.
      {:error, reason} when reason in [:closed, :econnreset] ->
        assert {:error, :econnrefused} = Http.connect(port)
        answers

      answer ->
        until_closed(port, [answer | answers])
    end
  end
end
