defmodule Exosuit.BuiltinsTest do
  # One list of built-in providers, asked by every door; their settings and links, where nothing is
  # passed over in silence.
  use Exosuit.HostCase, async: true

  alias Exosuit.{Guests, Http, Manifest, MessagePack}
  alias Exosuit.Provider.Builtin

  @names ["http-client", "http-server", "keyvalue", "messaging", "messaging-nats"]

  # Longer than the machine may be busy with other tests.
  @timeout 30_000

  setup do
    host = start_supervised_host!()
    :ok = Exosuit.subscribe(host)
    %{host: host}
  end

  describe "the list of built-in providers" do
    test "has each under its name and its reference, with contracts", it do
      for name <- @names, reference <- [name, "wasmcloud+builtin://" <> name] do
        assert {:ok, %{contracts: [_ | _] = contracts}} = Builtin.fetch(reference)
        assert Builtin.contracts(name) == contracts
        id = "#{name}-#{System.unique_integer([:positive])}"
        assert {:ok, ^id} = Exosuit.start_provider(it.host, reference, id: id)
        provider = Enum.find(Exosuit.inventory(it.host).providers, &(&1.id == id))
        assert provider.contracts == contracts
        assert provider.image_ref == "wasmcloud+builtin://" <> name
      end
    end

    test "is what manifests know, and in what order they start" do
      for name <- @names do
        path = Path.join(tmp_dir!(), "app.yaml")
        File.write!(path, manifest("wasmcloud+builtin://" <> name))
        assert {:ok, %{warnings: []}} = Manifest.parse(path, [])
      end

      assert for(name <- @names, Builtin.listens?(name), do: name) ==
               ["http-server", "messaging", "messaging-nats"]
    end

    test "says what there is where a name is not in it", it do
      for reference <- ["keyvalu", "wasmcloud+builtin://keyvalu"] do
        assert {:error, error} = Exosuit.start_provider(it.host, reference)
        assert Exception.message(error) =~ ~s(did you mean "keyvalue"?)
        assert Exception.message(error) =~ "messaging-nats"
      end
    end
  end

  describe "settings without effect" do
    test "of a link are an event, and the answer to who asks", it do
      {:ok, "kv"} = Exosuit.start_provider(it.host, "keyvalue", id: "kv")
      link = [source: "a", contract: "wasi:keyvalue"]
      values = %{"buckt" => "a", "URL" => "redis://x"}
      :ok = Exosuit.put_link(it.host, link ++ [target: "kv", target_config: values])

      assert_receive {:exosuit_event, %{type: "link_warning", data: %{source: "a"} = data}},
                     @timeout

      assert data.warning =~ "setting URL has no effect here"

      assert_receive {:exosuit_event, %{type: "link_warning", data: %{target: "kv"} = data}},
                     @timeout

      assert data.warning =~ ~s(did you mean "bucket"?)
      assert {:ok, [_url, _buckt]} = Exosuit.link_warnings(it.host, link)
    end

    test "of a provider are an event", it do
      config = %{"max_conections" => "7"}
      {:ok, "c"} = Exosuit.start_provider(it.host, "http-client", id: "c", config: config)

      assert_receive {:exosuit_event, %{type: "provider_warning", data: %{id: "c"} = data}},
                     @timeout

      assert data.warning =~ ~s(did you mean "max_connections"?)
    end

    test "that keep tenants apart are refused", it do
      {:ok, "kv"} = Exosuit.start_provider(it.host, "keyvalue", id: "kv")
      link = [source: "a", target: "kv", contract: "wasi:keyvalue"]
      values = %{"bucket" => "tenant-a"}

      assert {:error, %Error{reason: :invalid_link} = error} =
               Exosuit.put_link(it.host, link ++ [source_config: values])

      assert Exception.message(error) =~ "the provider's end of the link"

      assert {:error, error} =
               Exosuit.start_provider(it.host, "keyvalue", id: "x", config: values)

      assert Exception.message(error) =~ "the provider's end of a link"
    end

    test "a client's link that allows nothing is one of them", it do
      {:ok, "c"} = Exosuit.start_provider(it.host, "http-client", id: "c")
      :ok = Exosuit.put_link(it.host, source: "a", target: "c", contract: "wasi:http")
      assert_receive {:exosuit_event, %{type: "link_warning", data: data}}, @timeout
      assert data.warning =~ "allowed_hosts is not set"
    end
  end

  test "a link that a component never uses, since its name is another, is an event", it do
    {:ok, "kv"} = Exosuit.start_provider(it.host, "keyvalue", id: "kv")
    link = [source: "web", target: "kv", contract: "wasi:keyvalue", name: "other"]
    :ok = Exosuit.put_link(it.host, link)
    {:ok, "web"} = Exosuit.start_actor(it.host, Guests.component("web"), id: "web")

    assert_receive {:exosuit_event, %{type: "link_warning", data: %{name: "other"} = data}},
                   @timeout

    assert data.warning =~ "web is a component"
  end

  test "an actor of the wasmbus sends requests by wasmcloud:httpclient, where its link allows",
       it do
    port = serve_web!(it.host)
    {:ok, "caller"} = start_caller(it.host)
    {:ok, "c"} = Exosuit.start_provider(it.host, "http-client", id: "c")
    link = [source: "caller", target: "c", contract: "wasmcloud:httpclient"]

    allowed = %{"allowed_hosts" => "127.0.0.1:#{port}"}
    :ok = Exosuit.put_link(it.host, link ++ [target_config: allowed])
    assert {:ok, answer} = request(it.host, "http://127.0.0.1:#{port}/echo", "over and back")
    assert %{"statusCode" => 200, "header" => header} = answer
    assert answer["body"] == {:bin, "over and back"}
    assert is_map(header)
    assert {200, "over and back"} = Http.request(port, "POST", "/echo", "over and back")

    # `*` means what is public, and the server of this machine is not.
    :ok = Exosuit.put_link(it.host, link ++ [target_config: %{"allowed_hosts" => "*"}])
    assert {:error, error} = request(it.host, "http://127.0.0.1:#{port}/echo", "")
    assert Exception.message(error) =~ "127.0.0.1 is a private, loopback"
    assert {:error, error} = request(it.host, "http://localhost:#{port}/echo", "")
    assert Exception.message(error) =~ "localhost"
  end

  defp start_caller(host) do
    Exosuit.start_actor(host, Guests.path("caller"), id: "caller")
  end

  defp request(host, url, body) do
    asked = %{"method" => "POST", "url" => url, "headers" => %{}, "body" => {:bin, body}}
    target = ["default", 0, "wasmcloud:httpclient", 0, "HttpClient.Request", 0]
    payload = IO.iodata_to_binary([target, MessagePack.encode!(asked)])

    with {:ok, answer} <- Exosuit.call(host, "caller", "call", payload),
         do: {:ok, MessagePack.decode!(answer)}
  end

  defp serve_web!(host) do
    {:ok, "web"} = Exosuit.start_actor(host, Guests.component("web"), id: "web", instances: 8)
    {:ok, "server"} = Exosuit.start_provider(host, "http-server", id: "server")
    port = free_port()

    :ok =
      Exosuit.put_link(host,
        source: "server",
        target: "web",
        contract: "wasi:http",
        interfaces: ["incoming-handler"],
        source_config: %{"address" => "127.0.0.1:#{port}"}
      )

    port
  end

  defp manifest(image) do
    """
    apiVersion: core.oam.dev/v1beta1
    kind: Application
    metadata: {name: app}
    spec:
      components:
        - name: it
          type: capability
          properties: {image: "#{image}"}
    """
  end
end
