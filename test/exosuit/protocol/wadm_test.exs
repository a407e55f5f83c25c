defmodule Exosuit.Protocol.WadmTest do
  use ExUnit.Case, async: true

  alias Exosuit.{Error, Json}
  alias Exosuit.Model.Command
  alias Exosuit.Protocol.Wadm
  alias Exosuit.Protocol.Wadm.{Commands, Replies, Status, Ulid}

  doctest Ulid

  defp decode(subject, body \\ ""),
    do: Commands.decode(String.split("model." <> subject, "."), body)

  defp refused(subject, body) do
    assert {:error, %Error{reason: :invalid_input} = error} = decode(subject, body)
    error.detail
  end

  test "each subject is a command" do
    assert decode("list") == {:ok, %Command.ListApps{}}
    assert decode("get") == {:ok, %Command.GetManifest{app: nil}}
    assert decode("put", "x: 1") == {:ok, %Command.StoreManifest{text: "x: 1"}}

    for {subject, command} <- [
          {"get.shop", Command.GetManifest},
          {"versions.shop", Command.AppHistory},
          {"del.shop", Command.DeleteApp},
          {"deploy.shop", Command.DeployApp},
          {"undeploy.shop", Command.UndeployApp},
          {"status.shop", Command.AppStatus}
        ],
        body <- ["", "{}"] do
      assert decode(subject, body) == {:ok, struct!(command, app: "shop")}
    end
  end

  test "a version may be named; latest is the newest one" do
    for subject <- ["get.shop", "del.shop", "deploy.shop"] do
      assert {:ok, %{version: "v1"}} = decode(subject, ~s({"version":"v1"}))
      assert {:ok, %{version: nil}} = decode(subject, ~s({"version":null}))
    end

    assert {:ok, %{version: nil}} = decode("deploy.shop", ~s({"version":"latest"}))
    assert {:ok, %{version: nil}} = decode("deploy.shop", ~s({"version":""}))
  end

  test "the fields of wadm 0.7 are known" do
    assert {:ok, %{version: nil}} = decode("del.shop", ~s({"version":"","delete_all":true}))
    assert {:ok, %{version: "v1"}} = decode("del.shop", ~s({"version":"v1","delete_all":false}))
    assert refused("del.shop", ~s({"version":"","delete_all":false})) =~ "name a version"
    assert {:ok, _request} = decode("undeploy.shop", ~s({"non_destructive":false}))
    assert refused("undeploy.shop", ~s({"non_destructive":true})) =~ "cannot be undeployed"
  end

  test "what no tool sends is refused, and bounded" do
    long = String.duplicate("x", 2_000)
    assert refused("get.a b", "") =~ "the name of an application"
    assert refused("get." <> long, "") =~ "the name of an application"
    assert refused("get.shop", ~s({"version":1})) =~ "a string"
    assert refused("get.shop", ~s({"version":"#{long}"})) =~ "at most 1024 bytes"
    assert refused("get.shop", ~s({"verison":"v1"})) =~ ~s(unknown field "verison")
    assert refused("get.shop", String.duplicate(" ", 5_000)) =~ "at most 4096"
    assert refused("put", String.duplicate("x", 1_048_577)) =~ "at most 1048576"
    assert refused("put", "") =~ "a manifest"

    for body <- ["no json", "[]", "7", <<255, 254>>] do
      assert refused("status.shop", body) =~ "expected an object of JSON"
    end

    for subject <- ["fly", "fly.shop", "get.shop.v1", "put.shop", "list.shop"] do
      assert {:error, %Error{reason: :unknown_operation} = error} = decode(subject)
      assert Exception.message(error) =~ "unsupported subject"
    end

    assert {:error, error} = Commands.decode([long], "")
    assert byte_size(Exception.message(error)) < 1_000
  end

  test "nothing that is printed shows a manifest, which may hold secrets" do
    {:ok, request} = decode("put", "password: hunter2")
    refute inspect(request) =~ "hunter2"
  end

  defp overview(changes) do
    Map.merge(%{status: :running, components: [], missing: [], failed: []}, Map.new(changes))
  end

  defp component(changes) do
    host = %{host: "N1", wanted: 1, running: 1, status: :running}

    Map.merge(
      %{id: "shop-a", scaler: :spread, wanted: 1, hosts: [host], missing: []},
      Map.new(changes)
    )
  end

  test "the status says whether an application runs, and what is missing" do
    running = overview(components: [component([]), component(id: "shop-b", scaler: :daemon)])

    assert %{version: "v1", components: [], status: %{type: "deployed", message: ""}} =
             status = Status.encode(running, "v1")

    deployed = %{type: "deployed", message: ""}

    assert status.scalers == [
             %{id: "shop-a", name: "shop-a", kind: "SpreadScaler", status: deployed},
             %{id: "shop-b", name: "shop-b", kind: "DaemonScaler", status: deployed}
           ]

    starting = component(missing: ["shop-a on here: starting"])

    assert %{status: %{type: "reconciling", message: "shop-a on here: starting"}} =
             Status.encode(
               overview(status: :starting, components: [starting], missing: starting.missing),
               "v1"
             )

    nowhere = component(wanted: 0, hosts: [], missing: ["1 of shop-a: no host has the labels"])

    assert %{status: %{type: "failed"}, scalers: [%{status: %{type: "failed"}}]} =
             Status.encode(
               overview(status: :starting, components: [nowhere], missing: nowhere.missing),
               "v1"
             )

    assert %{status: %{type: "undeployed"}} = Status.encode(overview(status: :undeployed), "v1")
    assert Status.waiting("no host", "v1").status == %{type: "waiting", message: "no host"}
  end

  test "a version that failed is reported, though the one before it runs" do
    failed = overview(failed: [%{version: 2, reason: "it trapped"}])

    assert %{status: %{type: "deployed", message: "version 2 failed: it trapped"}} =
             Status.encode(failed, "v1")
  end

  test "messages are bounded" do
    missing = for n <- 1..1_000, do: "shop-#{n}: starting"
    status = Status.encode(overview(status: :starting, missing: missing), "v1")
    assert byte_size(status.status.message) < 5_000
  end

  test "lists have the words of both generations of tools" do
    summary = %{
      name: "shop",
      version: "v2",
      deployed: "v1",
      description: nil,
      status: Status.encode(overview(status: :starting, missing: ["b"]), "v1")
    }

    assert [%{status: "compensating", status_message: "b", deployed_version: "v1"} = listed] =
             Replies.list([summary])

    assert listed.detailed_status.status.type == "reconciling"
    assert %{result: "success", models: [^listed]} = Replies.all([summary])
  end

  test "a manifest that is given has its version, as wadm's types require" do
    for manifest <- [%{"spec" => 1}, %{"metadata" => %{"annotations" => %{"version" => 2}}}] do
      assert %{manifest: %{"metadata" => %{"annotations" => %{"version" => "2"}}}} =
               Replies.manifest(manifest, "shop", "2")
    end
  end

  test "a reply to a probe comes from wadm; that of a stream, or of Exosuit, does not" do
    assert Wadm.probed?(%{"result" => "error", "message" => "Unsupported subject"})
    refute Wadm.probed?(%{"stream" => "all", "seq" => 1})
    refute Wadm.probed?([])
    refute String.starts_with?(Wadm.probe("default"), "wadm.api.default.model.")
  end

  test "every reply is JSON" do
    replies = [
      Replies.error(Error.new(:denied, "no")),
      Replies.refused([%{text: "a"}, %{text: "b"}]),
      Replies.versions("shop", ["v1", "v2"], "v2"),
      Replies.put("shop", "v1", 1),
      Replies.deleted("shop", nil, true),
      Replies.deleted("shop", "v1", false),
      Replies.nothing_deleted("shop", nil),
      Replies.deployed("shop", "v1"),
      Replies.undeployed("shop"),
      Replies.status("shop", Status.undeployed("gone"))
      | for(
          command <- [
            %Command.GetManifest{app: "shop", version: "v1"},
            %Command.AppHistory{app: "shop"},
            %Command.DeployApp{app: "shop", version: "v1"}
          ],
          do: Replies.not_found(command)
        )
    ]

    for reply <- replies, do: assert({:ok, _text} = Json.encode(reply))
  end
end
