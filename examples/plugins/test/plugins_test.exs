defmodule PluginsTest do
  # On the host of the app; each test has plugins of its own.
  use Exosuit.Case, async: true

  alias Plugins.{Host, Uploads}

  @order %{
    id: "17",
    currency: :eur,
    lines: [
      %{article: "bolt", quantity: 200, unit_price: 1.5},
      %{article: "saw", quantity: 1, unit_price: 20.0}
    ],
    note: nil
  }

  test "a plugin changes an order, or refuses it" do
    name = upload!(discount())

    assert {:ok, order} = Plugins.transform(name, @order)
    assert [%{unit_price: 1.35}, %{unit_price: 20.0}] = order.lines
    assert {:ok, %{note: "thanks"}} = Plugins.transform(name, %{@order | note: "thanks"})
    assert {:error, "an order needs a line"} = Plugins.transform(name, %{@order | lines: []})
  end

  test "each plugin has a store and a log of its own" do
    one = upload!(discount())
    other = upload!(discount())

    for name <- [one, one, other], do: {:ok, _order} = Plugins.transform(name, @order)

    assert Plugins.log(one) ==
             for(n <- 1..2, do: {:info, "order 17 is number #{n}, discounts: 1"})

    assert Plugins.log(other) == [info: "order 17 is number 1, discounts: 1"]
  end

  test "an order of another shape is an error that names the place" do
    name = upload!(discount())
    order = put_in(@order, [:lines, Access.at(1), :quantity], -1)

    assert {:error, %Exosuit.Error{reason: :invalid_input, detail: detail}} =
             Plugins.transform(name, order)

    assert detail =~ "order.lines[1].quantity: expected"
  end

  test "a plugin that traps, loops or takes too much memory hurts only its own call" do
    good = upload!(discount())
    bad = upload!(bad())

    others = Task.async(fn -> for _n <- 1..50, do: Plugins.transform(good, @order) end)

    for {id, reason, said} <- [
          {"trap", :trap, "unreachable"},
          {"loop", :deadline, "took too long"},
          {"memory", :limit, "memory limit of 67108864 bytes"}
        ] do
      assert {:error, %Exosuit.Error{reason: ^reason} = error} =
               Plugins.transform(bad, %{@order | id: id})

      assert Exception.message(error) =~ said
      assert Plugins.transform(bad, @order) == {:ok, @order}
    end

    assert Enum.all?(Task.await(others, 60_000), &match?({:ok, _order}, &1))
  end

  test "a plugin that has too many calls refuses further ones" do
    bad = upload!(bad())
    loop = %{@order | id: "loop"}
    calls = for _n <- 1..300, do: Task.async(fn -> Plugins.transform(bad, loop) end)
    reasons = for {:error, error} <- Task.await_many(calls, 60_000), do: error.reason

    assert length(reasons) == 300
    assert [:deadline, :overloaded] == reasons |> Enum.uniq() |> Enum.sort()
    assert Plugins.transform(bad, @order) == {:ok, @order}
  end

  test "the last line of a plugin's full log is its newest" do
    name = upload!(discount())
    for n <- 1..101, do: {:ok, _} = Plugins.transform(name, %{@order | id: "#{n}"})

    assert [{:info, "order 2 is" <> _} | _] = lines = Plugins.log(name)
    assert {:info, "order 101 is" <> _} = List.last(lines)
  end

  test "an upload that is no plugin is refused, and leaves nothing" do
    for {wasm, said} <- [
          {"no component", "bytes that are no WebAssembly"},
          {binary_part(discount(), 0, 1_000), "cannot run here"},
          # A module, and a component without the function.
          {<<0, "asm", 1, 0, 0, 0>>, "expected a component, got a module"},
          {<<0, "asm", 0x0D, 0, 1, 0>>,
           "expected an export transform: func(order: order) -> result<order, string>, got no"},
          {String.replace(bad(), "unit-price", "unit-costs"),
           "transform: order.lines[]: expected record of article, quantity, unit-price, got"},
          {String.replace(discount(), "shop:plugins/log", "shop:plugins/tax"),
           "imports shop:plugins/tax@1.0.0, which the shop does not offer"},
          {unstartable(), "no interface of this host and no link can answer"},
          {String.duplicate(<<0>>, 32_000_001), "at most 32000000 bytes"}
        ] do
      name = name()
      assert {:error, text} = Plugins.upload(name, wasm)
      assert text =~ said
      assert traces(name) == []
    end
  end

  test "names that would not do as names of files are refused" do
    for name <- ["", "..", "a/b", "A", "1", String.duplicate("a", 41)] do
      assert {:error, "expected a name of" <> _} = Plugins.upload(name, bad())
      assert {:error, "expected a name of" <> _} = Plugins.remove(name)
    end
  end

  test "an update loses no call, and keeps the store and the log" do
    name = upload!(discount())
    test = self()

    caller =
      Task.async(fn ->
        send(test, :calls)
        until(:stop, fn -> Plugins.transform(name, @order) end)
      end)

    assert_receive :calls
    assert :ok = Plugins.upload(name, bad())
    eventually(fn -> Plugins.transform(name, @order) == {:ok, @order} end)
    assert :ok = Plugins.upload(name, discount())
    send(caller.pid, :stop)

    answers = Task.await(caller, 60_000)
    assert Enum.all?(answers, &match?({:ok, _order}, &1))

    seen = length(Plugins.log(name))
    assert seen > 0
    assert {:ok, _order} = Plugins.transform(name, @order)
    {:info, last} = List.last(Plugins.log(name))
    assert last =~ ~r/number \d+/
    refute last =~ "number 1,"
  end

  test "an update that does not start changes nothing" do
    name = upload!(discount())
    before = traces(name)

    assert {:error, text} = Plugins.upload(name, unstartable())
    assert text =~ "cannot run here"
    assert traces(name) == before
    assert {:ok, %{lines: [%{unit_price: 1.35} | _]}} = Plugins.transform(name, @order)
  end

  test "a removed plugin leaves no trace" do
    name = upload!(discount())
    {:ok, _order} = Plugins.transform(name, @order)
    refute traces(name) == []

    assert :ok = Plugins.remove(name)
    assert traces(name) == []
    assert {:error, %Exosuit.Error{reason: :unknown_target}} = Plugins.transform(name, @order)
    assert :ok = Plugins.remove(name)

    assert :ok = Plugins.upload(name, discount())
    {:ok, _order} = Plugins.transform(name, @order)
    assert Plugins.log(name) == [info: "order 17 is number 1, discounts: 1"]
  end

  test "a removal waits for the calls that run" do
    name = upload!(discount())
    # The call waits for the log.
    on_exit(fn -> :sys.resume(Plugins.Log) end)
    :ok = :sys.suspend(Plugins.Log)
    call = Task.async(fn -> Plugins.transform(name, @order) end)
    eventually(fn -> writes?(name) end)

    removal = Task.async(fn -> Host.delete(name) end)
    eventually(fn -> not List.keymember?(Plugins.list(), name, 0) end)
    removed = Task.yield(removal, 200)
    # Its deadline may have passed.
    assert is_nil(removed) or Task.yield(call, 0) != nil

    :ok = :sys.resume(Plugins.Log)
    assert (removed || Task.yield(removal, 10_000)) == {:ok, :ok}
    assert Plugins.remove(name) == :ok
    assert traces(name) == []
  end

  test "a full disk is an error" do
    name = upload!(discount())
    directory = Path.join([Uploads.data_dir(), "uploads", name])
    File.rm_rf!(directory)
    File.write!(directory, "in the way")

    assert {:error, text} = Plugins.upload(name, bad())
    assert text == "the shop cannot store this now: file already exists"
    assert {:ok, %{lines: [%{unit_price: 1.35} | _]}} = Plugins.transform(name, @order)
  end

  test "a plugin is changed by one caller at a time" do
    name = upload!(discount())
    {:ok, _owner} = Registry.register(Plugins.Changes, name, nil)

    other = Task.async(fn -> {Plugins.upload(name, bad()), Plugins.remove(name)} end)
    assert {{:error, text}, {:error, text}} = Task.await(other)
    assert text =~ "another caller"

    Registry.unregister(Plugins.Changes, name)
    assert :ok = Plugins.remove(name)
  end

  # Whether a line of the plugin waits for the log.
  defp writes?(name) do
    {:messages, messages} = Process.info(Process.whereis(Plugins.Log), :messages)
    actor = Host.actor(name)
    Enum.any?(messages, &match?({:"$gen_call", _from, {:write, ^actor, _line}}, &1))
  end

  defp until(message, fun, answers \\ []) do
    receive do
      ^message -> answers
    after
      0 -> until(message, fun, [fun.() | answers])
    end
  end

  # guests/rust: takes a tenth off the price of many pieces, counts its orders, and writes to its log.
  defp discount, do: File.read!("priv/discount.wasm")

  # test/guests/bad.wat: misbehaves by the first letter of the order's id, and gives back any other order.
  defp bad, do: File.read!("test/guests/bad.wasm")

  # Has the function, and imports an interface that WASI does not have.
  defp unstartable, do: String.replace(discount(), "wasi:io/poll", "wasi:io/pool")

  defp upload!(wasm) do
    name = name()
    :ok = Plugins.upload(name, wasm)
    on_exit(fn -> Plugins.remove(name) end)
    name
  end

  defp name, do: "customer-#{System.unique_integer([:positive])}"

  # Everything of a plugin that is on the host, in the log, or in the names and the contents of files.
  defp traces(name) do
    %{actors: actors, providers: providers, links: links} = Exosuit.inventory(Host)
    ids = for %{id: id} <- actors ++ providers, String.ends_with?(id, "-" <> name), do: id
    linked = for link <- links, link.source == Host.actor(name), do: link
    files = for path <- Path.wildcard(Uploads.data_dir() <> "/**", match_dot: true), do: path
    files = for path <- files, path =~ ~r"#{name}(\W|$)" or holds?(path, name), do: path
    ids ++ linked ++ Plugins.log(name) ++ files
  end

  defp holds?(path, name), do: File.regular?(path) and File.read!(path) =~ name
end
