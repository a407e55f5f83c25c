defmodule Exosuit.RoutesTest do
  # Two HTTP servers on one port, over real sockets; and what a link may allow the client.
  use Exosuit.HostCase, async: true

  alias Exosuit.Http

  @web Path.expand("../guests/components/web.wasm", __DIR__)
  @contract "wasi:http"

  setup do
    host = start_supervised_host!()
    port = free_port()
    for id <- ["one", "two"], do: start_web!(host, id, port)
    %{host: host, port: port}
  end

  test "components share a port by path, each by a server of its own", it do
    assert {200, _hello} = Http.request(it.port, "GET", "/hello")
    assert {200, body} = Http.request(it.port, "POST", "/echo", "over and back")
    assert body == "over and back"
    assert {404, "Not Found\n"} = Http.request(it.port, "GET", "/elsewhere")
  end

  test "a server that is killed takes its route again, and the other keeps its connections", it do
    {:ok, kept} = Http.connect(it.port)
    assert {200, hello} = Http.exchange(kept, "GET", "/hello")

    for _ <- 1..3 do
      pid = eventually(fn -> Exosuit.whereis(it.host, "http-two") end)
      kill(pid)
      eventually(fn -> Exosuit.whereis(it.host, "http-two") not in [nil, pid] end)
      assert {200, ^hello} = Http.exchange(kept, "GET", "/hello")
    end

    assert eventually(fn -> Http.exchange(kept, "POST", "/echo", "again") == {200, "again"} end)
  end

  test "a place that is taken is refused with the actor that has it", it do
    assert {:error, %Error{reason: :conflict} = error} = link(it, "two", "other", "/hello")
    assert Exception.message(error) =~ "127.0.0.1:#{it.port} already serves the actor one"
  end

  test "what a link may not allow is refused when it is made", it do
    {:ok, "http-client"} = Exosuit.start_provider(it.host, "http-client")

    assert {:error, %Error{reason: :invalid_link} = error} =
             put_client(it.host, "one", "https://a.example/")

    assert Exception.message(error) =~ "allowed_hosts"
  end

  # The component `one` serves /hello, `two` serves /echo.
  defp start_web!(host, id, port) do
    {:ok, ^id} = Exosuit.start_actor(host, @web, id: id, instances: 8)
    server = "http-" <> id
    {:ok, ^server} = Exosuit.start_provider(host, "http-server", id: server)
    it = %{host: host, port: port}
    paths = %{"one" => "/hello", "two" => "/echo"}
    :ok = link(it, id, "default", paths[id])
  end

  defp link(it, id, name, path) do
    Exosuit.put_link(it.host,
      source: "http-" <> id,
      target: id,
      contract: @contract,
      interfaces: ["incoming-handler"],
      name: name,
      source_config: %{"address" => "127.0.0.1:#{it.port}", "path" => path}
    )
  end

  defp put_client(host, id, allowed) do
    Exosuit.put_link(host,
      source: id,
      target: "http-client",
      contract: @contract,
      interfaces: ["outgoing-handler"],
      target_config: %{"allowed_hosts" => allowed}
    )
  end
end
