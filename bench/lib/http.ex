defmodule Exosuit.Bench.Http do
  @moduledoc false
  # Requests to a wasmbus actor that says hello, each in a fresh instance.

  alias Exosuit.Bench.{Floor, Measure, Row}

  @connections 32
  @requests 32_000

  @spec rows(Floor.t(), atom()) :: [Row.t()]
  def rows(floor, host) do
    port = listen(host)

    [plain, ours] =
      Measure.medians(
        for port <- [floor.http, port] do
          fn -> Floor.load(floor, port, @connections, @requests) end
        end
      )

    name = "HTTP → wasmbus actor, fresh instance, #{@connections} connections"
    [Row.new(name, "requests/s", @requests / ours, @requests / plain, nil)]
  end

  defp listen(host) do
    {:ok, "web-server"} = Exosuit.start_provider(host, "http-server", id: "web-server")

    :ok =
      Exosuit.put_link(host,
        source: "web",
        target: "web-server",
        contract: "wasmcloud:httpserver",
        target_config: %{"address" => "127.0.0.1:0"}
      )

    [endpoint] = Enum.flat_map(Exosuit.inventory(host).providers, & &1.endpoints)
    [port] = Regex.run(~r/:(\d+)/, endpoint, capture: :all_but_first)
    String.to_integer(port)
  end
end
