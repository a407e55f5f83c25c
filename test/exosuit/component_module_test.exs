defmodule Exosuit.ComponentModuleTest do
  # Elixir modules made of WIT, and of a component.
  use Exosuit.HostCase, async: true

  import ExUnit.CaptureIO

  @wit "test/guests/wit"

  defmodule Shop do
    @moduledoc "The shop of `test/guests/text/shop.wat`."
    use Exosuit.Component, wit: "test/guests/wit", world: "shop", actor: "shop"
  end

  setup do
    dir = tmp_dir!()
    Guests.assemble(dir, %{"shop" => File.read!("test/guests/text/shop.wat")})
    %{dir: dir}
  end

  @order %{
    lines: [%{name: "bolt", price: 1.5, unit_count: 4, note: nil}],
    shipping: {:parcel, "Main Street 1"},
    color: :red,
    rights: [:read]
  }

  test "a function calls the component", %{dir: dir} do
    host = start_supervised_host!()
    {:ok, "shop"} = Exosuit.start_actor(host, Path.join(dir, "shop.wasm"), id: "shop")
    assert {:ok, @order} == Shop.place(@order, host: host)
    assert {:error, %Error{reason: :invalid_input}} = Shop.place(%{}, host: host)
    assert {:error, %Error{}} = Shop.place(@order, host: host, actor: "nobody")

    assert_raise ArgumentError, ~r"expected the option :host", fn -> Shop.place(@order) end
  end

  test "a function has the docs and the types of the WIT", %{dir: dir} do
    # Tasks of Mix, which other tests run, change these.
    Code.compiler_options(docs: true, debug_info: true)
    {module, beam} = compile("use Exosuit.Component, wit: #{inspect(@wit)}, world: \"shop\"")
    path = Path.join(dir, "#{module}.beam")
    File.write!(path, beam)

    {:docs_v1, _line, _language, _format, _module_docs, _metadata, docs} = Code.fetch_docs(path)

    assert [place] =
             for({{:function, :place, 2}, _line, _signature, %{"en" => doc}, _} <- docs, do: doc)

    assert place =~ "Places an order, and gives it back."
    assert place =~ "func(order: order) -> result<order, string>"

    {:ok, types} = Code.Typespec.fetch_types(beam)
    names = for {:type, {name, _type, []}} <- types, do: name
    assert Enum.sort(names) == [:color, :line, :order, :receipt, :rights, :shipping]

    {:ok, specs} = Code.Typespec.fetch_specs(beam)
    [{_function, [spec]}] = for {{:place, 2}, _specs} = spec <- specs, do: spec

    assert :place |> Code.Typespec.spec_to_quoted(spec) |> Macro.to_string() =~
             "{:ok, order()} | {:error, String.t()} | {:error, Exosuit.Error.t()}"
  end

  test "names that Elixir reserves, and those of several interfaces, are told apart" do
    warning =
      capture_io(:stderr, fn ->
        {module, _beam} = compile("use Exosuit.Component, wit: #{inspect(@wit)}, world: \"more\"")
        functions = for {name, arity} <- module.__info__(:functions), do: {name, arity}

        assert [
                 basket_add: 2,
                 basket_add: 3,
                 end_: 0,
                 end_: 1,
                 open: 0,
                 open: 1,
                 orders_place: 1,
                 orders_place: 2,
                 tools_place: 0,
                 tools_place: 1,
                 total: 2,
                 total: 3
               ] ==
                 functions
      end)

    assert warning =~ "acme:shop/tools@1.0.0#pour is left out"
  end

  test "types of one name in several interfaces are told apart", %{dir: dir} do
    wit = Path.join(dir, "types.wit")

    File.write!(wit, """
    package acme:one;
    interface types { enum error { a } }
    interface use-it { use types.{error}; use acme:two/types.{error as other}; f: func() -> tuple<error, other>; }
    world both { import types; import acme:two/types; export use-it; }
    package acme:two { interface types { enum error { b } } }
    """)

    # Without it there are no typespecs to read; tasks of Mix change it.
    Code.compiler_options(debug_info: true)
    {module, beam} = compile("use Exosuit.Component, wit: #{inspect(wit)}")
    assert function_exported?(module, :f, 0)
    {:ok, types} = Code.Typespec.fetch_types(beam)

    assert [:acme_one_types_error, :acme_two_types_error] ==
             Enum.sort(for {:type, {name, _type, []}} <- types, do: name)
  end

  test "a component that carries its world needs no WIT", %{dir: dir} do
    {module, _beam} =
      compile(
        "use Exosuit.Component, wit: #{inspect(Path.join(dir, "shop.wasm"))}, actor: \"shop\""
      )

    host = start_supervised_host!()
    {:ok, "shop"} = Exosuit.start_actor(host, Path.join(dir, "shop.wasm"), id: "shop")
    assert {:ok, @order} == module.place(@order, host: host)
  end

  test "WIT that cannot be read, and a world that is not there, do not compile" do
    for {options, said} <- [
          {~s(wit: "nowhere"), "cannot read the WIT"},
          {~s(wit: "#{@wit}", world: "other"), "other"},
          {~s(world: "shop"), "the option :wit is required"}
        ] do
      error = assert_raise ArgumentError, fn -> compile("use Exosuit.Component, #{options}") end
      assert error.message =~ said
    end
  end

  defmodule Bank do
    @moduledoc "A provider of the interface of the WIT."
    use Exosuit.Provider, wit: "test/guests/wit", interface: "acme:money/bank"

    @impl Bank.Behaviour
    def pay("broke", _cents, _context), do: {:error, "no money"}
    def pay(_account, cents, _context), do: {:ok, %{id: 1, paid_cents: cents}}

    @impl Bank.Behaviour
    def balance(_account, context), do: Exosuit.Provider.Context.time_left(context)
  end

  test "a provider answers the functions of its interface, whatever the version" do
    assert Bank.contracts() == ["acme:money"]
    context = nil

    assert {:ok, %{paid_cents: 5}} =
             Bank.handle_function("acme:money/bank@0.2.0#pay", ["a", 5], context)

    assert {:error, "no money"} =
             Bank.handle_function("acme:money/bank#pay", ["broke", 5], context)

    for {function, arguments} <- [
          {"acme:money/bank@0.2.0#steal", []},
          {"acme:money/safe@0.2.0#pay", ["a", 5]},
          {"acme:money/bank@0.2.0#pay", ["a"]},
          {"pay", ["a", 5]}
        ],
        do:
          assert(
            {:error, :unknown_operation} == Bank.handle_function(function, arguments, context)
          )
  end

  test "a function of a provider's interface that cannot pass is left out with a warning" do
    warning =
      capture_io(:stderr, fn ->
        compile("""
        use Exosuit.Provider, wit: #{inspect(@wit)}, interface: "acme:shop/tools"
        def total(_lines, _when, _context), do: 0.0
        def end_(_context), do: nil
        def place(_context), do: :ok
        def open(_context), do: Exosuit.Resource.new([])
        def basket_add(_basket, _line, _context), do: nil
        """)
      end)

    assert warning =~ "acme:shop/tools@1.0.0#pour is left out"
  end

  test "a provider that lacks a function does not compile" do
    error =
      assert_raise ArgumentError, fn ->
        compile("""
        use Exosuit.Provider, wit: #{inspect(@wit)}, interface: "acme:money/bank"
        def balance(_account, _context), do: 0
        def pay(_account, _context), do: :ok
        """)
      end

    assert error.message =~
             "to define pay/3 for `func(account: string, cents: u64) -> result<receipt, string>`"
  end

  @clashes """
  package acme:clash;
  interface clash {
    enum when { nil, one }
    end: func(end: when) -> when;
    log: func(context: string, options: string) -> u32;
    send: func(message: string) -> u32;
  }
  world clashes {
    export clash;
    export one: interface { twice: func(); }
    export two: interface { twice: func(); }
  }
  """

  test "names that clash with those of Elixir, or with the last parameter, are told apart", %{
    dir: dir
  } do
    Mix.shell(Mix.Shell.Quiet)
    wit = Path.join(dir, "clash.wit")
    File.write!(wit, @clashes)

    {bank, _beam} =
      compile("""
      use Exosuit.Provider, wit: #{inspect(wit)}, interface: "acme:clash/clash"
      @impl true
      def end_(end_, _context), do: end_
      @impl true
      def log(_context, _options, context), do: context
      @impl true
      def send(message, _context), do: message
      """)

    assert :one == bank.handle_function("acme:clash/clash#end", [:one], :context)
    assert :context == bank.handle_function("acme:clash/clash#log", ["a", "b"], :context)
    assert "a" == bank.handle_function("acme:clash/clash#send", ["a"], :context)

    made = written("component", dir, ["--wit", wit])
    assert {:log, 3} in made.__info__(:functions)
    assert {:one_twice, 1} in made.__info__(:functions)

    assert_raise ArgumentError, ~r"expected the option :host", fn -> made.log("a", "b", []) end

    made = written("provider", dir, ["--wit", wit, "--interface", "acme:clash/clash"])

    for {function, arguments} <- [{"log", ["a", "b"]}, {"send", ["a"]}, {"end", [:one]}],
        do:
          assert_raise(RuntimeError, ~r"to be written", fn ->
            made.handle_function("acme:clash/clash#" <> function, arguments, :context)
          end)
  end

  test "a component is described before it runs", %{dir: dir} do
    assert {:ok, %Exosuit.World.Description{kind: :component, claims: :unsigned} = description} =
             Exosuit.describe(Path.join(dir, "shop.wasm"))

    assert %{core_modules: 2, unanswered: [], answers: [], producers: %{}, module: nil} =
             description

    assert %{instances: 2, memories: 1, tables: 0, memory: 262_144} == description.needs

    [orders] = description.world.exports
    assert orders.name == "acme:shop/orders@1.0.0"

    assert [%{name: "place", signature: "func(order: order) -> result<order, string>"}] =
             orders.functions

    assert %{shape: {:enum, [%{name: "red"}, %{name: "green"}]}} = hd(orders.types)

    assert {:ok, %{kind: :wasmbus_module, world: nil, module: module}} =
             Exosuit.describe(Guests.path("echo"))

    assert "__guest_call" in module.exports
    assert {:error, %Error{reason: :invalid_module}} = Exosuit.describe({:bytes, "no Wasm"})
    assert {:error, %Error{}} = Exosuit.describe(Path.join(dir, "absent.wasm"))
  end

  test "the tasks write the same modules as source", %{dir: dir} do
    Mix.shell(Mix.Shell.Quiet)
    file = Path.join(dir, "shop.ex")

    component = [
      "Exosuit.ComponentModuleTest.Written",
      "--wit",
      @wit,
      "--world",
      "shop",
      "--actor",
      "shop"
    ]

    Mix.Task.rerun("exosuit.gen.component", component ++ ["--output", file])
    assert [{module, _beam}] = Code.compile_file(file)
    host = start_supervised_host!()
    {:ok, "shop"} = Exosuit.start_actor(host, Path.join(dir, "shop.wasm"), id: "shop")
    assert {:ok, @order} == module.place(@order, host: host)

    file = Path.join(dir, "bank.ex")

    provider = [
      "Exosuit.ComponentModuleTest.Made",
      "--wit",
      @wit,
      "--interface",
      "acme:money/bank"
    ]

    Mix.Task.rerun("exosuit.gen.provider", provider ++ ["--output", file])

    capture_io(:stderr, fn ->
      send(self(), for({module, _beam} <- Code.compile_file(file), do: module))
    end)

    assert_received [_one, _two] = modules
    [made] = Enum.filter(modules, &function_exported?(&1, :handle_function, 3))

    assert_raise RuntimeError, ~r"to be written", fn ->
      made.handle_function("acme:money/bank#balance", ["a"], nil)
    end

    for arguments <- [[], ["lower"], ["A", "--wit", "nowhere"], ["A", "--what"], ["A"]],
        do: assert_raise(Mix.Error, fn -> Mix.Task.rerun("exosuit.gen.component", arguments) end)
  end

  # The module that a task writes.
  defp written(task, dir, options) do
    name = "Exosuit.ComponentModuleTest.Written#{System.unique_integer([:positive])}"
    file = Path.join(dir, task <> ".ex")
    Mix.Task.rerun("exosuit.gen." <> task, [name, "--output", file | options])

    capture_io(:stderr, fn -> send(self(), {:compiled, Code.compile_file(file)}) end)
    assert_received {:compiled, modules}
    {module, _beam} = named(modules, name)
    module
  end

  defp compile(body) do
    name = "Exosuit.ComponentModuleTest.Made#{System.unique_integer([:positive])}"

    "defmodule #{name} do\n@moduledoc false\n#{body}\nend" |> Code.compile_string() |> named(name)
  end

  # A provider has a behaviour beside it.
  defp named(modules, name), do: Enum.find(modules, fn {module, _} -> inspect(module) == name end)
end
