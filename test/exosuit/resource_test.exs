defmodule Exosuit.ResourceTest do
  # Resources of guests and of providers. `carts` has some, and counts how many it destroyed; `shopper` uses them.
  use Exosuit.HostCase, async: true

  alias Exosuit.Resource

  @carts "acme:shop/carts@1.2.0#"

  setup context do
    host = start_supervised_host!([])
    if context[:carts] != false, do: start_actor!(host, "carts", "carts", context[:options] || [])
    %{host: host}
  end

  test "a constructor, methods, statics and functions", %{host: host} do
    cart = new!(host, 5)
    assert %Resource{type: "acme:shop/carts/cart", owner: "carts"} = cart
    assert inspect(cart) == "#Exosuit.Resource<acme:shop/carts/cart of carts>"
    assert call(host, "[method]cart.add", [cart, 3]) == {:ok, 8}
    assert call(host, "[method]cart.add", [cart, 1]) == {:ok, 9}

    {:ok, copy} = call(host, "[method]cart.copy", [cart])
    {:ok, merged} = call(host, "[static]cart.merge", [cart, copy])
    assert call(host, "[method]cart.add", [merged, 0]) == {:ok, 18}
    assert call(host, "take", [merged]) == {:ok, 18}

    # The short name means the same.
    assert {:ok, %Resource{}} =
             Exosuit.call(host, "carts", "acme:shop/carts#[constructor]cart", [1])
  end

  test "resources are in lists, each way", %{host: host} do
    {:ok, carts} = call(host, "many", [5])

    assert Enum.map(carts, &call(host, "[method]cart.add", [&1, 0])) ==
             for(n <- 0..4, do: {:ok, n})

    assert call(host, "sum", [carts]) == {:ok, 10}
    assert call(host, "sum", [carts ++ carts]) == {:ok, 20}
  end

  test "what one process gets lives in one instance, and each process has its own", %{host: host} do
    [one, two] = for n <- 1..2, do: new!(host, n)
    other = elsewhere(fn -> new!(host, 3) end)
    assert {:ok, merged} = call(host, "[static]cart.merge", [one, two])
    cart = new!(host, 4)
    assert call(host, "[method]cart.destroyed", [cart]) == {:ok, 2}
    assert call(host, "[method]cart.destroyed", [other.value]) == {:ok, 0}

    assert_refused(
      call(host, "sum", [[cart, other.value]]),
      "#{@carts}sum: carts[1]: the resource lives in another instance"
    )

    assert call(host, "sum", [[cart]]) == {:ok, 4}
    # Until here: the garbage collector would destroy it too.
    assert call(host, "take", [merged]) == {:ok, 3}
  end

  test "a resource that was given away or dropped is an error, by its path", %{host: host} do
    [one, two, three] = for n <- 1..3, do: new!(host, n)
    gone = "the resource was dropped or given away before"
    assert call(host, "take", [one]) == {:ok, 1}
    assert_refused(call(host, "take", [one]), "#{@carts}take: cart: #{gone}")
    assert_refused(call(host, "[method]cart.add", [one, 1]), "self: #{gone}")
    assert :ok = Resource.drop(two)
    assert :ok = Resource.drop(two)
    assert_refused(call(host, "sum", [[three, two]]), "carts[1]: #{gone}")

    twice = "the resource is given away, and cannot be in the same call twice"
    assert_refused(call(host, "[static]cart.merge", [three, three]), "b: #{twice}")
    # Nothing was given away by a call that was refused.
    assert call(host, "take", [three]) == {:ok, 3}
  end

  test "what is no such resource is an error", %{host: host} do
    start_actor!(host, "others", "carts")
    foreign = new!(host, 1, "others")

    assert_refused(
      call(host, "take", [foreign]),
      "cart: expected a resource acme:shop/carts/cart of this actor, got a resource acme:shop/carts/cart of others"
    )

    assert_refused(
      call(host, "take", [7]),
      "cart: expected a resource acme:shop/carts/cart, got an integer"
    )

    assert_refused(
      call(host, "take", [Resource.new(1)]),
      "only the answer of a provider can have"
    )

    assert_refused(
      call(host, "take", [%Resource{ref: nil}]),
      "got an Exosuit.Resource without one"
    )
  end

  test "a dropped resource is destroyed, by hand and by the garbage collector", %{host: host} do
    kept = new!(host, 0)
    Resource.drop(new!(host, 1))
    eventually(fn -> call(host, "[method]cart.destroyed", [kept]) == {:ok, 1} end)

    for n <- 1..10, do: new!(host, n)
    :erlang.garbage_collect()
    eventually(fn -> call(host, "[method]cart.destroyed", [kept]) == {:ok, 11} end)
  end

  @tag options: [instances: 1]
  test "the instance ends with its last resource, and another process may have one", %{host: host} do
    cart = new!(host, 1)

    refused = elsewhere(fn -> call(host, "[constructor]cart", [2]) end)
    assert {:error, %Error{reason: :overloaded, detail: detail}} = refused.value
    assert detail =~ "1 instances of the actor hold resources for callers, as many as may"

    # It serves others beside.
    assert {:error, %Error{reason: :unknown_operation}} = call(host, "none", [])

    Resource.drop(cart)

    eventually(fn ->
      match?({:ok, _}, elsewhere(fn -> call(host, "[constructor]cart", [2]) end).value)
    end)
  end

  @tag options: [instances: 1]
  test "resources end with the process that got them", %{host: host} do
    owner = elsewhere(fn -> new!(host, 2) end)
    assert call(host, "[method]cart.add", [owner.value, 1]) == {:ok, 3}
    kill(owner.pid)

    eventually(fn ->
      match?(
        {:error, %Error{reason: :invalid_input}},
        call(host, "[method]cart.add", [owner.value, 1])
      )
    end)

    eventually(fn -> match?({:ok, _}, call(host, "[constructor]cart", [3])) end)
  end

  @tag options: [instances: 1, resource_idle: 50]
  test "an instance that nobody calls ends after the idle limit", %{host: host} do
    cart = new!(host, 1)

    eventually(fn ->
      match?({:ok, _}, elsewhere(fn -> call(host, "[constructor]cart", [2]) end).value)
    end)

    why = "#{@carts}take: cart: the resource is gone: no call came within the idle limit"
    assert_refused(call(host, "take", [cart]), why)
  end

  test "a trap, and a call that is given up, end the resources of the instance", %{host: host} do
    [one, two] = for n <- 1..2, do: new!(host, n)
    assert {:error, %Error{reason: :trap}} = call(host, "[method]cart.trap", [one])
    gone = "the resource is gone: a call of its instance trapped, reached a limit or was given up"
    assert_refused(call(host, "take", [two]), gone)

    cart = new!(host, 3)

    assert {:error, %Error{reason: :deadline}} =
             Exosuit.call(host, "carts", @carts <> "[method]cart.spin", [cart], timeout: 50)

    assert_refused(call(host, "take", [cart]), gone)
    assert call(host, "take", [new!(host, 4)]) == {:ok, 4}
  end

  test "a call of a process that is killed ends the resources, and no other's", %{host: host} do
    cart = new!(host, 1)
    other = elsewhere(fn -> new!(host, 2) end)

    {pid, monitor} =
      spawn_monitor(fn ->
        Exosuit.call(host, "carts", @carts <> "[method]cart.spin", [other.value])
      end)

    # While it spins, a call with the same resource waits its turn.
    add =
      &Exosuit.call(host, "carts", @carts <> "[method]cart.add", [other.value, 1], timeout: &1)

    eventually(fn -> match?({:error, %Error{reason: :deadline}}, add.(50)) end)

    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^monitor, :process, _pid, _reason}
    assert_refused(call(host, "take", [other.value]), "the resource is gone")
    assert call(host, "take", [cart]) == {:ok, 1}
  end

  test "a destructor that fails or never ends costs its instance alone", %{host: host} do
    for total <- [13, 14] do
      start = &Exosuit.call(host, "carts", @carts <> "[constructor]cart", [&1], timeout: 200)
      {:ok, bad} = start.(total)
      {:ok, good} = start.(1)
      Resource.drop(bad)

      eventually(fn ->
        refused?(call(host, "[method]cart.add", [good, 1]), "the resource is gone")
      end)
    end

    assert call(host, "take", [new!(host, 4)]) == {:ok, 4}
  end

  test "resources end when their actor is stopped or restarted or updated", %{host: host} do
    cart = new!(host, 1)
    kill(Exosuit.whereis(host, "carts"))
    eventually(fn -> refused?(call(host, "take", [cart]), "the resource is gone: ") end)

    cart = new!(host, 2)
    :ok = Exosuit.update_actor(host, "carts", Guests.path("carts"), force: true)
    assert_refused(call(host, "take", [cart]), "the resource is gone: ")

    cart = new!(host, 3)
    :ok = Exosuit.stop_actor(host, "carts")
    assert {:error, %Error{reason: :unknown_target}} = call(host, "take", [cart])
    start_actor!(host, "carts", "carts")

    assert_refused(
      call(host, "take", [cart]),
      "the resource is gone: its actor was stopped, restarted or updated"
    )
  end

  test "a process has so many, and no more", %{host: host} do
    {:ok, carts} = call(host, "many", [4_096])
    assert {:error, %Error{reason: :limit, detail: detail}} = call(host, "[constructor]cart", [1])
    assert detail =~ "holds 4096 resources, as many as it may"
    assert {:ok, 0} = call(host, "[method]cart.add", [hd(carts), 0])
    Enum.each(carts, &Resource.drop/1)
    eventually(fn -> match?({:ok, _}, call(host, "[constructor]cart", [1])) end)

    assert {:error, %Error{reason: :limit}} =
             elsewhere(fn -> call(host, "many", [5_000]) end).value
  end

  @tag options: [instances: 4, queue: 100]
  test "processes that come, drop, trap and are killed leave nothing behind", %{host: host} do
    pids =
      for n <- 1..40 do
        {pid, _monitor} =
          spawn_monitor(fn ->
            with {:ok, cart} <- call(host, "[constructor]cart", [100]) do
              spawn_link(fn -> call(host, "[method]cart.add", [cart, 1]) end)
              call(host, "[method]cart.add", [cart, n])
              if rem(n, 3) == 0, do: Resource.drop(cart)
              if rem(n, 5) == 0, do: call(host, "[method]cart.trap", [cart])
              if rem(n, 7) == 0, do: receive(do: (:never -> :ok))
              call(host, "take", [cart])
            end
          end)

        if rem(n, 7) == 0, do: Process.exit(pid, :kill)
        pid
      end

    for pid <- pids, do: assert_receive({:DOWN, _monitor, :process, ^pid, _reason}, 10_000)

    # As many may be pinned again as processes may have of four.
    eventually(fn ->
      made = for _ <- 1..3, do: elsewhere(fn -> call(host, "[constructor]cart", [1]) end)
      all? = Enum.all?(made, &match?({:ok, %Resource{}}, &1.value))
      unless all?, do: for(%{pid: pid} <- made, do: kill(pid))
      all?
    end)
  end

  test "a host stops while resources live", %{host: host} do
    cart = new!(host, 1)
    :ok = stop_supervised(host)
    assert :ok = Resource.drop(cart)
    assert :ok = Resource.drop(cart)
  end

  test "one actor has resources of another", %{host: host} do
    shop!(host)
    assert Exosuit.call(host, "shopper", "shop", [7]) == {:ok, 18}
    assert Exosuit.call(host, "shopper", "visit", [7]) == {:ok, 8}

    {:ok, cart} = Exosuit.call(host, "shopper", "fetch", [5])
    assert %Resource{type: "acme:shop/carts/cart", owner: "carts"} = cart
    assert Exosuit.call(host, "shopper", "spend", [cart, 2]) == {:ok, 7}
    assert Exosuit.call(host, "shopper", "return", [cart]) == {:ok, 7}

    assert_refused(
      Exosuit.call(host, "shopper", "spend", [cart, 2]),
      "spend: cart: the resource was dropped or given away before"
    )
  end

  test "a process that ends takes no resources of others with it", %{host: host} do
    shop!(host, warm: [])
    # One instance of the shopper got both.
    {:ok, mine} = Exosuit.call(host, "shopper", "fetch", [1])
    other = elsewhere(fn -> {:ok, _cart} = Exosuit.call(host, "shopper", "fetch", [2]) end)
    {:ok, theirs} = other.value
    assert call(host, "sum", [[mine, theirs]]) == {:ok, 3}

    kill(other.pid)
    eventually(fn -> refused?(call(host, "sum", [[theirs]]), "dropped or given away before") end)
    assert call(host, "take", [mine]) == {:ok, 1}
  end

  test "a guest that gets resources for ever reaches its limit", %{host: host} do
    shop!(host)
    assert Exosuit.call(host, "shopper", "hoard", [4_096]) == {:ok, nil}
    assert {:error, %Error{detail: detail}} = Exosuit.call(host, "shopper", "hoard", [4_097])
    assert detail =~ "4096 resources"
  end

  test "the instance that an actor has resources in ends with the actor's own", %{host: host} do
    :ok = Exosuit.stop_actor(host, "carts")
    start_actor!(host, "carts", "carts", instances: 1)
    shop!(host)

    # Each of these calls has an instance of its own, which leaves its carts behind.
    for n <- 1..5,
        do: eventually(fn -> Exosuit.call(host, "shopper", "hoard", [n]) == {:ok, nil} end)
  end

  @tag carts: false
  test "a resource cannot leave its host", %{host: _host} do
    {:ok, {_public_key, seed}} = Exosuit.Claims.generate_key("cluster")
    nats = Exosuit.Nats.options(Exosuit.Nats.start!(), cluster_seed: seed)
    [here, there] = for _ <- 1..2, do: start_supervised_host!(nats: nats)
    start_actor!(there, "carts", "carts")
    start_actor!(here, "near", "carts")
    {:ok, cart} = Exosuit.call(here, "near", @carts <> "[constructor]cart", [1])

    for {function, arguments} <- [{"take", [cart]}, {"[constructor]cart", [1]}] do
      eventually(fn ->
        {:error, %Error{detail: detail}} = call(here, function, arguments)
        detail =~ "a resource cannot leave its host"
      end)
    end
  end

  describe "resources of a provider" do
    defmodule Carts do
      @moduledoc "Answers acme:shop/carts. Tells the process in its configuration what it drops."
      use Exosuit.Provider, wit: "test/guests/text/carts.wit", interface: "acme:shop/carts"

      @impl Exosuit.Provider
      def init(%{"test" => test}),
        do: {:ok, test |> String.to_charlist() |> :erlang.list_to_pid()}

      @impl __MODULE__.Behaviour
      def new_cart(13, _context), do: raise("unlucky")
      def new_cart(14, _context), do: :no_resource

      def new_cart(total, _context) do
        counter = :counters.new(1, [])
        :counters.add(counter, 1, total)
        Exosuit.Resource.new({:cart, counter})
      end

      @impl __MODULE__.Behaviour
      def cart_add({:cart, counter}, n, _context) do
        :counters.add(counter, 1, n)
        :counters.get(counter, 1)
      end

      @impl __MODULE__.Behaviour
      def cart_merge({:cart, one}, {:cart, other}, context),
        do: new_cart(:counters.get(one, 1) + :counters.get(other, 1), context)

      @impl __MODULE__.Behaviour
      def take({:cart, counter}, context) do
        send(context.state, {:taken, :counters.get(counter, 1)})
        :counters.get(counter, 1)
      end

      @impl __MODULE__.Behaviour
      def drop_cart({:cart, counter}, context),
        do: send(context.state, {:dropped, :counters.get(counter, 1), context.link.actor})
    end

    setup context do
      if context.describe do
        {:ok, _id} =
          Exosuit.start_provider(context.host, context[:provider] || Carts,
            id: "provider",
            config: %{"test" => self() |> :erlang.pid_to_list() |> to_string()}
          )

        start_actor!(context.host, "shopper", "shopper")
        link = [source: "shopper", target: "provider", contract: "acme:shop"]
        :ok = Exosuit.put_link(context.host, link)
      end

      :ok
    end

    @tag carts: false
    test "are lent and given away, with their states, and dropped", %{host: host} do
      assert Exosuit.call(host, "shopper", "visit", [7]) == {:ok, 8}
      assert_receive {:dropped, 8, "shopper"}

      assert Exosuit.call(host, "shopper", "shop", [7]) == {:ok, 18}
      assert_receive {:taken, 18}
      # Those that the provider got back are its own.
      refute_received {:dropped, _, _}
    end

    @tag carts: false
    test "are dropped when the instance ends that has them", %{host: host} do
      assert Exosuit.call(host, "shopper", "hoard", [3]) == {:ok, nil}
      for n <- 1..3, do: assert_receive({:dropped, ^n, "shopper"})
    end

    @tag carts: false
    test "pass through the guest to Elixir and back", %{host: host} do
      {:ok, cart} = Exosuit.call(host, "shopper", "fetch", [5])
      assert inspect(cart) == "#Exosuit.Resource<acme:shop/carts/cart of provider>"
      assert Exosuit.call(host, "shopper", "spend", [cart, 2]) == {:ok, 7}
      assert Exosuit.call(host, "shopper", "spend", [cart, 2]) == {:ok, 9}
      Resource.drop(cart)
      assert_receive {:dropped, 9, "shopper"}

      {:ok, cart} = Exosuit.call(host, "shopper", "fetch", [6])
      assert Exosuit.call(host, "shopper", "return", [cart]) == {:ok, 6}
      assert_receive {:taken, 6}

      assert_refused(
        Exosuit.call(host, "shopper", "return", [cart]),
        "dropped or given away before"
      )

      refute_received {:dropped, _, _}
    end

    @tag carts: false
    test "are told of as ended even without their link", %{host: host} do
      {:ok, cart} = Exosuit.call(host, "shopper", "fetch", [5])
      :ok = Exosuit.delete_link(host, source: "shopper", contract: "acme:shop")
      Resource.drop(cart)
      assert_receive {:dropped, 5, "shopper"}
    end

    @tag carts: false
    test "end with their provider, and are of no use to another", %{host: host} do
      {:ok, cart} = Exosuit.call(host, "shopper", "fetch", [5])
      kill(Exosuit.whereis(host, "provider"))

      eventually(fn ->
        {:error, %Error{detail: detail}} = Exosuit.call(host, "shopper", "spend", [cart, 2])
        detail =~ "is gone: provider provider has restarted since it was made"
      end)
    end

    defmodule Passing do
      @moduledoc "Gives the carts of an actor to guests, and keeps those that it borrows."
      use Exosuit.Provider, contract: "acme:shop"

      @impl Exosuit.Provider
      def init(%{"test" => test}),
        do: {:ok, test |> String.to_charlist() |> :erlang.list_to_pid()}

      @impl Exosuit.Provider
      def handle_function("acme:shop/carts@1.2.0#[constructor]cart" = new, arguments, context) do
        {:ok, cart} = Exosuit.call(context.host, "carts", new, arguments, origin: :host)
        cart
      end

      def handle_function("acme:shop/carts@1.2.0#[method]cart.add" = add, [cart, n], context) do
        send(context.state, {:borrowed, cart})
        {:ok, total} = Exosuit.call(context.host, "carts", add, [cart, n], origin: :host)
        total
      end
    end

    @tag provider: Passing
    test "of an actor, which a provider passes on", %{host: host} do
      for _ <- 1..200 do
        assert {:ok, cart} = Exosuit.call(host, "shopper", "fetch", [5])
        assert call(host, "take", [cart]) == {:ok, 5}
      end
    end

    @tag provider: Passing
    test "are of no use to a provider that borrowed them, after its call", %{host: host} do
      cart = new!(host, 1)
      assert Exosuit.call(host, "shopper", "spend", [cart, 2]) == {:ok, 3}
      assert_receive {:borrowed, borrowed}
      assert_refused(call(host, "[method]cart.add", [borrowed, 1]), "the resource was")
      assert call(host, "take", [cart]) == {:ok, 3}
    end

    @tag carts: false
    test "need a state, and a call that fails costs that call", %{host: host} do
      assert {:error, %Error{reason: :provider, detail: detail}} =
               Exosuit.call(host, "shopper", "fetch", [14])

      assert detail =~ "expected a resource acme:shop/carts/cart, got a name"
      assert {:error, %Error{reason: :provider}} = Exosuit.call(host, "shopper", "fetch", [13])
      assert Exosuit.call(host, "shopper", "visit", [1]) == {:ok, 2}
    end
  end

  defmodule Shop do
    @moduledoc "The module of a component with resources."
    use Exosuit.Component, wit: "test/guests/text/carts.wit", actor: "carts"
  end

  test "a module made of WIT", %{host: host} do
    {:ok, cart} = Shop.new_cart(5, host: host)
    assert Shop.cart_add(cart, 2, host: host) == {:ok, 7}
    {:ok, other} = Shop.new_cart(1, host: host)
    {:ok, merged} = Shop.cart_merge(cart, other, host: host)
    assert Shop.take(merged, host: host) == {:ok, 8}
  end

  defp shop!(host, options \\ []) do
    start_actor!(host, "shopper", "shopper", options)
    :ok = Exosuit.put_link(host, source: "shopper", target: "carts", contract: "acme:shop")
  end

  defp new!(host, total, actor \\ "carts") do
    {:ok, cart} = Exosuit.call(host, actor, @carts <> "[constructor]cart", [total])
    cart
  end

  defp call(host, function, arguments),
    do: Exosuit.call(host, "carts", @carts <> function, arguments)

  defp assert_refused(answer, text), do: assert(refused?(answer, text), inspect(answer))

  defp refused?({:error, %Error{reason: :invalid_input, detail: detail}}, text),
    do: detail =~ text

  defp refused?(_answer, _text), do: false

  # In a process that lives until the end of the test.
  defp elsewhere(fun) do
    test = self()

    pid =
      spawn_link(fn ->
        monitor = Process.monitor(test)
        send(test, {self(), fun.()})
        Process.unlink(test)
        receive do: ({:DOWN, ^monitor, :process, _pid, _reason} -> :ok)
      end)

    receive do: ({^pid, value} -> %{pid: pid, value: value})
  end
end
