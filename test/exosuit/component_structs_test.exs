defmodule Exosuit.ComponentStructsTest do
  # Structs of the records of WIT, in modules of components and in providers.
  use Exosuit.HostCase, async: true

  alias Exosuit.World.Shape
  alias Exosuit.WitWorld

  defmodule Shop do
    @moduledoc "The shop of `test/guests/text/shop.wat`, with structs."
    use Exosuit.Component, wit: "test/guests/wit", world: "shop", actor: "shop", structs: true

    @doc "Structs are there for the module itself."
    def bolt, do: %__MODULE__.Line{name: "bolt", price: 1.5, unit_count: 4}
  end

  alias Shop.{Line, Order}

  setup do
    %{dir: tmp_dir!()}
  end

  test "records that a component gives are structs, and those that it takes may be", %{dir: dir} do
    Guests.assemble(dir, %{"shop" => File.read!("test/guests/text/shop.wat")})
    host = start_supervised_host!()
    {:ok, "shop"} = Exosuit.start_actor(host, Path.join(dir, "shop.wasm"), id: "shop")

    order = %Order{
      lines: [Shop.bolt(), %Line{name: "nut", price: 0.5, unit_count: 9, note: "M8"}],
      shipping: {:parcel, "Main Street 1"},
      color: :red,
      rights: [:read]
    }

    assert {:ok, order} == Shop.place(order, host: host)

    assert {:ok, order} ==
             Shop.place(%{order | lines: Enum.map(order.lines, &Map.from_struct/1)}, host: host)

    map = order |> Map.from_struct() |> Map.put(:lines, [Map.from_struct(Shop.bolt())])
    assert {:ok, %Order{lines: [%Line{note: nil} = bolt]}} = Shop.place(map, host: host)
    assert bolt == Shop.bolt()

    assert {:error, %Error{reason: :invalid_input}} =
             Shop.place(%{order | color: :blue}, host: host)

    # Only what the functions take or give.
    refute Code.ensure_loaded?(Module.concat(Shop, "Receipt"))
  end

  test "a struct must be given each field that is not an option" do
    assert %{note: nil} = Shop.bolt()

    assert_raise ArgumentError, ~r"keys must also be given.*:unit_count", fn ->
      Code.eval_string("%Exosuit.ComponentStructsTest.Shop.Line{name: \"a\", price: 1.0}")
    end
  end

  test "typespecs name the structs where a function gives them, and take maps as well", %{
    dir: dir
  } do
    # Tasks of Mix, which other tests run, change these.
    Code.compiler_options(docs: true, debug_info: true)
    options = ~s(wit: "test/guests/wit", world: "shop", structs: true)
    modules = compile("use Exosuit.Component, #{options}")

    {name, shop} =
      List.last(Enum.sort_by(modules, fn {module, _} -> -byte_size(inspect(module)) end))

    {:ok, specs} = Code.Typespec.fetch_specs(shop)
    [{_function, [spec]}] = for {{:place, 2}, _specs} = spec <- specs, do: spec

    assert text(Code.Typespec.spec_to_quoted(:place, spec)) =~
             "place(order(), keyword()) :: {:ok, #{inspect(name)}.Order.t()} | {:error, String.t()}"

    {:ok, types} = Code.Typespec.fetch_types(shop)
    assert "order() :: #{inspect(name)}.Order.t() | map()" in texts(types)

    {_name, order} =
      Enum.find(modules, fn {module, _} -> module == Module.concat(name, "Order") end)

    {:ok, types} = Code.Typespec.fetch_types(order)
    assert [text] = texts(types)
    assert text =~ "lines: [#{inspect(name)}.Line.t()]"
    assert text =~ "shipping: #{inspect(name)}.shipping()"

    path = Path.join(dir, "order.beam")
    File.write!(path, order)

    assert {:docs_v1, _, _, _, %{"en" => "The record `acme:shop/orders@1.0.0.order`."}, _, _} =
             Code.fetch_docs(path)
  end

  # The parameters of the components of `WitWorld` before the value; the last comes back.
  @numbers Enum.map_join(1..16, ", ", &"n#{&1}: u64")

  @wit """
  package acme:nested;
  interface types {
    record point { x: s32 }
    record pair { one: option<point>, two: tuple<u8, point> }
    enum maybe { nil, some }
    type points = list<point>;
    variant shape { none, %nil, dot(point), path(points), name(string) }
    record all {
      pair: pair,
      shapes: list<shape>,
      marked: option<option<point>>,
      nested: option<shape>,
      plain: option<maybe>,
      done: result<points, pair>,
      gone: result<_, pair>,
    }
  }
  world nested {
    use types.{all, shape};
    export echo: func(#{@numbers}, value: all) -> tuple<u64, all>;
  }
  """

  test "structs are made wherever a value has records", %{dir: dir} do
    point = {:record, [{"x", :s32}]}
    pair = {:record, [{"one", {:option, point}}, {"two", {:tuple, [:u8, point]}}]}
    points = {:list, point}

    shape =
      {:variant,
       [{"none", nil}, {"nil", nil}, {"dot", point}, {"path", points}, {"name", :string}]}

    all =
      {:record,
       [
         {"pair", pair},
         {"shapes", {:list, shape}},
         {"marked", {:option, {:option, point}}},
         {"nested", {:option, shape}},
         {"plain", {:option, {:enum, ["nil", "some"]}}},
         {"done", {:result, points, pair}},
         {"gone", {:result, nil, pair}}
       ]}

    Guests.assemble(dir, %{"echo" => WitWorld.component(all, :mirror)})
    wit = Path.join(dir, "nested.wit")
    File.write!(wit, @wit)
    host = start_supervised_host!()
    {:ok, "echo"} = Exosuit.start_actor(host, Path.join(dir, "echo.wasm"), id: "echo")

    name = name()
    compile("use Exosuit.Component, wit: #{inspect(wit)}, actor: \"echo\", structs: true", name)
    module = Module.concat([name])
    struct = fn name, fields -> struct!(Module.concat(module, name), fields) end
    point = fn x -> struct.("Point", x: x) end
    pair = fn one -> struct.("Pair", one: one, two: {7, point.(2)}) end

    some =
      struct.("All",
        pair: pair.(point.(1)),
        shapes: [:none, nil, {:dot, point.(3)}, {:path, [point.(4), point.(5)]}, {:name, "a"}],
        marked: {:some, point.(6)},
        nested: {:some, {:dot, point.(8)}},
        plain: {:some, :some},
        done: {:ok, [point.(9)]},
        gone: {:error, pair.(nil)}
      )

    none = %{
      some
      | pair: pair.(nil),
        shapes: [],
        marked: nil,
        nested: nil,
        plain: nil,
        done: {:error, pair.(nil)},
        gone: :ok
    }

    for value <- [some, none, %{none | marked: {:some, nil}, nested: {:some, nil}}] do
      assert {:ok, {7, value}} == echo(module, value, host: host)
    end
  end

  test "a component of other WIT gives an error", %{dir: dir} do
    wit = Path.join(dir, "other.wit")

    File.write!(wit, """
    package acme:other;
    world other {
      record point { x: s32, y: s32 }
      export echo: func(#{@numbers}, value: option<point>) -> tuple<u64, point>;
    }
    """)

    texts =
      for {name, type} <- [point: {:record, [{"x", :s32}]}, none: {:option, :u8}],
          do: {"#{name}", WitWorld.component(type, :mirror)}

    Guests.assemble(dir, Map.new(texts))
    name = name()
    compile("use Exosuit.Component, wit: #{inspect(wit)}, structs: true", name)
    module = Module.concat([name])
    host = start_supervised_host!()

    for {actor, value, said} <- [
          {"point", %{x: 1}, "expected a field y of the record point"},
          {"none", nil, "expected the record point"}
        ] do
      {:ok, ^actor} = Exosuit.start_actor(host, Path.join(dir, "#{actor}.wasm"), id: actor)

      case echo(module, value, host: host, actor: actor) do
        {:error, %Error{reason: :invalid_input, detail: detail}} -> assert detail =~ said
      end
    end
  end

  test "a shape refuses each value of another shape" do
    point = %{point: {:record, Line, x: nil}}

    for {shape, value} <- [
          {{:list, {:named, :point}}, :none},
          {{:tuple, [{:named, :point}]}, {}},
          {{:tuple, [{:named, :point}]}, [1]},
          {{:marked_option, {:named, :point}}, %{x: 1}},
          {{:result, {:named, :point}, nil}, %{x: 1}},
          {{:option, {:named, :point}}, 1}
        ],
        do: assert_raise(Error, ~r"other WIT", fn -> Shape.cast!(value, shape, point) end)
  end

  defmodule Bank do
    @moduledoc "A provider that gets structs."
    use Exosuit.Provider, wit: "test/guests/wit", interface: "acme:shop/orders", structs: true

    @impl Bank.Behaviour
    def place(%Bank.Order{lines: []}, _context), do: {:error, "no lines"}
    def place(%Bank.Order{lines: [%Bank.Line{} | _]} = order, _context), do: {:ok, order}
  end

  test "a provider gets structs, and may answer with them" do
    line = Map.from_struct(Shop.bolt())
    order = %{lines: [line], shipping: :pickup, color: :red, rights: []}
    function = "acme:shop/orders@1.0.0#place"

    assert {:ok, %Bank.Order{lines: [%Bank.Line{name: "bolt"}], shipping: :pickup}} =
             Bank.handle_function(function, [order], nil)

    assert {:error, "no lines"} = Bank.handle_function(function, [%{order | lines: []}], nil)

    assert_raise Error, ~r"a field color", fn ->
      Bank.handle_function(function, [Map.delete(order, :color)], nil)
    end
  end

  test "an interface of a guest is answered by structs", %{dir: dir} do
    wit = Path.join(dir, "mirror.wit")

    File.write!(wit, """
    package exosuit:test;
    interface mirror {
      record point { x: s32 }
      echo: func(#{@numbers}, value: point) -> tuple<u64, point>;
    }
    """)

    Guests.assemble(dir, %{"relay" => WitWorld.component({:record, [{"x", :s32}]}, :relay)})
    name = name()

    compile(
      """
      use Exosuit.Provider, wit: #{inspect(wit)}, interface: "exosuit:test/mirror", structs: true
      @impl true
      def echo(#{Enum.map_join(1..16, ", ", &"_n#{&1}")}, %__MODULE__.Point{x: x} = point, _context),
        do: {7, %{point | x: x + 1}}
      """,
      name
    )

    host = start_supervised_host!()
    {:ok, _id} = Exosuit.start_provider(host, Module.concat([name]), id: "mirror")
    {:ok, "relay"} = Exosuit.start_actor(host, Path.join(dir, "relay.wasm"), id: "relay")
    :ok = Exosuit.put_link(host, source: "relay", target: "mirror", contract: "exosuit:test")
    assert {:ok, {7, %{x: 2}}} = Exosuit.call(host, "relay", "echo", WitWorld.arguments(%{x: 1}))
  end

  test "structs that cannot be made do not compile", %{dir: dir} do
    wit = Path.join(dir, "same.wit")

    File.write!(wit, """
    package acme:same;
    world same {
      record AB { x: u8 }
      record a-b { x: u8 }
      export f: func(a: AB) -> a-b;
    }
    """)

    assert_raise ArgumentError, ~r"the records AB, a-b would all be", fn ->
      compile("use Exosuit.Component, wit: #{inspect(wit)}, structs: true")
    end

    assert_raise ArgumentError, ~r":structs needs :interface", fn ->
      compile("use Exosuit.Provider, contract: \"a:b\", structs: true")
    end
  end

  test "the tasks write structs as source", %{dir: dir} do
    Mix.shell(Mix.Shell.Quiet)
    Guests.assemble(dir, %{"shop" => File.read!("test/guests/text/shop.wat")})
    host = start_supervised_host!()
    {:ok, "shop"} = Exosuit.start_actor(host, Path.join(dir, "shop.wasm"), id: "shop")
    wit = ["--wit", "test/guests/wit", "--structs"]

    [name, provider] = for _ <- 1..2, do: name()
    file = Path.join(dir, "shop.ex")
    Mix.Task.rerun("exosuit.gen.component", [name, "--world", "shop", "--output", file | wit])
    Code.compile_file(file)
    order = %{lines: [Shop.bolt()], shipping: :pickup, color: :red, rights: []}
    {:ok, placed} = Module.concat([name]).place(order, host: host, actor: "shop")
    assert placed.__struct__ == Module.concat([name, "Order"])
    assert hd(placed.lines).__struct__ == Module.concat([name, "Line"])

    file = Path.join(dir, "bank.ex")

    Mix.Task.rerun("exosuit.gen.provider", [
      provider,
      "--interface",
      "acme:shop/orders",
      "--output",
      file | wit
    ])

    assert File.read!(file) =~ "structs: true"
    ExUnit.CaptureIO.capture_io(:stderr, fn -> Code.compile_file(file) end)
    assert struct?(Module.concat([provider, "Order"]))
  end

  defp struct?(module), do: function_exported?(module, :__struct__, 0)

  defp echo(module, value, options),
    do: apply(module, :echo, WitWorld.arguments(value) ++ [options])

  defp texts(types),
    do: for({:type, type} <- types, do: text(Code.Typespec.type_to_quoted(type)))

  # On one line.
  defp text(quoted) do
    text = quoted |> Macro.to_string() |> String.replace(~r/\s+/, " ")
    text |> String.replace("( ", "(") |> String.replace(" )", ")")
  end

  defp name, do: "Exosuit.ComponentStructsTest.Made#{System.unique_integer([:positive])}"

  defp compile(body, name \\ name()),
    do: Code.compile_string("defmodule #{name} do\n@moduledoc false\n#{body}\nend")
end
