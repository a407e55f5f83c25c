defmodule Exosuit.Control.OtpTest do
  use ExUnit.Case, async: true

  alias Exosuit.Control.{Command, Otp}
  alias Exosuit.Error

  @actor "MCFMFDWFHGKELOXPCNCDXKK5OFLHBVEWRAOXR5JSQUD2TOFRE3DFPM7E"

  defp parse(subject, body), do: Otp.parse(String.split(subject, "."), body)

  defp arguments(subject, body) do
    assert {:ok, %Command{arguments: arguments}} = parse(subject, body)
    arguments
  end

  test "every subject is a command" do
    for {subject, body, name} <- [
          {"ping.hosts", nil, :ping},
          {"get.claims", nil, :lattice_claims},
          {"get.links", nil, :lattice_links},
          {"get.N.inv", nil, :inventory},
          {"linkdefs.put",
           %{"actor_id" => "M", "contract_id" => "a:b", "link_name" => "d", "provider_id" => "V"},
           :put_link},
          {"linkdefs.del", %{"actor_id" => "M", "contract_id" => "a:b", "link_name" => "d"},
           :disconnect},
          {"registries.put", %{}, :put_registries},
          {"auction.actor", %{"actor_ref" => "r", "constraints" => %{}}, :bid_actor},
          {"auction.provider", %{"provider_ref" => "r"}, :bid_provider},
          {"cmd.N.la", %{"actor_ref" => "r"}, :launch_actor},
          {"cmd.N.sa", %{"actor_ref" => "M", "count" => 1}, :withdraw_actor},
          {"cmd.N.scale", %{"actor_id" => "M", "actor_ref" => "r", "count" => 1},
           :equalize_actor},
          {"cmd.N.upd", %{"new_actor_ref" => "r"}, :exchange_actor},
          {"cmd.N.lp", %{"provider_ref" => "r", "link_name" => "d"}, :launch_provider},
          {"cmd.N.sp", %{"provider_ref" => "V", "link_name" => "d"}, :withdraw_provider},
          {"cmd.N.stop", nil, :stop_host}
        ] do
      assert {:ok, %Command{name: ^name}} = parse(subject, body)
    end
  end

  test "what is left out, null or empty has its default" do
    assert %{instances: 1, annotations: %{}} = arguments("cmd.N.la", %{"actor_ref" => "r"})
    # As the interface says; the old host started two.
    assert %{instances: 1} = arguments("cmd.N.la", %{"actor_ref" => "r", "count" => 0})

    launch = %{"provider_ref" => "r", "link_name" => "", "annotations" => nil}

    assert %{link_name: "default", annotations: %{}, config: {:text, ""}} =
             arguments("cmd.N.lp", launch)

    assert %{reference: nil, key: @actor, annotations: %{}} =
             arguments("cmd.N.scale", %{"actor_id" => @actor, "actor_ref" => "", "count" => 2})
  end

  test "unknown fields are ignored: newer clients send more" do
    assert %{reference: "r"} =
             arguments("cmd.N.la", %{"actor_ref" => "r", "host_id" => "N", "x" => []})
  end

  test "what is wrong is refused, and says what would be right" do
    for {subject, body} <- [
          {"cmd.N.la", nil},
          {"cmd.N.la", []},
          {"cmd.N.la", "text"},
          {"cmd.N.la", %{}},
          {"cmd.N.la", %{"actor_ref" => 7}},
          {"cmd.N.la", %{"actor_ref" => "r", "count" => -1}},
          {"cmd.N.la", %{"actor_ref" => "r", "count" => 1.5}},
          {"cmd.N.la", %{"actor_ref" => "r", "annotations" => %{"a" => 1}}},
          {"cmd.N.scale", %{"actor_id" => "M", "actor_ref" => "r"}},
          {"linkdefs.put", %{"actor_id" => "M", "contract_id" => "no contract"}},
          {"registries.put", []},
          {"registries.put", %{"server" => "password"}},
          {"registries.put", %{"server" => %{"token" => 1}}}
        ] do
      assert {:error, %Error{reason: :invalid_input, detail: "expected" <> _}} =
               parse(subject, body)
    end
  end

  test "other subjects are none of ours" do
    for subject <- ["", "ping", "cmd.N.fly", "cmd.N.la.x", "get.N.inv.inv"] do
      assert {:error, %Error{reason: :unknown_operation}} = parse(subject, %{})
    end
  end

  test "an auction is answered with bids alone, for whoever holds it takes every answer for one" do
    assert parse("auction.unknown", %{}) == :ignore
    assert parse("auction.actor", nil) == :ignore
    assert parse("auction.provider", %{"provider_ref" => 1}) == :ignore
    assert Otp.reply(:bid_actor, {:error, Error.new(:conflict, "no")}) == nil
  end

  test "credentials without a type or without anything to show are dropped, and none is inspected" do
    body = %{
      "good" => %{"registryType" => "oci", "token" => "hidden"},
      "typeless" => %{"token" => "hidden"},
      "empty" => %{"registryType" => "oci"}
    }

    assert %{registries: registries} = arguments("registries.put", body)
    assert Map.keys(registries) == ["good"]
    refute inspect(registries) =~ "hidden"
  end

  test "hosts of one lattice answer once where the state is shared, and all where it is their own" do
    subjects = Map.new(Otp.subscriptions("N1"))
    one = for {subject, :one} <- subjects, do: subject
    assert Enum.sort(one) == ~w(get.claims get.links linkdefs.del linkdefs.put)
    assert subjects["get.N1.inv"] == :all
    assert subjects["cmd.N1.*"] == :all
    assert Otp.prefix("a.b.c", "mine") == "a.b.c.mine"
  end
end
