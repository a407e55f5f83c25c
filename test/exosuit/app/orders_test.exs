defmodule Exosuit.App.OrdersTest do
  use ExUnit.Case, async: true

  alias Exosuit.App.Orders
  alias Exosuit.Error

  doctest Orders

  @refused Error.new(:conflict, "the port is in use")
  @bad Error.new(:invalid_module, "no Wasm")

  test "orders of one application run one after the other, and the last that waits counts" do
    assert {:run, orders} = Orders.add(%Orders{}, order(1))
    assert {:wait, orders} = Orders.add(orders, order(2))
    assert {:wait, orders} = Orders.add(orders, order(3))
    assert {:run, orders} = Orders.add(orders, %{order(1) | app: "other"})
    assert Orders.busy?(orders, "app", 1) and Orders.busy?(orders, "app", 3)
    refute Orders.busy?(orders, "app", 2)

    assert {orders, %{version: 3}} = Orders.finished(orders, order(1), made([]))
    assert %{order: %{version: 1}, error: nil} = Orders.fetch(orders, "app")
    assert {orders, nil} = Orders.finished(orders, order(3), made([]))
    refute Orders.busy?(orders, "app")
  end

  test "what may work later is made again, with longer and longer pauses; what is final is not" do
    {:run, orders} = Orders.add(%Orders{}, order(1))
    failed = [{{:link, link()}, {:error, @refused}}]
    {orders, nil} = Orders.finished(orders, order(1), made(failed))
    assert {first, orders} = Orders.retry(orders, "app", 0)
    {:run, orders} = Orders.add(orders, order(1))
    {orders, nil} = Orders.finished(orders, order(1), {:error, @refused})
    assert {second, orders} = Orders.retry(orders, "app", first)
    assert second > first

    {:run, orders} = Orders.add(orders, order(2))
    final = [{{:start, {:actor, "a"}}, {:error, @bad}}]
    {orders, nil} = Orders.finished(orders, order(2), made(final))
    assert {nil, _orders} = Orders.retry(orders, "app", 0)
  end

  defp order(version) do
    %{
      app: "app",
      version: version,
      share: %{"a" => 1},
      model: nil,
      former: [],
      keep_links?: false,
      allow_issuer_change?: false,
      alone?: false,
      sources: %{}
    }
  end

  defp link do
    %Exosuit.Model.Link{source: "a", target: "b", namespace: "wasmcloud", package: "keyvalue"}
  end

  defp made(steps), do: {:ok, %{steps: steps, workloads: %{"a" => :running}}}
end
