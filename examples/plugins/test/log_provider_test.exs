defmodule Plugins.LogProviderTest do
  # The capability alone, with a real guest on a host of the test's own.
  use Exosuit.Case, async: true

  @order %{id: "1", currency: :chf, lines: [], note: nil}

  test "a line goes to the log of the actor that wrote it" do
    host = start_host!(actors: ["lone-plugin": "priv/discount.wasm"])
    {:ok, "log_provider"} = Exosuit.start_provider(host, Plugins.LogProvider)

    :ok =
      Exosuit.put_link(host,
        source: "lone-plugin",
        target: "log_provider",
        contract: "shop:plugins"
      )

    assert {:error, "an order needs a line"} =
             Plugins.World.transform(@order, host: host, actor: "lone-plugin")

    assert [warning: "order 1 has no lines"] = Plugins.Log.lines("lone-plugin")
  end

  test "without a link there is no log" do
    host = start_host!(actors: ["other-plugin": "priv/discount.wasm"])

    assert {:error, %Exosuit.Error{reason: :missing_link}} =
             Plugins.World.transform(@order, host: host, actor: "other-plugin")
  end
end
