defmodule Exosuit.Control.V1Test do
  use ExUnit.Case, async: true

  alias Exosuit.Control.{Command, V1}
  alias Exosuit.Error

  @link %{
    "source_id" => "a",
    "target" => "b",
    "wit_namespace" => "wasi",
    "wit_package" => "keyvalue",
    "interfaces" => ["store"]
  }

  defp parse(subject, body), do: V1.parse(String.split(subject, "."), body)

  defp arguments(subject, body) do
    assert {:ok, %Command{arguments: arguments}} = parse(subject, body)
    arguments
  end

  test "every subject is a command" do
    for {subject, body, name} <- [
          {"host.ping", nil, :ping},
          {"host.get.N", nil, :inventory},
          {"host.stop.N", nil, :stop_host},
          {"host.stop.N", %{"host_id" => "N", "timeout" => 5}, :stop_host},
          {"component.auction",
           %{"component_ref" => "r", "component_id" => "c", "constraints" => %{}}, :bid_actor},
          {"provider.auction", %{"provider_ref" => "r", "provider_id" => "p"}, :bid_provider},
          {"component.scale.N", %{"component_ref" => "r", "component_id" => "c", "count" => 1},
           :equalize_actor},
          {"component.update.N", %{"component_id" => "c", "new_component_ref" => "r"},
           :exchange_actor},
          {"provider.start.N", %{"provider_id" => "p", "provider_ref" => "r"}, :launch_provider},
          {"provider.stop.N", %{"provider_id" => "p"}, :withdraw_provider},
          {"link.put", @link, :connect},
          {"link.del", Map.take(@link, ~w(source_id wit_namespace wit_package)), :disconnect},
          {"link.get", nil, :lattice_links},
          {"claims.get", nil, :lattice_claims},
          {"config.put.a", %{"k" => "v"}, :put_config},
          {"config.get.a", nil, :get_config},
          {"config.del.a", nil, :delete_config},
          {"label.put.N", %{"key" => "k", "value" => "v"}, :put_label},
          {"label.del.N", %{"key" => "k"}, :delete_label},
          {"registry.put", %{}, :put_registries}
        ] do
      assert {:ok, %Command{name: ^name}} = parse(subject, body)
    end
  end

  test "old names and what is left out" do
    scale = %{"component_id" => "c", "max_instances" => 3, "annotations" => nil}

    assert %{instances: 3, annotations: %{}, reference: nil, mismatch: :keep} =
             arguments("component.scale.N", scale)

    assert %{mismatch: :update} =
             arguments("component.scale.N", Map.put(scale, "allow_update", true))

    assert %{id: "p"} = arguments("provider.stop.N", %{"provider_ref" => "p"})
    assert %{name: "default", contract: "wasi:keyvalue"} = arguments("link.put", @link)
    assert %{name: "a.b.c", values: %{}} = arguments("config.put.a.b.c", %{})

    assert %{registries: %{"r" => %{type: "oci"}}} =
             arguments("registry.put", %{"r" => %{"token" => "t"}})
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
               parse(subject, body)
    end
  end

  test "other subjects are unsupported" do
    for subject <- ["", "host", "config.get", "config.fly.a", "component.fly.N", "link.put.x"] do
      assert {:error, %Error{reason: :unknown_operation, detail: "unsupported subject" <> _}} =
               parse(subject, %{})
    end
  end

  test "one host of a lattice answers for what is shared" do
    one = for {subject, :one} <- V1.subscriptions("N"), do: subject
    assert Enum.sort(one) == ["claims.get", "config.>", "link.*"]
    assert V1.prefix("wasmbus.ctl", "mine") == "wasmbus.ctl.v1.mine"
  end
end
