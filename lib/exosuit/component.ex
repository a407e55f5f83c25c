defmodule Exosuit.Component do
  @schema [
    wit: [
      type: :string,
      doc:
        "a directory or file of WIT, with its `deps`, or a component; relative to the project's directory."
    ],
    world: [
      type: :string,
      default: nil,
      doc: "the name of the world; optional if there is only one."
    ],
    host: [
      type: :atom,
      default: nil,
      doc: "the host of the actor, unless a call has the option `:host`."
    ],
    actor: [
      type: :string,
      default: nil,
      doc: "the id of the actor, unless a call has the option `:actor`."
    ],
    structs: [
      type: :boolean,
      default: false,
      doc:
        "whether functions return structs for records, defined in modules below this one: `MyApp.Shop.Order`."
    ]
  ]

  @moduledoc """
  Makes an Elixir module from a component's world: a function for each exported function, with docs and typespecs.

      defmodule MyApp.Shop do
        use Exosuit.Component, wit: "wit", world: "shop", host: MyApp.Host, actor: "shop"
      end

      {:ok, receipt} = MyApp.Shop.place(%{lines: [], shipping: :pickup})

  The compiler reads the WIT, and compiles the module again when a WIT file changes. A component made by the usual
  tools carries its world, so no WIT is needed: give the path of the component as `wit`.

  Each function takes the arguments of the WIT function, and options. The options are those of `Exosuit.call/5`, and
  `:host` and `:actor`, which override those of the module. The function returns:

  | the WIT function returns | the Elixir function returns |
  |---|---|
  | nothing | `:ok` |
  | `result<T, E>` | `{:ok, t}` or `{:error, e}`; `:ok` or `:error` for a case without a value |
  | any other `T` | `{:ok, t}` |

  If the call fails, the function returns `{:error, %Exosuit.Error{}}`. `Exosuit.Wit` has the Elixir form of each
  type.

  **Names**: if several interfaces have a function of the same name, the name of the interface comes first:
  `orders_place`. A name that Elixir reserves ends with an underscore: `end_`.

  **Resources** are `Exosuit.Resource`s of the type `t:cart/0`. `new_cart` is the constructor of `cart`; `cart_add` is
  its method or static function `add`. A method takes the resource as its first argument.

  **Not supported**: functions with streams, futures or lists of a fixed length, and `async` functions. The module
  does not have them, and the compiler warns about each.

  **Structs**: with `structs: true`, functions return a struct for each record that has a name in the WIT:
  `%MyApp.Shop.Order{}` for `record order`. They accept structs and maps. A struct needs a value for each field that is
  not an `option`. If several interfaces have records of the same name, the name of the interface comes first:
  `MyApp.Shop.OrdersLine`.

  ## Options

  #{Exosuit.Options.docs(@schema)}
  """

  alias Exosuit.{Error, Options, World}
  alias Exosuit.World.{Code, Interface, Shape, Structs}

  defmacro __using__(options) do
    {options, _binding} = Elixir.Code.eval_quoted(options, [], __CALLER__)
    options = Options.validate!(options, @schema)
    path = Path.expand(options[:wit])
    world = path |> World.read(options[:world]) |> Code.read!()
    {structs, body} = quoted(world, options, __CALLER__)
    {:__block__, [], structs ++ [body]}
  end

  @doc false
  # The code of the modules of structs, and of the module's body, as `use` puts them there and
  # `mix exosuit.gen.component` writes them.
  @spec quoted(World.t(), keyword(), Macro.Env.t()) :: {[Macro.t()], Macro.t()}
  def quoted(world, options, env) do
    interfaces = Enum.uniq_by(world.imports ++ world.exports, & &1.name)
    functions = exported(world, env)
    names = Code.names(interfaces)
    structs = structs(options[:structs], interfaces, functions, {names, env.module})
    results = for {_name, _interface, function} <- functions, do: function.result
    made = {names, structs, Keyword.take(options, [:host, :actor])}

    body =
      quote do
        unquote_splicing(Code.resources(options[:wit]))
        unquote_splicing(Enum.flat_map(interfaces, &Code.types(&1, names, structs.modules)))
        unquote_splicing(Enum.map(functions, &define(&1, made)))
        unquote_splicing(Structs.shapes_code(structs, results))
      end

    {Structs.code(structs, names, env.module), body}
  end

  @doc false
  # Makes the call of a generated function. `structs`: the shape of its answer, and those of the types in it.
  @spec call(keyword(), String.t(), [Exosuit.Wit.value()], gives, keyword(), structs) ::
          :ok | :error | {:ok, Exosuit.Wit.value()} | {:error, Exosuit.Wit.value() | Error.t()}
        when gives: :nothing | :value | :result, structs: {Shape.t(), Shape.named()} | nil
  def call(defaults, operation, arguments, gives, options, structs \\ nil) do
    {own, options} = Keyword.split(options, [:host, :actor])
    own = Keyword.merge(defaults, own)

    answer =
      Exosuit.call(chosen!(own, :host), chosen!(own, :actor), operation, arguments, options)

    answer |> answered(gives) |> given(structs, operation)
  end

  defp chosen!(options, key) do
    options[key] ||
      raise ArgumentError,
            "expected the option #{inspect(key)}, here or in `use Exosuit.Component`"
  end

  defp answered({:ok, nil}, :nothing), do: :ok
  defp answered({:ok, result}, :result), do: result
  defp answered(answer, _gives), do: answer

  defp given(answer, nil, _operation), do: answer
  defp given({:error, %Error{}} = answer, _structs, _operation), do: answer

  defp given(answer, {shape, named}, operation) do
    Shape.cast!(answer, shape, named)
  rescue
    error in Error -> {:error, %{error | detail: "#{operation}: the answer: #{error.detail}"}}
  end

  # The functions, each with its name in Elixir and its interface.
  defp exported(world, env) do
    all =
      for interface <- world.exports,
          function <- Code.functions(interface, env),
          do: {{interface.name, Code.plain(function.name)}, {interface, function}}

    all = distinct!(all)

    for {key, name} <- all |> Map.keys() |> Code.unique() do
      {interface, function} = Map.fetch!(all, key)
      {Code.function(name), interface, function}
    end
  end

  # `cart-add` and the method `add` of `cart` have one name in Elixir.
  defp distinct!(functions) do
    for {{interface, name}, [one, other | _more]} <- Enum.group_by(functions, &elem(&1, 0)) do
      [one, other] = for {_key, {_interface, function}} <- [one, other], do: function.name

      raise ArgumentError,
            "#{interface} has #{one} and #{other}, which would both be #{Code.name(name)} in Elixir: rename one of them"
    end

    Map.new(functions)
  end

  defp structs(wanted, interfaces, functions, {names, parent}) do
    types =
      Enum.flat_map(functions, fn {_name, _interface, function} -> Code.values(function) end)

    if wanted, do: Structs.new(interfaces, types, names, parent), else: Structs.none()
  end

  defp define({name, interface, function}, {names, structs, defaults}) do
    variables = for {parameter, _type} <- function.parameters, do: Code.variable(parameter)
    types = for {_name, type} <- function.parameters, do: Code.type(type, names)
    result = returns(function.result, Structs.given(structs, names))

    call = [
      defaults,
      Interface.operation(interface, function),
      variables,
      gives(function.result),
      quote(do: options)
    ]

    quote do
      @doc unquote(Code.docs(interface, function))
      @spec unquote(name)(unquote_splicing(types), keyword()) :: unquote(result)
      def unquote(name)(unquote_splicing(variables), options \\ []) do
        Exosuit.Component.call(unquote_splicing(call ++ shaped(function.result, structs)))
      end
    end
  end

  # The last argument of `call/6`, where the answer has structs.
  defp shaped(result, structs) do
    type = if match?({:result, _ok, _error}, result), do: result, else: {:result, result, nil}

    case Structs.shape(type, structs) do
      nil -> []
      shape -> [quote(do: {unquote(Macro.escape(shape)), exosuit_shapes()})]
    end
  end

  defp gives(nil), do: :nothing
  defp gives({:result, _ok, _error}), do: :result
  defp gives(_type), do: :value

  defp returns(nil, _names), do: quote(do: :ok | {:error, Exosuit.Error.t()})

  defp returns({:result, ok, error}, names) do
    Code.union([
      Code.tagged(:ok, ok, names),
      Code.tagged(:error, error, names),
      quote(do: {:error, Exosuit.Error.t()})
    ])
  end

  defp returns(type, names),
    do: quote(do: {:ok, unquote(Code.type(type, names))} | {:error, Exosuit.Error.t()})
end
