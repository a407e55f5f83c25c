defmodule Exosuit.Lattice.CallsTest do
  # Two hosts that share a lattice over a real server: what runs on one is called from the other.
  use ExUnit.Case, async: true
  use Exosuit.HostCase

  alias Exosuit.Directory
  alias Exosuit.Lattice.{Bus, Nats, Session}

  @counter Path.expand("../../../examples/counter/counter_s.wasm", __DIR__)

  setup do
    server = Exosuit.Nats.start!()
    {:ok, {_public_key, seed}} = Exosuit.Claims.generate_key("cluster")
    options = Exosuit.Nats.options(server, cluster_seed: seed)
    [one, two] = for _ <- 1..2, do: start_supervised_host!(nats: options)
    for host <- [one, two], do: await_connected(host)
    %{server: server, one: one, two: two, options: options}
  end

  test "an actor is found wherever it runs", %{one: one, two: two} do
    start_actor!(two, "echo", "echo")

    assert eventually(fn ->
             Exosuit.call(one, "echo", "echo", "over there") == {:ok, "over there"}
           end)

    large = :binary.copy("0123456789abcdef", 100_000)
    assert {:ok, ^large} = Exosuit.call(one, "echo", "echo", large, timeout: 30_000)

    assert {:error, %Error{reason: :unavailable} = error} =
             Exosuit.call(one, "nobody", "echo", "")

    assert Exception.message(error) =~ "nobody"

    :ok = Exosuit.stop_actor(two, "echo")

    assert eventually(fn ->
             match?({:error, %Error{reason: :unavailable}}, Exosuit.call(one, "echo", "echo", ""))
           end)
  end

  test "hosts of one cluster call each other with MACs, once a heartbeat says so", context do
    %{one: one, two: two} = context
    start_actor!(two, "echo", "echo")
    lattice = Directory.fetch!(one, :instance).lattice
    {:ok, spy} = Bus.subscribe(lattice, "exosuit.rpc.default.echo.mac.*")
    :ok = Exosuit.heartbeat(two)

    assert eventually(fn ->
             Exosuit.call(one, "echo", "echo", "hello") == {:ok, "hello"} and heard?(spy, "hello")
           end)

    assert Session.refused_calls(Directory.fetch!(two, :instance).lattice) == %{}
  end

  test "a guest calls what runs elsewhere, within its links and claims", %{one: one, two: two} do
    {:ok, actor} = Exosuit.start_actor(one, @counter)
    {:ok, "kv"} = Exosuit.start_provider(two, "keyvalue", id: "kv")
    request = Exosuit.MessagePack.encode!(request())
    call = fn -> Exosuit.call(one, actor, "HttpServer.HandleRequest", request) end
    assert {:error, %Error{}} = call.()

    link = [source: actor, target: "kv", contract: "wasmcloud:keyvalue"]
    for host <- [one, two], do: :ok = Exosuit.put_link(host, link)
    assert eventually(fn -> match?({:ok, _}, call.()) end)
    assert {:ok, answer} = call.()
    assert {:ok, %{"body" => {:bin, body}}} = Exosuit.MessagePack.decode(answer)
    assert body =~ "counter"
  end

  test "without a server, what runs here goes on and the rest fails at once", context do
    %{one: one, two: two, server: server} = context
    start_actor!(one, "here", "echo")
    start_actor!(two, "there", "echo")
    assert eventually(fn -> match?({:ok, _}, Exosuit.call(one, "there", "echo", "")) end)

    server = Exosuit.Nats.kill(server)

    assert eventually(fn ->
             match?(
               {:error, %Error{reason: :unavailable}},
               Exosuit.call(one, "there", "echo", "")
             )
           end)

    assert {:ok, "on"} = Exosuit.call(one, "here", "echo", "on")
    Exosuit.Nats.restart!(server)
    assert eventually(fn -> match?({:ok, _}, Exosuit.call(one, "there", "echo", "")) end)
  end

  test "a host of another cluster is not listened to", context do
    %{server: server, two: two} = context
    stranger = start_supervised_host!(nats: Exosuit.Nats.options(server))
    await_connected(stranger)
    :ok = Exosuit.subscribe(two)
    start_actor!(two, "echo", "echo")

    assert eventually(fn ->
             match?(
               {:error, %Error{reason: :invalid_claims}},
               Exosuit.call(stranger, "echo", "echo", "secret words")
             )
           end)

    assert_receive {:exosuit_event, %{type: "invocations_refused", data: data}}, 10_000
    assert data.kind == "forged"
    refute inspect(data) =~ "secret words"
    assert %{"forged" => _count} = Session.refused_calls(Directory.fetch!(two, :instance).lattice)
  end

  # The first that is heard is the question whether there is anybody.
  defp heard?(%{reference: reference} = spy, text) do
    receive do
      {:exosuit_lattice, ^reference, {_subject, _reply_to, payload}} ->
        :ok = Bus.next(spy)
        :binary.match(payload, text) != :nomatch or heard?(spy, text)
    after
      0 -> false
    end
  end

  defp await_connected(host) do
    lattice = Directory.fetch!(host, :instance).lattice

    assert eventually(fn ->
             match?(%{control: :connected, rpc: :connected}, Nats.state(lattice.handle))
           end)
  end

  defp request do
    %{
      "method" => "GET",
      "path" => "/",
      "queryString" => "",
      "header" => %{},
      "body" => {:bin, ""}
    }
  end
end
