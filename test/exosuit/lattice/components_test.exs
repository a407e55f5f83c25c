defmodule Exosuit.Lattice.ComponentsTest do
  # Components whose callers are on another host: requests of HTTP, and typed values.
  use ExUnit.Case, async: true
  use Exosuit.HostCase

  alias Exosuit.Http

  setup do
    server = Exosuit.Nats.start!()
    {:ok, {_public_key, seed}} = Exosuit.Claims.generate_key("cluster")
    options = Exosuit.Nats.options(server, cluster_seed: seed)
    [one, two] = for _ <- 1..2, do: start_supervised_host!(nats: options)
    %{one: one, two: two}
  end

  test "an HTTP server serves what runs on another host", %{one: one, two: two} do
    {:ok, "web"} = Exosuit.start_actor(two, Guests.component("web"), id: "web", instances: 8)
    {:ok, "server"} = Exosuit.start_provider(one, "http-server", id: "server")
    port = free_port()

    :ok =
      Exosuit.put_link(one,
        source: "server",
        target: "web",
        contract: "wasi:http",
        interfaces: ["incoming-handler"],
        source_config: %{"address" => "127.0.0.1:#{port}"}
      )

    assert eventually(fn -> match?({200, _body}, Http.request(port, "GET", "/hello")) end)
    body = :binary.copy("0123456789abcdef", 10_000)
    assert {200, ^body} = Http.request(port, "POST", "/echo", body)
  end

  test "a component calls one on another host, and is called with values", context do
    %{one: one, two: two} = context
    interface = "exosuit:test/calculator@1.0.0"
    {:ok, "calc"} = Exosuit.start_actor(two, Guests.component("calculator"), id: "calc")
    add = fn -> Exosuit.call(one, "calc", interface <> "#add", [1, 2]) end
    assert eventually(fn -> add.() == {:ok, 3} end)

    {:ok, "asks"} = Exosuit.start_actor(one, Guests.component("delegator"), id: "asks")
    link = [source: "asks", target: "calc", contract: "exosuit:test", interfaces: ["calculator"]]
    :ok = Exosuit.put_link(one, link)
    delegator = "exosuit:test/delegator@1.0.0#add"
    assert eventually(fn -> Exosuit.call(one, "asks", delegator, [1, 2]) == {:ok, 3} end)
  end
end
