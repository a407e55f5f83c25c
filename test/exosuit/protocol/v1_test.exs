defmodule Exosuit.Protocol.V1Test do
  use ExUnit.Case, async: true

  alias Exosuit.Error
  alias Exosuit.Model.Command
  alias Exosuit.Protocol.V1

  @link %{
    "source_id" => "a",
    "target" => "b",
    "wit_namespace" => "wasi",
    "wit_package" => "keyvalue",
    "interfaces" => ["store"]
  }

  defp decode(subject, body), do: V1.decode_command(String.split(subject, "."), body)

  defp decode!(subject, body) do
    assert {:ok, command} = decode(subject, body)
    command
  end

  test "every subject is a command" do
    for {subject, body, name} <- [
          {"host.ping", nil, Command.Ping},
          {"host.get.N", nil, Command.Inventory},
          {"host.stop.N", nil, Command.StopHost},
          {"host.stop.N", %{"host_id" => "N", "timeout" => 5}, Command.StopHost},
          {"component.auction",
           %{"component_ref" => "r", "component_id" => "c", "constraints" => %{}},
           Command.AuctionActor},
          {"provider.auction", %{"provider_ref" => "r", "provider_id" => "p"},
           Command.AuctionProvider},
          {"component.scale.N", %{"component_ref" => "r", "component_id" => "c", "count" => 1},
           Command.ScaleActor},
          {"component.update.N", %{"component_id" => "c", "new_component_ref" => "r"},
           Command.UpdateActor},
          {"provider.start.N", %{"provider_id" => "p", "provider_ref" => "r"},
           Command.StartProvider},
          {"provider.stop.N", %{"provider_id" => "p"}, Command.StopProvider},
          {"link.put", @link, Command.PutLink},
          {"link.del", Map.take(@link, ~w(source_id wit_namespace wit_package)),
           Command.DeleteLink},
          {"link.get", nil, Command.Links},
          {"claims.get", nil, Command.Claims},
          {"config.put.a", %{"k" => "v"}, Command.PutConfig},
          {"config.get.a", nil, Command.GetConfig},
          {"config.del.a", nil, Command.DeleteConfig},
          {"label.put.N", %{"key" => "k", "value" => "v"}, Command.PutLabel},
          {"label.del.N", %{"key" => "k"}, Command.DeleteLabel},
          {"registry.put", %{}, Command.PutRegistries}
        ] do
      assert %^name{} = decode!(subject, body)
    end
  end

  test "old names and what is left out" do
    scale = %{"component_id" => "c", "max_instances" => 3, "annotations" => nil}

    assert %{instances: 3, annotations: %{}, code: nil, mismatch: :keep} =
             decode!("component.scale.N", scale)

    assert %{mismatch: :update} =
             decode!("component.scale.N", Map.put(scale, "allow_update", true))

    assert %{id: "p"} = decode!("provider.stop.N", %{"provider_ref" => "p"})
    assert %{name: "default", contract: "wasi:keyvalue"} = decode!("link.put", @link)
    assert %{name: "a.b.c", values: %{}} = decode!("config.put.a.b.c", %{})

    assert %{registries: %{"r" => %{type: "oci"}}} =
             decode!("registry.put", %{"r" => %{"token" => "t"}})
  end

  test "what is wrong is refused, and says what would be right" do
    for {subject, body} <- [
          {"component.scale.N", nil},
          {"component.scale.N", %{"component_ref" => "r"}},
          {"component.scale.N", %{"component_id" => "c", "count" => 4_294_967_296}},
          {"component.scale.N", %{"component_id" => "c", "config" => "name"}},
          {"link.put", Map.delete(@link, "interfaces")},
          {"link.put", %{@link | "wit_namespace" => "a:b"}},
          {"link.put", %{@link | "interfaces" => [1]}},
          {"config.put.a", nil},
          {"config.put.a", ["k"]},
          {"config.put.a", %{"k" => 1}},
          {"label.put.N", %{"key" => "", "value" => "v"}}
        ] do
      assert {:error, %Error{reason: :invalid_input, detail: "expected" <> _}} =
               decode(subject, body)
    end
  end

  test "other subjects are unsupported" do
    for subject <- ["", "host", "config.get", "config.fly.a", "component.fly.N", "link.put.x"] do
      assert {:error, %Error{reason: :unknown_operation, detail: "unsupported subject" <> _}} =
               decode(subject, %{})
    end
  end

  test "what is gone already was stopped or deleted, and all else that fails is refused" do
    absent = {:error, Error.new(:not_found, "absent")}

    assert V1.encode_reply(%Command.StopProvider{id: "p"}, absent) ==
             %{success: true, message: "no such provider runs here"}

    delete = %Command.DeleteLink{source: "a", contract: "a:b"}
    assert V1.encode_reply(delete, absent) == %{success: true, message: ""}
    assert %{success: false} = V1.encode_reply(%Command.Inventory{}, absent)
    assert V1.encode_reply(nil, {:ok, %{message: "note"}}) == %{success: true, message: "note"}

    bid = %Command.AuctionProvider{reference: "r", id: "p"}
    assert V1.encode_reply(bid, absent) == nil

    assert %{response: %{provider_ref: "r", provider_id: "p", host_id: "N"}} =
             V1.encode_reply(bid, {:ok, %{host_id: "N"}})
  end

  test "one host of a lattice answers for what is shared" do
    one = for {subject, :one} <- V1.subscriptions("N"), do: subject
    assert Enum.sort(one) == ["claims.get", "config.>", "link.*"]
    assert V1.prefix("wasmbus.ctl", "mine") == "wasmbus.ctl.v1.mine"
  end
end
