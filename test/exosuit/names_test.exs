defmodule Exosuit.NamesTest do
  # One signed image under several ids, and names that belong to somebody already.
  use Exosuit.HostCase, async: true

  alias Exosuit.Model.Command
  alias Exosuit.Protocol.{Otp, V1}

  setup do
    %{host: start_supervised_host!(), dir: tmp_dir!()}
  end

  test "one image runs under two ids, each with its own settings", it do
    {file, keys} = Guests.sign(it.dir, "busy", alias: "wasmcloud/ponger")
    key = keys.subject["public_key"]
    {:ok, "one"} = Exosuit.start_actor(it.host, file, id: "one", config: %{"tenant" => "a"})
    assert {:ok, "first"} = Exosuit.call(it.host, key, "op", "")
    assert {:ok, "first"} = Exosuit.call(it.host, "wasmcloud/ponger", "op", "")

    # With the same settings it makes no difference which of the two answers.
    {:ok, "same"} = Exosuit.start_actor(it.host, file, id: "same", config: %{"tenant" => "a"})
    assert {:ok, "first"} = Exosuit.call(it.host, key, "op", "")
    assert :ok = Exosuit.stop_actor(it.host, "same")

    {:ok, "two"} = Exosuit.start_actor(it.host, file, id: "two", config: %{"tenant" => "b"})

    for name <- [key, "wasmcloud/ponger"] do
      assert {:error, %Error{reason: :unknown_target} = error} =
               Exosuit.call(it.host, name, "op", "")

      assert Exception.message(error) =~ "ambiguous"
      assert Exception.message(error) =~ "one, two"
    end

    for id <- ["one", "two"], do: assert({:ok, "first"} = Exosuit.call(it.host, id, "op", ""))

    assert {:error, %Error{reason: :conflict, detail: detail}} = Exosuit.fetch_actor(it.host, key)
    assert detail =~ "one, two"
    assert {:ok, %{id: "two", public_key: ^key}} = Exosuit.fetch_actor(it.host, "two")

    # A public key that was ambiguous is not any more.
    assert :ok = Exosuit.stop_actor(it.host, "one")
    assert {:ok, "first"} = Exosuit.call(it.host, key, "op", "")
    assert {:ok, %{id: "two"}} = Exosuit.fetch_actor(it.host, key)
  end

  test "both generations of the control interface list each of them", it do
    {file, keys} = Guests.sign(it.dir, "busy")
    key = keys.subject["public_key"]
    for id <- ["one", "two"], do: {:ok, ^id} = Exosuit.start_actor(it.host, file, id: id)
    inventory = Exosuit.inventory(it.host)

    assert %{"components" => components} = answer(V1, inventory)["response"]
    assert ["one", "two"] = Enum.sort(for component <- components, do: component["id"])

    assert %{"actors" => actors} = answer(Otp, inventory)
    assert [^key, ^key] = for(actor <- actors, do: actor["id"])
  end

  test "an actor under its public key and under an id beside it", it do
    {file, keys} = Guests.sign(it.dir, "busy")
    key = keys.subject["public_key"]
    {:ok, "web"} = Exosuit.start_actor(it.host, file, id: "web", config: %{"tenant" => "a"})
    {:ok, ^key} = Exosuit.start_actor(it.host, file)
    # The id goes before the key of another.
    assert {:ok, "first"} = Exosuit.call(it.host, key, "op", "")
    assert {:ok, %{id: ^key}} = Exosuit.fetch_actor(it.host, key)
  end

  test "a name of another issuer's is refused, also while its owner is being restarted", it do
    {owner, keys} = Guests.sign(it.dir, "busy", alias: "pong")
    {:ok, "owner"} = Exosuit.start_actor(it.host, owner, id: "owner")
    {alias, _keys} = Guests.sign(it.dir, "second", alias: "pong")
    {key, _keys} = Guests.sign(it.dir, "second", subject: keys.subject, rev: 7)

    refused = fn code, options ->
      assert {:error, %Error{reason: :conflict} = error} =
               Exosuit.start_actor(it.host, code, options)

      for said <- [options[:id], "owner", keys.issuer["public_key"]],
          do: assert(Exception.message(error) =~ said)
    end

    for _time <- 1..2 do
      refused.(alias, id: "thief")
      refused.(key, id: "thief")
      refused.(Guests.path("second"), id: "pong")
      assert {:ok, "first"} = Exosuit.call(it.host, "pong", "op", "")
      # It answers a moment before the directory says so.
      kill(eventually(fn -> Exosuit.whereis(it.host, "owner") end))
    end

    assert {:ok, "first"} = Exosuit.call(it.host, "pong", "op", "")
    assert [%{id: "owner"}] = Exosuit.inventory(it.host).actors
    assert :ok = Exosuit.stop_actor(it.host, "owner")
    assert {:ok, "thief"} = Exosuit.start_actor(it.host, alias, id: "thief")
    assert {:ok, "second"} = Exosuit.call(it.host, "pong", "op", "")
  end

  defp answer(protocol, inventory) do
    reply = protocol.encode_reply(%Command.Inventory{}, {:ok, inventory})
    {:ok, answer} = Exosuit.Json.encode(reply)
    {:ok, answer} = Exosuit.Json.decode(answer)
    answer
  end
end
