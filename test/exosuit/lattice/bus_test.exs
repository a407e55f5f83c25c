defmodule Exosuit.Lattice.BusTest do
  use ExUnit.Case, async: true
  use Exosuit.HostCase

  alias Exosuit.Directory
  alias Exosuit.Lattice.{Bus, Nats, Store}

  setup do
    server = Exosuit.Nats.start!()
    host = start_supervised_host!(nats: Exosuit.Nats.options(server))
    lattice = Directory.fetch!(host, :instance).lattice

    assert eventually(fn ->
             match?(%{control: :connected, rpc: :connected}, Nats.state(lattice.handle))
           end)

    %{server: server, lattice: lattice}
  end

  test "messages reach who listens, one at a time", %{lattice: lattice} do
    {:ok, subscription} = Bus.subscribe(lattice, "things.*")
    reference = subscription.reference
    for n <- 1..3, do: assert(:ok = Bus.publish(lattice, "things.#{n}", "#{n}"))
    assert_receive {:exosuit_lattice, ^reference, {"things.1", nil, "1"}}, 10_000
    refute_received {:exosuit_lattice, ^reference, _more}

    for n <- 2..3 do
      :ok = Bus.next(subscription)
      subject = "things.#{n}"
      assert_receive {:exosuit_lattice, ^reference, {^subject, nil, _payload}}, 10_000
    end

    :ok = Bus.unsubscribe(subscription)
  end

  test "a request is answered, and one that nobody takes fails at once", %{lattice: lattice} do
    {:ok, %{reference: reference}} = Bus.subscribe(lattice, "ask", "group")
    asked = Task.async(fn -> Bus.request(lattice, "ask", "how", 30_000) end)
    assert_receive {:exosuit_lattice, ^reference, {"ask", reply_to, "how"}}, 10_000
    :ok = Bus.publish(lattice, reply_to, "so")
    assert {:ok, "so"} = Task.await(asked)
    assert {:error, %Error{reason: :unavailable}} = Bus.request(lattice, "nobody", "", 30_000)
    assert {:ok, []} = Bus.gather(lattice, "nobody", "", 30_000, 10)
  end

  test "what ends with its process takes nothing more", %{lattice: lattice} do
    listener = Task.async(fn -> Bus.subscribe(lattice, "alone") end)
    {:ok, _subscription} = Task.await(listener)

    assert eventually(fn ->
             match?(
               {:error, %Error{reason: :unavailable}},
               Bus.request(lattice, "alone", "", 200)
             )
           end)
  end

  test "what is shared is written once, whoever comes between", %{lattice: lattice} do
    assert {:ok, 0} = Store.prepare(lattice)
    assert {:ok, nil} = Store.get(lattice, :data, "K")

    add = fn old -> {:put, "#{String.to_integer(old || "0") + 1}"} end

    results =
      1..8
      |> Enum.map(fn _ -> Task.async(fn -> Store.update(lattice, :data, "K", add) end) end)
      |> Task.await_many(60_000)

    assert Enum.all?(results, &(&1 == :ok))
    assert {:ok, "8"} = Store.get(lattice, :data, "K")
    assert :ok = Store.update(lattice, :data, "K", fn "8" -> :keep end)
    assert :ok = Store.delete(lattice, :data, "K")
    assert {:ok, nil} = Store.get(lattice, :data, "K")
  end

  test "a watch tells what there is, and goes on through an outage", context do
    %{lattice: lattice, server: server} = context
    :ok = Store.update(lattice, :configurations, "a", fn nil -> {:put, "1"} end)
    {:ok, watch} = Store.watch(lattice, :configurations)
    assert {:put, "a", "1", _revision} = change(watch)
    assert :current = change(watch)

    server = Exosuit.Nats.kill(server)

    assert eventually(fn ->
             match?(
               {:error, %Error{reason: :unavailable}},
               Store.get(lattice, :configurations, "a")
             )
           end)

    Exosuit.Nats.restart!(server)

    assert eventually(fn ->
             Store.update(lattice, :configurations, "b", fn _ -> {:put, "2"} end) == :ok
           end)

    assert {:put, "b", "2", _revision} = await_put(watch, "b")
  end

  test "options that cannot be are an error of the start", %{server: server} do
    Process.flag(:trap_exit, true)
    options = [name: BusTest.Wrong, trusted_issuers: :any]
    start = &Exosuit.start_link(options ++ [nats: Exosuit.Nats.options(server, &1)])

    assert {:error, %Error{reason: :invalid_input}} = start.(cluster_seed: "SUAABC")
    assert {:error, %Error{reason: :invalid_input}} = start.(host_seed: "SUAABC")
    assert {:error, %Error{reason: :invalid_input}} = start.(jwt: "alone")
    assert_raise ArgumentError, ~r/:servers/, fn -> start.(servers: []) end
  end

  defp change(%{reference: reference} = watch) do
    assert_receive {:exosuit_lattice, ^reference, change}, 10_000
    :ok = Bus.next(watch)
    change
  end

  defp await_put(watch, key) do
    case change(watch) do
      {:put, ^key, _value, _revision} = put -> put
      _other -> await_put(watch, key)
    end
  end
end
