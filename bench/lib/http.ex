defmodule Exosuit.Bench.Http do
  @moduledoc false
  # Requests to actors that say hello: a wasmbus module and a component, each in a fresh instance, and
  # the component in warm ones. The floor of a component is a fresh instance in either case.

  alias Exosuit.Bench.{Floor, Measure, Row}

  @connections 32
  @requests 32_000

  @spec rows(Floor.t(), atom()) :: [Row.t()]
  def rows(floor, host) do
    wasmbus = listen(host, "web", &wasmbus/2)
    fresh = listen(host, "component", &component/2)
    warm = listen(host, "component-warm", &component/2)

    [plain, ours] = rates(floor, "wasmbus", [floor.http, wasmbus])
    [served, fresh, warm] = rates(floor, "component", [floor.component, fresh, warm])

    [
      row("wasmbus actor, fresh instance", ours, plain, nil),
      row("component, fresh instance", fresh, served, {:at_least, 1.0, :ratio}),
      row("component, warm instance", warm, served, {:at_least, 2, :ratio})
    ]
  end

  defp row(what, ours, floor, goal) do
    Row.new("HTTP → #{what}, #{@connections} connections", "requests/s", ours, floor, goal)
  end

  # Requests a second to each of the ports, behind which the same guest answers.
  defp rates(floor, guest, ports) do
    rounds =
      for port <- ports, do: fn -> Floor.load(floor, guest, port, @connections, @requests) end

    for seconds <- Measure.medians(rounds), do: @requests / seconds
  end

  defp listen(host, actor, link) do
    server = "#{actor}-server"
    {:ok, ^server} = Exosuit.start_provider(host, "http-server", id: server)
    :ok = Exosuit.put_link(host, link.(actor, server))

    [endpoint] = Enum.find(Exosuit.inventory(host).providers, &(&1.id == server)).endpoints
    [port] = Regex.run(~r/:(\d+)/, endpoint, capture: :all_but_first)
    String.to_integer(port)
  end

  @address %{"address" => "127.0.0.1:0"}

  defp wasmbus(actor, server) do
    [source: actor, target: server, contract: "wasmcloud:httpserver", target_config: @address]
  end

  defp component(actor, server) do
    [source: server, target: actor, contract: "wasi:http", source_config: @address]
  end
end
