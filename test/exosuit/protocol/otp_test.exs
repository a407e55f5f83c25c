defmodule Exosuit.Protocol.OtpTest do
  use ExUnit.Case, async: true

  alias Exosuit.Error
  alias Exosuit.Model.Command
  alias Exosuit.Protocol.Otp

  @actor "MCFMFDWFHGKELOXPCNCDXKK5OFLHBVEWRAOXR5JSQUD2TOFRE3DFPM7E"

  defp decode(subject, body), do: Otp.decode_command(String.split(subject, "."), body)

  defp decode!(subject, body) do
    assert {:ok, command} = decode(subject, body)
    command
  end

  test "every subject is a command" do
    for {subject, body, name} <- [
          {"ping.hosts", nil, Command.Ping},
          {"get.claims", nil, Command.Claims},
          {"get.links", nil, Command.Links},
          {"get.N.inv", nil, Command.Inventory},
          {"linkdefs.put",
           %{"actor_id" => "M", "contract_id" => "a:b", "link_name" => "d", "provider_id" => "V"},
           Command.PutLink},
          {"linkdefs.del", %{"actor_id" => "M", "contract_id" => "a:b", "link_name" => "d"},
           Command.DeleteLink},
          {"registries.put", %{}, Command.PutRegistries},
          {"auction.actor", %{"actor_ref" => "r", "constraints" => %{}}, Command.AuctionActor},
          {"auction.provider", %{"provider_ref" => "r"}, Command.AuctionProvider},
          {"cmd.N.la", %{"actor_ref" => "r"}, Command.StartActor},
          {"cmd.N.sa", %{"actor_ref" => "M", "count" => 1}, Command.StopActor},
          {"cmd.N.scale", %{"actor_id" => "M", "actor_ref" => "r", "count" => 1},
           Command.ScaleActor},
          {"cmd.N.upd", %{"new_actor_ref" => "r"}, Command.UpdateActor},
          {"cmd.N.lp", %{"provider_ref" => "r", "link_name" => "d"}, Command.StartProvider},
          {"cmd.N.sp", %{"provider_ref" => "V", "link_name" => "d"}, Command.StopProvider},
          {"cmd.N.stop", nil, Command.StopHost}
        ] do
      assert %^name{} = decode!(subject, body)
    end
  end

  test "what is left out, null or empty has its default" do
    assert %{instances: 1, annotations: %{}} = decode!("cmd.N.la", %{"actor_ref" => "r"})
    # As the interface says; the old host started two.
    assert %{instances: 1} = decode!("cmd.N.la", %{"actor_ref" => "r", "count" => 0})

    launch = %{"provider_ref" => "r", "link_name" => "", "annotations" => nil}

    assert %{link_name: "default", annotations: %{}, config: {:text, ""}} =
             decode!("cmd.N.lp", launch)

    assert %{code: nil, key: @actor, annotations: %{}} =
             decode!("cmd.N.scale", %{"actor_id" => @actor, "actor_ref" => "", "count" => 2})
  end

  test "unknown fields are ignored: newer clients send more" do
    assert %{code: {:reference, "r"}} =
             decode!("cmd.N.la", %{"actor_ref" => "r", "host_id" => "N", "x" => []})
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
               decode(subject, body)
    end
  end

  test "other subjects are none of ours" do
    for subject <- ["", "ping", "cmd.N.fly", "cmd.N.la.x", "get.N.inv.inv"] do
      assert {:error, %Error{reason: :unknown_operation}} = decode(subject, %{})
    end
  end

  test "an auction is answered with bids alone, for whoever holds it takes every answer for one" do
    assert decode("auction.unknown", %{}) == :ignore
    assert decode("auction.actor", nil) == :ignore
    assert decode("auction.provider", %{"provider_ref" => 1}) == :ignore
    auction = %Command.AuctionActor{reference: "r", constraints: %{"a" => "b"}}
    assert Otp.encode_reply(auction, {:error, Error.new(:conflict, "no")}) == nil

    assert Otp.encode_reply(auction, {:ok, %{host_id: "N"}}) ==
             %{actor_ref: "r", constraints: %{"a" => "b"}, host_id: "N"}
  end

  test "what is gone already was stopped, and all else that fails is refused" do
    absent = {:error, Error.new(:not_found, "no actor")}
    stop = %Command.StopActor{id: "M"}
    assert Otp.encode_reply(stop, absent) == %{accepted: true, error: ""}

    assert %{accepted: false} =
             Otp.encode_reply(%Command.UpdateActor{code: {:reference, "r"}}, absent)

    assert %{accepted: false} = Otp.encode_reply(stop, {:error, Error.new(:conflict, "two")})
  end

  test "credentials without a type or without anything to show are dropped, and none is inspected" do
    body = %{
      "good" => %{"registryType" => "oci", "token" => "hidden"},
      "typeless" => %{"token" => "hidden"},
      "empty" => %{"registryType" => "oci"}
    }

    assert %{registries: registries} = decode!("registries.put", body)
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
