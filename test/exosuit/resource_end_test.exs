defmodule Exosuit.ResourceEndTest do
  # A provider hears of the end of each resource that it has made, once, also if no guest ever got it.
  use Exosuit.HostCase, async: true

  alias Exosuit.Resource

  defmodule Carts do
    @moduledoc "Answers acme:shop/carts when the process in its configuration says so."
    use Exosuit.Provider, contract: "acme:shop"

    @carts "acme:shop/carts@1.2.0#"

    @impl Exosuit.Provider
    def init(%{"test" => test}), do: {:ok, test |> String.to_charlist() |> :erlang.list_to_pid()}

    @impl Exosuit.Provider
    def handle_function(@carts <> "[constructor]cart", [total], context) do
      # Late, if the test wants it.
      if total == 100, do: wait(context)
      if total == 7, do: [Resource.new(total)], else: Resource.new(total)
    end

    def handle_function(@carts <> "[static]cart.merge", [one, other], context) do
      wait(context)
      Resource.new(one + other)
    end

    def handle_function(@carts <> "[method]cart.add", [total, n], _context), do: total + n
    # No number.
    def handle_function(@carts <> "take", [total], _context), do: Resource.new({:taken, total})

    @impl Exosuit.Provider
    def handle_drop("acme:shop/carts/cart" = type, total, context),
      do: send(context.state, {:dropped, type, total})

    def handle_drop(nil, {:taken, total}, context) when total != 13,
      do: send(context.state, {:dropped, nil, {:taken, total}})

    def handle_drop(nil, total, context) when is_integer(total),
      do: send(context.state, {:dropped, nil, total})

    # The process that could end this one is told to us.
    defp wait(context) do
      [calls | _] = Process.get(:"$ancestors")
      send(context.state, {:asked, self(), calls})
      receive do: (:answer -> :ok)
    end
  end

  defmodule TypedCarts do
    @moduledoc "The same of WIT."
    use Exosuit.Provider, wit: "test/guests/text/carts.wit", interface: "acme:shop/carts"

    @impl Exosuit.Provider
    defdelegate init(config), to: Carts

    @impl __MODULE__.Behaviour
    def new_cart(total, _context), do: Resource.new(total)

    @impl __MODULE__.Behaviour
    def cart_add(total, n, _context), do: total + n

    @impl __MODULE__.Behaviour
    def cart_merge(one, other, _context), do: Resource.new(one + other)

    @impl __MODULE__.Behaviour
    def take(total, _context), do: Resource.new({:taken, total})

    @impl __MODULE__.Behaviour
    def drop_cart(total, context), do: send(context.state, {:dropped, :cart, total})
  end

  setup context do
    host = start_supervised_host!([])
    test = self() |> :erlang.pid_to_list() |> to_string()
    module = context[:provider] || Carts
    {:ok, _id} = Exosuit.start_provider(host, module, id: "provider", config: %{"test" => test})
    start_actor!(host, "shopper", "shopper")
    :ok = Exosuit.put_link(host, source: "shopper", target: "provider", contract: "acme:shop")
    %{host: host}
  end

  test "one whose answer comes too late ends, with the type of its constructor", %{host: host} do
    late!(host, "fetch", 100)
    assert_receive {:dropped, "acme:shop/carts/cart", 100}
    assert_no_more(host)
  end

  test "one whose answer comes too late ends without a type, if no guest said it", %{host: host} do
    late!(host, "shop", 5)
    assert_receive {:dropped, nil, 6}
    assert_no_more(host)
  end

  test "one in an answer that does not fit ends, with the type of the function", %{host: host} do
    assert {:error, %Error{reason: :provider}} = Exosuit.call(host, "shopper", "fetch", [7])
    assert_receive {:dropped, "acme:shop/carts/cart", 7}
    assert_no_more(host)
  end

  test "one that a function without resources answers ends without a type", %{host: host} do
    taken!(host, 8)
    assert_receive {:dropped, nil, {:taken, 8}}
    assert_no_more(host)
  end

  @tag provider: TypedCarts
  test "one without a type is the only resource of an interface", %{host: host} do
    taken!(host, 8)
    assert_receive {:dropped, :cart, {:taken, 8}}
  end

  test "a provider that does not expect one without a type works on", %{host: host} do
    provider = Exosuit.whereis(host, "provider")
    :ok = Exosuit.subscribe(host)
    taken!(host, 13)
    failed = receive_failure("[resource-drop]")
    assert failed.error =~ "raised FunctionClauseError"
    assert_no_more(host)
    assert Exosuit.whereis(host, "provider") == provider
  end

  @tag provider: TypedCarts
  test "an instance holds so many, and each of them ends with it", %{host: host} do
    hoarded = Exosuit.call(host, "shopper", "hoard", [4_097], timeout: 120_000)
    assert {:error, %Error{reason: :provider, detail: detail}} = hoarded
    assert detail =~ "the instance holds 4096 resources, as many as it may"

    ended =
      for _ <- 1..4_097 do
        assert_receive {:dropped, :cart, total}
        total
      end

    assert Enum.sort(ended) == Enum.to_list(1..4_097)
  end

  defp receive_failure(operation) do
    assert_receive {:exosuit_event,
                    %{type: "invocation_failed", data: %{operation: ^operation} = failed}}

    failed
  end

  # The process that would end the call at its deadline stands still meanwhile, so that the call answers after it.
  defp late!(host, function, argument) do
    call = fn -> Exosuit.call(host, "shopper", function, [argument], timeout: 200) end
    task = Task.async(call)
    assert_receive {:asked, pid, calls}
    :ok = :sys.suspend(calls)
    assert {:error, %Error{reason: :deadline}} = Task.await(task)
    monitor = Process.monitor(pid)
    send(pid, :answer)
    assert_receive {:DOWN, ^monitor, :process, _pid, _reason}
    :ok = :sys.resume(calls)
  end

  defp taken!(host, total) do
    {:ok, cart} = Exosuit.call(host, "shopper", "fetch", [total])
    assert {:error, %Error{reason: :provider}} = Exosuit.call(host, "shopper", "return", [cart])
  end

  # The end of another one comes after the ends of those before it.
  defp assert_no_more(host) do
    assert Exosuit.call(host, "shopper", "visit", [1]) == {:ok, 2}
    assert_receive {:dropped, "acme:shop/carts/cart", 1}
    refute_received {:dropped, _type, _state}
  end
end
