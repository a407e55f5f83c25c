defmodule Plugins.DiscountTest do
  # A plugin alone, on a host whose clock the test moves.
  use Exosuit.Case, async: true

  alias Exosuit.Case.Clock

  @order %{
    id: "1",
    currency: :eur,
    lines: [%{article: "bolt", quantity: 10, unit_price: 1.0}],
    note: nil
  }

  test "ten pieces get a discount on Sundays" do
    clock = Clock.new(~U[2026-12-05 23:59:00Z])
    host = start_host!(actors: [discount: "priv/discount.wasm"], clock: clock)
    {:ok, "log_provider"} = Exosuit.start_provider(host, Plugins.LogProvider)
    {:ok, "keyvalue"} = Exosuit.start_provider(host, "keyvalue")

    for {target, contract} <- [{"log_provider", "shop:plugins"}, {"keyvalue", "wasi:keyvalue"}],
        do: :ok = Exosuit.put_link(host, source: "discount", target: target, contract: contract)

    assert {:ok, %{lines: [%{unit_price: 1.0}]}} = transform(host)

    Clock.advance(clock, :timer.minutes(1))
    assert {:ok, %{lines: [%{unit_price: 0.9}]}} = transform(host)

    Clock.advance(clock, :timer.hours(24))
    assert {:ok, %{lines: [%{unit_price: 1.0}]}} = transform(host)
  end

  defp transform(host), do: Plugins.World.transform(@order, host: host, actor: "discount")
end
