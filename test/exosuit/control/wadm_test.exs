defmodule Exosuit.Control.WadmTest do
  # wadm's API as its tools use it. test/conformance does the same with wadm's own client.
  use Exosuit.HostCase, async: true

  alias Exosuit.{App, Directory, Json, Nats}
  alias Exosuit.Control.Wadm
  alias Exosuit.Lattice.Bus

  setup do
    %{server: Nats.start!()}
  end

  defp start!(server, options \\ []) do
    options = Keyword.merge([nats: Nats.options(server), wadm_api: true], options)
    host = start_supervised_host!(options)
    instance = Directory.fetch!(host, :instance)
    %{host: host, session: instance.lattice, instance: instance}
  end

  defp serving!(it) do
    eventually(fn -> Wadm.Listener.serving?(it.instance) end)
    it
  end

  defp ask(it, subject, body \\ "") do
    body = if is_map(body), do: json(body), else: body
    {:ok, reply} = Bus.request(it.session, "wadm.api.default.model." <> subject, body, 30_000)
    {:ok, reply} = Json.decode(reply)
    reply
  end

  defp json(value) do
    {:ok, text} = Json.encode(value)
    text
  end

  defp manifest(version, changes \\ %{}) do
    annotations = if version, do: %{version: version}, else: %{}

    %{
      apiVersion: "core.oam.dev/v1beta1",
      kind: "Application",
      metadata: %{name: "shop", annotations: Map.put(annotations, :description, "sells")},
      spec: %{
        components: [
          Map.merge(
            %{
              name: "store",
              type: "capability",
              properties: %{image: "wasmcloud+builtin://keyvalue"}
            },
            changes
          )
        ]
      }
    }
  end

  defp type(it, app \\ "shop") do
    assert %{"result" => "ok", "status" => %{"status" => %{"type" => type}}} =
             ask(it, "status." <> app)

    type
  end

  # A request that reaches a listener just before its end has no answer: nil.
  defp type_if_answered(it) do
    case Bus.request(it.session, "wadm.api.default.model.status.shop", "", 2_000) do
      {:ok, reply} ->
        assert {:ok, %{"status" => %{"status" => %{"type" => type}}}} = Json.decode(reply)
        type

      {:error, %Error{}} ->
        nil
    end
  end

  defp runs?(host), do: Enum.any?(Exosuit.inventory(host).providers, &(&1.status == :running))

  # Answers as wadm does, until the test stops it.
  defp wadm!(it) do
    test = self()

    wadm =
      spawn_link(fn ->
        {:ok, subscription} = Bus.subscribe(it.session, "wadm.api.>", "wadm_server")
        send(test, :wadm_listens)
        wadm(it.session, subscription)
      end)

    assert_receive :wadm_listens
    wadm
  end

  defp wadm(session, %{reference: reference} = subscription) do
    receive do
      {:exosuit_lattice, ^reference, {subject, reply_to, _body}} ->
        reply = json(%{result: "error", message: "Unsupported subject: " <> subject})
        Bus.publish(session, reply_to, reply)
        :ok = Bus.next(subscription)
        wadm(session, subscription)

      :stop ->
        Bus.unsubscribe(subscription)
    end
  end

  test "a manifest is put, deployed, shown, undeployed and deleted", %{server: server} do
    it = serving!(start!(server))
    assert ask(it, "list") == []
    assert %{"result" => "success", "models" => []} = ask(it, "get")

    assert %{"result" => "created", "total_versions" => 1} = put = ask(it, "put", manifest("v1"))
    assert %{"name" => "shop", "current_version" => "v1"} = put

    assert [
             %{
               "name" => "shop",
               "version" => "v1",
               "deployed_version" => nil,
               "description" => "sells",
               "status" => "undeployed",
               "detailed_status" => %{"status" => %{"type" => "undeployed"}}
             }
           ] = ask(it, "list")

    assert Exosuit.inventory(it.host).providers == []

    assert %{"result" => "acknowledged", "name" => "shop", "version" => "v1"} =
             ask(it, "deploy.shop")

    eventually(fn -> type(it) == "deployed" end)
    assert runs?(it.host)

    assert %{"status" => %{"scalers" => [scaler]}} = ask(it, "status.shop")
    assert %{"id" => "shop-store", "kind" => "SpreadScaler", "name" => "shop-store"} = scaler
    assert %{"status" => %{"type" => "deployed"}} = scaler

    assert %{"result" => "newversion", "total_versions" => 2, "current_version" => "v2"} =
             ask(it, "put", manifest("v2"))

    assert %{
             "result" => "success",
             "versions" => [
               %{"version" => "v1", "deployed" => true},
               %{"version" => "v2", "deployed" => false}
             ]
           } = ask(it, "versions.shop")

    assert [%{"version" => "v2", "deployed_version" => "v1", "status" => "ready"}] =
             ask(it, "list")

    {:ok, sent} = Json.decode(json(manifest("v1")))
    assert %{"result" => "success", "manifest" => ^sent} = ask(it, "get.shop", %{version: "v1"})
    assert %{"manifest" => %{"metadata" => metadata}} = ask(it, "get.shop")
    assert metadata["annotations"]["version"] == "v2"

    assert %{"result" => "acknowledged", "version" => "v2"} =
             ask(it, "deploy.shop", %{version: "latest"})

    eventually(fn -> match?({:ok, %{version: 2}}, App.status(it.host, "shop")) end)
    assert %{"result" => "acknowledged"} = ask(it, "undeploy.shop")
    eventually(fn -> type(it) == "undeployed" and not runs?(it.host) end)

    assert %{"result" => "deleted", "undeploy" => false} = ask(it, "del.shop", %{version: "v1"})

    assert %{"versions" => [%{"version" => "v2"}]} = ask(it, "versions.shop")
    assert %{"result" => "deleted", "undeploy" => true} = ask(it, "del.shop")
    assert %{"result" => "noop"} = ask(it, "del.shop")
    assert ask(it, "list") == []
  end

  test "what is not there is answered as wadm answers it", %{server: server} do
    it = serving!(start!(server))
    assert %{"result" => "notfound", "message" => _} = ask(it, "get.shop")
    assert %{"result" => "notfound", "versions" => []} = ask(it, "versions.shop")
    assert %{"result" => "notfound"} = ask(it, "deploy.shop")
    assert %{"result" => "notfound"} = ask(it, "undeploy.shop")
    assert %{"result" => "noop", "undeploy" => false} = ask(it, "del.shop", %{version: "v1"})
    assert type(it) == "undeployed"

    assert %{"result" => "created"} = ask(it, "put", manifest("v1"))
    assert %{"result" => "notfound"} = ask(it, "get.shop", %{version: "v9"})
    assert %{"result" => "error"} = ask(it, "deploy.shop", %{version: "v9"})
    assert %{"result" => "noop"} = ask(it, "del.shop", %{version: "v9"})
  end

  test "a version is put once; one without a name gets one", %{server: server} do
    it = serving!(start!(server))
    assert %{"result" => "created"} = ask(it, "put", manifest("v1"))
    assert %{"result" => "error", "message" => message} = ask(it, "put", manifest("v1"))
    assert message =~ "version v1 already exists"

    assert %{"result" => "newversion", "current_version" => version} =
             ask(it, "put", manifest(nil))

    assert version =~ ~r/\A[0-9A-Z]{26}\z/
    assert %{"manifest" => %{"metadata" => metadata}} = ask(it, "get.shop")
    assert metadata["annotations"]["version"] == version

    # An application that was applied without a version has its number.
    it |> ask("del.shop")
    path = Path.join(tmp_dir!(), "app.yaml")
    File.write!(path, json(manifest(nil)))
    {:ok, _stored} = App.apply(it.host, path)
    assert %{"versions" => [%{"version" => "1", "deployed" => true}]} = ask(it, "versions.shop")
    assert %{"result" => "success"} = ask(it, "get.shop", %{version: "1"})
  end

  test "a manifest may be YAML, and is given as JSON with all of its fields", %{server: server} do
    it = serving!(start!(server))

    text = """
    apiVersion: core.oam.dev/v1beta1
    kind: Application
    metadata:
      name: shop
      labels: {team: sales}
      annotations: {version: v1}
    spec:
      components:
        - name: store   # what is sold
          type: capability
          properties: {image: wasmcloud+builtin://keyvalue}
          traits: [{type: colour, properties: {red: 10}}]
    """

    assert %{"result" => "created", "current_version" => "v1"} = ask(it, "put", text)
    assert %{"result" => "success", "manifest" => manifest} = ask(it, "get.shop")
    assert manifest["metadata"]["labels"] == %{"team" => "sales"}
    assert %{"spec" => %{"components" => [%{"traits" => [trait]}]}} = manifest
    assert trait == %{"type" => "colour", "properties" => %{"red" => 10}}
  end

  test "what is wrong is refused in wadm's form, and the next request is served", %{
    server: server
  } do
    it = serving!(start!(server))
    assert %{"result" => "created"} = ask(it, "put", manifest("v1"))

    for {subject, body} <- [
          {"put", ""},
          {"put", "no: manifest"},
          {"put", "a: [1"},
          {"put", <<255, 254>>},
          {"put", manifest("latest")},
          {"put", put_in(manifest("v2").metadata.name, "my shop")},
          {"put", put_in(manifest("v2").metadata.name, String.duplicate("x", 256))},
          {"put", manifest(String.duplicate("v", 2_000))},
          {"put", manifest("v2", %{properties: %{image: "ghcr.io/wasmcloud/keyvalue:1.0"}})},
          {"get.shop", "no json"},
          {"get.shop", "[]"},
          {"get.shop", %{verison: "v1"}},
          {"deploy.shop", %{version: 1}},
          {"del.shop", %{version: String.duplicate("v", 2_000)}},
          {"undeploy.shop", %{non_destructive: true}},
          {"status.shop", String.duplicate(" ", 5_000)},
          {"get.sh$op", ""},
          {"get.shop.v1", ""},
          {"history.shop", ""},
          {"fly", ""}
        ] do
      assert %{"result" => "error", "message" => message} = ask(it, subject, body)
      assert message != "" and byte_size(message) < 4_000
    end

    assert %{"versions" => [_only]} = ask(it, "versions.shop")
  end

  test "a manifest over the limit is refused" do
    config = Path.join(tmp_dir!(), "nats.conf")
    File.write!(config, "max_payload: 4194304\n")
    it = serving!(start!(Nats.start!(["-c", config])))
    body = json(manifest("v1")) <> String.duplicate(" ", 1_048_576)
    assert %{"result" => "error", "message" => message} = ask(it, "put", body)
    assert message =~ "expected at most 1048576"
  end

  test "files are read only where the host allows it", %{server: server} do
    dir = tmp_dir!()
    wasm = Path.join(dir, "echo.wasm")
    File.cp!(Guests.path("echo"), wasm)

    component = fn image ->
      manifest("v1", %{name: "echo", type: "component", properties: %{image: image}})
    end

    it = serving!(start!(server))
    assert %{"result" => "error", "message" => message} = ask(it, "put", component.(wasm))
    assert message =~ "does not read files for the lattice"
    stop_supervised!(it.host)

    it = serving!(start!(server, allow_file_load: [dir]))

    assert %{"result" => "error", "message" => message} =
             ask(it, "put", component.("/etc/passwd"))

    assert message =~ "only below #{dir}"
    assert %{"result" => "error"} = ask(it, "put", component.("file://./echo.wasm"))
    assert %{"result" => "created"} = ask(it, "put", component.("file://" <> wasm))
    File.rm!(wasm)
    assert %{"result" => "acknowledged"} = ask(it, "deploy.shop")
    eventually(fn -> type(it) == "deployed" end)
    assert {:ok, "hi"} = Exosuit.call(it.host, "shop-echo", "Echo.Say", "hi")
  end

  test "two hosts answer once, and each of them what the other one stored", %{server: server} do
    it = serving!(start!(server))
    other = serving!(start!(server))

    for n <- 1..8 do
      put = json(manifest("v#{n}"))
      assert {:ok, [_one]} = Bus.gather(it.session, "wadm.api.default.model.put", put, 2_000, 2)
      assert %{"result" => "success"} = ask(it, "get.shop", %{version: "v#{n}"})
      assert [%{"version" => version}] = ask(other, "list")
      assert version == "v#{n}"
    end

    assert %{"result" => "acknowledged"} = ask(it, "deploy.shop")
    eventually(fn -> type(it) == "deployed" and type(other) == "deployed" end)
  end

  test "each change of a status is published once, by one host", %{server: server} do
    it = serving!(start!(server))
    _other = serving!(start!(server))
    {:ok, subscription} = Bus.subscribe(it.session, "wadm.status.default.shop")

    assert %{"result" => "created"} = ask(it, "put", manifest("v1"))
    assert next(subscription) == "undeployed"
    assert %{"result" => "acknowledged"} = ask(it, "deploy.shop")
    types = Stream.repeatedly(fn -> next(subscription) end)
    assert Enum.find(types, &(&1 == "deployed"))
    :ok = App.delete(it.host, "shop")
    assert Enum.find(types, &(&1 == "undeployed"))
    assert ask(it, "list") == []
    refute_receive {:exosuit_lattice, _reference, _message}, 100
  end

  defp next(%{reference: reference} = subscription) do
    assert_receive {:exosuit_lattice, ^reference, {_subject, nil, text}}, 20_000
    :ok = Bus.next(subscription)
    {:ok, %{"status" => %{"type" => type}}} = Json.decode(text)
    type
  end

  test "a host is refused where a wadm answers already", %{server: server} do
    other = start!(server, wadm_api: false)
    wadm = wadm!(other)
    eventually(fn -> Wadm.Probe.run(other.session, "default") == :wadm end)

    Process.flag(:trap_exit, true)
    options = [name: :"#{other.host}_refused", trusted_issuers: :any, wadm_api: true]
    options = options ++ [nats: Nats.options(server)]
    assert {:error, %Error{reason: :conflict, detail: detail}} = Exosuit.start_link(options)
    assert detail =~ "a wadm answers wadm.api.default already"

    send(wadm, :stop)
    eventually(fn -> Wadm.Probe.run(other.session, "default") == :nobody end)
    it = serving!(start!(server))
    assert ask(it, "list") == []
  end

  test "a host is silent while a wadm runs, and answers again when it is gone", %{server: server} do
    it = serving!(start!(server))
    :ok = Exosuit.subscribe(it.host)
    other = start!(server, wadm_api: false)
    wadm = wadm!(other)
    assert_receive {:exosuit_event, %{type: "wadm_api_silent"}}, 20_000
    refute Wadm.Listener.serving?(it.instance)

    # The next listener is silent as well.
    kill(GenServer.whereis(Directory.via(it.host, Wadm.Listener)))
    assert_receive {:exosuit_event, %{type: "wadm_api_silent"}}, 20_000
    for _ <- 1..8, do: assert(%{"result" => "error"} = ask(it, "list"))

    send(wadm, :stop)
    assert_receive {:exosuit_event, %{type: "wadm_api_serving"}}, 20_000
    assert ask(it, "list") == []
  end

  test "a wadm that answers late keeps a host silent; one who only listens does so for a while" do
    refute Wadm.Probe.serve?(:wadm, false, 0)
    assert Wadm.Probe.serve?(:nobody, true, 0)
    refute Wadm.Probe.serve?(:no_answer, true, 4)
    assert Wadm.Probe.serve?(:no_answer, true, 5)
    assert Wadm.Probe.serve?(:no_answer, false, 0)
    refute Wadm.Probe.serve?(:unknown, true, 9)
    assert Wadm.Probe.serve?(:unknown, false, 0)
  end

  test "one who listens to all messages is no wadm", %{server: server} do
    other = start!(server, wadm_api: false)
    eventually(fn -> Bus.connected?(other.session) end)
    {:ok, _subscription} = Bus.subscribe(other.session, "wadm.>")
    assert Wadm.Probe.run(other.session, "default") == :no_answer
    it = serving!(start!(server))
    assert ask(it, "list") == []
  end

  # The known faults of wadm.

  test "while the store is away at the start, errors say so; then everything works" do
    server = Nats.absent!()
    it = start!(server)
    _running = Nats.restart!(server)
    eventually(fn -> Bus.connected?(it.session) end)
    serving!(it)
    eventually(fn -> match?(%{"result" => "created"}, ask(it, "put", manifest("v1"))) end)
    assert %{"result" => "acknowledged"} = ask(it, "deploy.shop")
    eventually(fn -> type(it) == "deployed" end)
  end

  test "when the last host that runs an application leaves, its state stays, and its status says so",
       %{server: server} do
    traits = [
      %{
        type: "spreadscaler",
        properties: %{
          instances: 1,
          spread: [%{name: "worker", requirements: %{role: "worker"}}]
        }
      }
    ]

    it = serving!(start!(server))
    worker = start!(server, wadm_api: false, labels: %{"role" => "worker"})
    assert %{"result" => "created"} = ask(it, "put", manifest("v1", %{traits: traits}))
    assert %{"result" => "acknowledged"} = ask(it, "deploy.shop")
    eventually(fn -> type(it) == "deployed" end)

    stop_supervised!(worker.host)
    eventually(fn -> type(it) == "failed" end)
    assert %{"status" => %{"status" => %{"message" => message}}} = ask(it, "status.shop")
    assert message =~ "no host has the labels of spread worker"
    assert [%{"deployed_version" => "v1"}] = ask(it, "list")

    start!(server, wadm_api: false, labels: %{"role" => "worker"})
    eventually(fn -> type(it) == "deployed" end)
  end

  test "when all hosts leave, the next one has the state", %{server: server} do
    it = serving!(start!(server))
    assert %{"result" => "created"} = ask(it, "put", manifest("v1"))
    assert %{"result" => "acknowledged"} = ask(it, "deploy.shop")
    stop_supervised!(it.host)

    it = serving!(start!(server))
    assert [%{"name" => "shop", "deployed_version" => "v1"}] = ask(it, "list")
    eventually(fn -> type(it) == "deployed" end)
  end

  test "the status is current again after each process behind it was killed", %{server: server} do
    it = serving!(start!(server))
    assert %{"result" => "created"} = ask(it, "put", manifest("v1"))
    assert %{"result" => "acknowledged"} = ask(it, "deploy.shop")
    eventually(fn -> type(it) == "deployed" end)

    for process <- [Wadm.Listener, Wadm.Publisher, App.Member, App.Shares] do
      kill(GenServer.whereis(Directory.via(it.host, process)))
      eventually(fn -> type_if_answered(it) == "deployed" end)
    end

    {:ok, subscription} = Bus.subscribe(it.session, "wadm.status.default.shop")
    kill(GenServer.whereis(Directory.via(it.host, Wadm.Publisher)))
    assert next(subscription) == "deployed"
    eventually(fn -> type_if_answered(it) == "deployed" end)
    assert %{"result" => "acknowledged"} = ask(it, "undeploy.shop")
    assert next(subscription) == "undeployed"
  end
end
