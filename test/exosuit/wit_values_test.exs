defmodule Exosuit.WitValuesTest do
  # Random types and values, through guests, providers and other actors.
  use Exosuit.HostCase, async: true

  alias Exosuit.{Resource, WitWorld}

  @worlds 60
  @values 12

  defmodule Mirror do
    @moduledoc "Answers with what it was asked."
    use Exosuit.Provider, contract: "exosuit:test"

    @impl Exosuit.Provider
    def handle_function("exosuit:test/mirror#echo", arguments, _context) do
      {number, value} = arguments |> Enum.take(-2) |> List.to_tuple()
      # A resource that is given to its provider comes as its state.
      {number, WitWorld.map_states(value)}
    end

    def handle_function("exosuit:test/mirror#make", [number], _context),
      do: Resource.new({:thing, number})

    def handle_function("exosuit:test/mirror#number", [{:thing, number}], _context), do: number
  end

  setup do
    seed = :rand.uniform(1_000_000_000)
    :rand.seed(:exsss, {seed, seed, seed})
    %{seed: seed, dir: tmp_dir!()}
  end

  test "values of random types come back from a guest, and through a guest from a provider",
       context do
    types = for n <- 1..@worlds, do: {n, WitWorld.type()}

    texts =
      for {n, type} <- types,
          kind <- [:mirror, :relay],
          into: %{},
          do: {"#{kind}#{n}", WitWorld.component(type, kind)}

    Guests.assemble(context.dir, texts)
    host = start_supervised_host!([])
    {:ok, _id} = Exosuit.start_provider(host, Mirror, id: "provider")

    for {n, type} <- types do
      for kind <- [:mirror, :relay], do: start!(host, context.dir, "#{kind}#{n}")

      :ok =
        Exosuit.put_link(host, source: "relay#{n}", target: "provider", contract: "exosuit:test")

      values = for _ <- 1..@values, do: WitWorld.value(type)

      for value <- values, actor <- ["mirror#{n}", "relay#{n}"] do
        assert {context.seed, type, actor, echo(host, actor, value)} ==
                 {context.seed, type, actor, {:ok, {7, value}}}
      end

      for kind <- [:mirror, :relay], do: :ok = Exosuit.stop_actor(host, "#{kind}#{n}")
    end
  end

  test "values pass between two actors, and between two hosts", context do
    types = for n <- 1..15, do: {n, WitWorld.type()}

    texts =
      for {n, type} <- types,
          kind <- [:mirror, :relay],
          into: %{},
          do: {"#{kind}#{n}", WitWorld.component(type, kind)}

    Guests.assemble(context.dir, texts)
    {:ok, {_public_key, seed}} = Exosuit.Claims.generate_key("cluster")
    nats = Exosuit.Nats.options(Exosuit.Nats.start!(), cluster_seed: seed)
    [one, two] = for _ <- 1..2, do: start_supervised_host!(nats: nats)

    for {n, type} <- types, {host, calls} <- [{one, "near"}, {two, "far"}] do
      start!(host, context.dir, "mirror#{n}", "#{calls}-mirror#{n}")
      start!(one, context.dir, "relay#{n}", "#{calls}-relay#{n}")

      link = [
        source: "#{calls}-relay#{n}",
        target: "#{calls}-mirror#{n}",
        contract: "exosuit:test"
      ]

      :ok = Exosuit.put_link(one, link)

      eventually(fn -> match?({:ok, _}, echo(one, "#{calls}-relay#{n}", WitWorld.value(type))) end)

      for value <- for(_ <- 1..@values, do: WitWorld.value(type)) do
        assert {context.seed, type, calls, echo(one, "#{calls}-relay#{n}", value)} ==
                 {context.seed, type, calls, {:ok, {7, value}}}
      end
    end
  end

  test "resources in values of random types come back from a guest", context do
    types = for n <- 1..@worlds, do: {n, WitWorld.type(4, [:thing])}

    texts =
      for {n, type} <- types, into: %{}, do: {"things#{n}", WitWorld.component(type, :things)}

    Guests.assemble(context.dir, texts)
    host = start_supervised_host!([])

    for {n, type} <- types do
      actor = "things#{n}"
      start!(host, context.dir, actor)

      for value <- for(_ <- 1..@values, do: WitWorld.value(type)) do
        made = WitWorld.map_things(value, &make!(host, actor, &1))
        assert {:ok, {7, answer}} = echo(host, actor, made)

        assert {context.seed, type, WitWorld.map_things(answer, &number(host, actor, &1))} ==
                 {context.seed, type, value}

        # What was given away is gone.
        WitWorld.map_things(made, fn thing ->
          assert {:error, %Error{}} =
                   Exosuit.call(host, actor, function(actor, "number"), [thing])
        end)
      end

      :ok = Exosuit.stop_actor(host, actor)
    end
  end

  test "resources in values of random types come back through an actor from another actor, and from a provider",
       context do
    types = for n <- 1..20, do: {n, WitWorld.type(4, [:thing])}

    texts =
      for {n, type} <- types,
          kind <- [:things, :things_relay],
          into: %{},
          do: {"#{kind}#{n}", WitWorld.component(type, kind)}

    Guests.assemble(context.dir, texts)
    host = start_supervised_host!([])
    {:ok, _id} = Exosuit.start_provider(host, Mirror, id: "provider")

    for {n, type} <- types do
      start!(host, context.dir, "things#{n}")

      for target <- ["things#{n}", "provider"] do
        relay = "relay-#{n}-#{target}"
        # One instance, so that all of its resources live in one instance of the target.
        path = Path.join(context.dir, "things_relay#{n}.wasm")
        {:ok, _id} = Exosuit.start_actor(host, path, id: relay, warm: [])
        :ok = Exosuit.put_link(host, source: relay, target: target, contract: "exosuit:test")

        for value <- for(_ <- 1..@values, do: WitWorld.value(type)) do
          made = WitWorld.map_things(value, &make!(host, relay, &1))
          assert {:ok, {7, answer}} = echo(host, relay, made)

          assert {context.seed, type, target,
                  WitWorld.map_things(answer, &number(host, relay, &1))} ==
                   {context.seed, type, target, value}
        end

        :ok = Exosuit.stop_actor(host, relay)
      end

      :ok = Exosuit.stop_actor(host, "things#{n}")
    end
  end

  test "terms of any kind are taken or refused, and make no atom", context do
    types = for n <- 1..20, do: {n, WitWorld.type()}

    Guests.assemble(
      context.dir,
      Map.new(types, fn {n, type} -> {"mirror#{n}", WitWorld.component(type, :mirror)} end)
    )

    host = start_supervised_host!([])
    for {n, _type} <- types, do: start!(host, context.dir, "mirror#{n}")
    other = for _ <- 1..30, do: WitWorld.value(WitWorld.type())
    # The first call loads modules, whose names are atoms.
    for value <- other, do: echo(host, "mirror1", value)
    atoms = :erlang.system_info(:atom_count)

    for {n, type} <- types, value <- other do
      case echo(host, "mirror#{n}", value) do
        {:ok, {7, _value}} -> :ok
        {:error, %Error{reason: :invalid_input, detail: "echo: value" <> _}} -> :ok
        answer -> flunk(inspect({context.seed, type, value, answer}))
      end
    end

    assert :erlang.system_info(:atom_count) == atoms
  end

  test "a value that does not fit is refused, by its path", context do
    line = {:record, [{"price", :f64}, {"unit-count", :u8}, {"note", {:option, :string}}]}
    shape = {:variant, [{"circle", {:record, [{"radius", :f32}]}}, {"none", nil}]}
    colors = {:enum, ["red", "green"]}
    options = {:option, {:option, :u8}}

    order =
      {:record,
       [
         {"lines", {:list, line}},
         {"shape", shape},
         {"color", colors},
         {"rights", {:flags, ["read", "write"]}},
         {"initial", :char},
         {"both", {:result, :u8, nil}},
         {"twice", options},
         {"prices", {:map, :string, :u8}}
       ]}

    Guests.assemble(context.dir, %{"order" => WitWorld.component(order, :mirror)})
    host = start_supervised_host!([])
    start!(host, context.dir, "order")

    good = %{
      lines: [%{price: 1.5, unit_count: 1, note: nil}],
      shape: {:circle, %{radius: 0.5}},
      color: :red,
      rights: [:read],
      initial: "x",
      both: {:ok, 1},
      twice: {:some, nil},
      prices: %{"bolt" => 1, "two_words" => 2}
    }

    assert {:ok, {7, good}} == echo(host, "order", good)

    # What else is taken for it.
    for {field, given, taken} <- [
          {:lines, [%{"price" => 2, "unit-count" => 3}],
           [%{price: 2.0, unit_count: 3, note: nil}]},
          {:lines, [%{"price" => 2, "unit_count" => 3, note: "n"}],
           [%{price: 2.0, unit_count: 3, note: "n"}]},
          {:color, "green", :green},
          {:rights, [:write, "read", :write], [:read, :write]},
          {:rights, [], []},
          {:prices, %{}, %{}}
        ] do
      given = Map.put(good, field, given)
      assert {:ok, {7, Map.put(good, field, taken)}} == echo(host, "order", given)
    end

    for {field, value, said} <- [
          {:lines, [%{price: "1", unit_count: 1}],
           "value.lines[0].price: expected an f64, got a text or bytes"},
          {:lines, [%{price: 1, unit_count: 256}],
           "value.lines[0].unit-count: expected a u8, got 256, which it cannot hold"},
          {:lines, [%{price: 1}],
           "value.lines[0].unit-count: expected a u8, but the field is missing"},
          {:lines, [%{price: 1, unit_count: 1, more: 1}],
           "value.lines[0].more: the record has no such field, it has price, unit-count, note"},
          {:lines, [{1.5, 1, nil}], "value.lines[0]: expected a record, got a tuple of 3"},
          {:lines, [%{price: 9_007_199_254_740_993, unit_count: 1}],
           "value.lines[0].price: expected an f64, got an integer"},
          {:shape, {:circle, %{radius: 1.0e39}},
           "value.shape.circle.radius: expected an f32, got 1e39, which it cannot hold"},
          {:shape, :circle, "value.shape.circle: expected circle with a record, got none"},
          {:shape, {:none, 1}, "value.shape.none: expected none without a value, got one"},
          {:shape, {:square, 1},
           ~s(value.shape: the variant has no case "square", it has circle, none)},
          {:color, :blue, ~s(value.color: the enum has no "blue", it has green, red)},
          {:color, {:red, 1}, "value.color: expected an enum, got a case with a value"},
          {:rights, [:read, :erase],
           ~s(value.rights[1]: there is no flag "erase", there are read, write)},
          {:rights, :read, "value.rights: expected flags (a list of their names), got a name"},
          {:initial, "xy",
           "value.initial: expected a char (a string of one character), got 2 characters"},
          {:initial, "",
           "value.initial: expected a char (a string of one character), got 0 characters"},
          {:both, {:ok, nil}, "value.both: expected a u8, got nothing"},
          {:both, {:error, 1}, "value.both: expected error without a value, got one"},
          {:twice, 1, "value.twice: expected an option (nil or {:some, value}), got an integer"},
          {:prices, %{"bolt" => 300},
           ~s(value.prices["bolt"]: expected a u8, got 300, which it cannot hold)},
          {:prices, %{1 => 1}, "value.prices: in a key: expected a string, got an integer"},
          {:prices, %{bolt: 1},
           "value.prices: expected a map with a string as the key, got a map with atoms as keys"},
          {:prices, [], "value.prices: expected a map with a string as the key, got a list"},
          {:lines, [%{1 => 1}],
           "value.lines[0]: expected a record, got a map with keys that are neither atoms nor strings"}
        ] do
      assert {:error, %Error{reason: :invalid_input, detail: detail}} =
               echo(host, "order", Map.put(good, field, value))

      assert detail == "echo: " <> said
    end
  end

  test "the last value of a key counts if a guest gives the key twice", context do
    text = ~S"""
    (component
      (core module $code
        (memory (export "memory") 1)
        (data (i32.const 8) "\10\00\00\00\02\00\00\00")
        (data (i32.const 16) "\01\05\01\06")
        (func (export "twice") (result i32) (i32.const 8)))
      (core instance $code (instantiate $code))
      (func (export "twice") (result (map u8 u8))
        (canon lift (core func $code "twice") (memory $code "memory"))))
    """

    Guests.assemble(context.dir, %{"twice" => text})
    host = start_supervised_host!([])
    start!(host, context.dir, "twice")
    assert {:ok, %{1 => 6}} == Exosuit.call(host, "twice", "twice", [])
  end

  test "a component with a list of a fixed length is refused by name", context do
    Guests.assemble(context.dir, %{"fixed" => WitWorld.component({:list, :u8, 4}, :mirror)})
    host = start_supervised_host!([])
    path = Path.join(context.dir, "fixed.wasm")

    assert {:error, %Error{reason: :invalid_module, detail: detail}} =
             Exosuit.start_actor(host, path, id: "fixed")

    assert detail =~ "fixed"
  end

  test "a component with more names than one may add is refused", context do
    names = for n <- 1..8_193, do: "wit-values-name-#{n}"
    Guests.assemble(context.dir, %{"many" => WitWorld.component({:enum, names}, :mirror)})
    host = start_supervised_host!([])
    path = Path.join(context.dir, "many.wasm")

    assert {:error, %Error{reason: :limit, detail: detail}} =
             Exosuit.start_actor(host, path, id: "many")

    assert detail =~ "8193 names"
    assert_raise ArgumentError, fn -> String.to_existing_atom("wit_values_name_1") end
  end

  test "a list of a million records passes", context do
    type = {:list, {:record, [{"id", :u32}, {"name", :string}, {"score", :f64}]}}
    Guests.assemble(context.dir, %{"million" => WitWorld.component(type, :mirror)})
    host = start_supervised_host!([])
    start!(host, context.dir, "million")
    records = for n <- 1..1_000_000, do: %{id: n, name: "x", score: 0.5}
    assert {:ok, {7, answer}} = echo(host, "million", records, timeout: 120_000)
    assert answer == records
  end

  defp start!(host, dir, name, id \\ nil) do
    {:ok, _id} = Exosuit.start_actor(host, Path.join(dir, name <> ".wasm"), id: id || name)
  end

  # The number of a resource in Elixir is the state of one that is not made yet.
  defp make!(host, actor, %Resource{ref: {:state, number}}) do
    {:ok, thing} = Exosuit.call(host, actor, function(actor, "make"), [number])
    thing
  end

  defp number(host, actor, thing) do
    {:ok, number} = Exosuit.call(host, actor, function(actor, "number"), [thing])
    Resource.new(number)
  end

  defp echo(host, actor, value, options \\ []) do
    Exosuit.call(host, actor, function(actor, "echo"), WitWorld.arguments(value), options)
  end

  defp function("things" <> _actor, name), do: "exosuit:test/mirror#" <> name
  defp function(_actor, name), do: name
end
