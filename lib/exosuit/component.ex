defmodule Exosuit.Component do
  @schema [
    wit: [
      type: :string,
      doc:
        "a directory or file of WIT, with its `deps`, or a component; relative to the project's directory."
    ],
    world: [type: :string, default: nil, doc: "the world; may be left out if there is but one."],
    host: [
      type: :atom,
      default: nil,
      doc: "the host that calls are made on, unless a call says otherwise."
    ],
    actor: [
      type: :string,
      default: nil,
      doc: "the id of the actor that is called, unless a call says otherwise."
    ]
  ]

  @moduledoc """
  Makes an Elixir module from a component's world: a function for each exported function, with docs and typespecs.

      defmodule MyApp.Shop do
        use Exosuit.Component, wit: "wit", world: "shop", host: MyApp.Host, actor: "shop"
      end

      {:ok, receipt} = MyApp.Shop.place(%{lines: [], shipping: :pickup})

  The WIT is read when the module is compiled, and again when one of its files changes. No WIT is needed if the component
  carries its world, as those of the usual tools do: give the path of the component as `wit`.

  Each function takes the arguments of the WIT function, and options: those of `Exosuit.call/5`, and `:host` and `:actor`
  in place of those of the module. It returns:

  | the WIT function gives | the Elixir function returns |
  |---|---|
  | nothing | `:ok` |
  | `result<T, E>` | `{:ok, t}` or `{:error, e}`; `:ok` or `:error` for a case without a value |
  | any other `T` | `{:ok, t}` |

  and `{:error, %Exosuit.Error{}}` if the call fails. `Exosuit.Wit` has the values of each type. A function that several
  interfaces have begins with the name of its interface: `orders_place`. One that Elixir reserves ends with an
  underscore: `end_`.

  Functions with resources, streams or futures are left out, with a warning of the compiler.

  ## Options

  #{Exosuit.Options.docs(@schema)}
  """

  alias Exosuit.{Error, Options, World}
  alias Exosuit.World.{Code, Interface}

  defmacro __using__(options) do
    {options, _binding} = Elixir.Code.eval_quoted(options, [], __CALLER__)
    options = Options.validate!(options, @schema)
    path = Path.expand(options[:wit])
    path |> World.read(options[:world]) |> Code.read!() |> quoted(options, __CALLER__)
  end

  @doc false
  # The code of a module's body, as `use` puts it there and `mix exosuit.gen.component` writes it.
  @spec quoted(World.t(), keyword(), Macro.Env.t()) :: Macro.t()
  def quoted(world, options, env) do
    names = Code.names(world.imports ++ world.exports)
    used = Enum.uniq_by(world.imports ++ world.exports, & &1.name)
    defaults = Keyword.take(options, [:host, :actor])

    quote do
      unquote_splicing(Code.resources(options[:wit]))
      unquote_splicing(Enum.flat_map(used, &Code.types(&1, names)))
      unquote_splicing(functions(world, names, {defaults, env}))
    end
  end

  @doc false
  # Makes the call of a generated function.
  @spec call(keyword(), String.t(), [Exosuit.Wit.value()], :nothing | :value | :result, keyword()) ::
          :ok | :error | {:ok, Exosuit.Wit.value()} | {:error, Exosuit.Wit.value() | Error.t()}
  def call(defaults, operation, arguments, gives, options) do
    {own, options} = Keyword.split(options, [:host, :actor])
    own = Keyword.merge(defaults, own)

    answer =
      Exosuit.call(chosen!(own, :host), chosen!(own, :actor), operation, arguments, options)

    answered(answer, gives)
  end

  defp chosen!(options, key) do
    options[key] ||
      raise ArgumentError,
            "expected the option #{inspect(key)}, here or in `use Exosuit.Component`"
  end

  defp answered({:ok, nil}, :nothing), do: :ok
  defp answered({:ok, result}, :result), do: result
  defp answered(answer, _gives), do: answer

  defp functions(world, names, {defaults, env}) do
    all =
      for interface <- world.exports,
          function <- Code.functions(interface, env),
          into: %{},
          do: {{interface.name, function.name}, {interface, function}}

    for {key, name} <- all |> Map.keys() |> Code.unique() do
      {interface, function} = Map.fetch!(all, key)
      define(Code.function(name), interface, function, names, defaults)
    end
  end

  defp define(name, interface, function, names, defaults) do
    variables = for {parameter, _type} <- function.parameters, do: Code.variable(parameter)
    types = for {_name, type} <- function.parameters, do: Code.type(type, names)

    quote do
      @doc unquote(Code.docs(interface, function))
      @spec unquote(name)(unquote_splicing(types), keyword()) ::
              unquote(returns(function.result, names))
      def unquote(name)(unquote_splicing(variables), options \\ []) do
        Exosuit.Component.call(
          unquote(defaults),
          unquote(Interface.operation(interface, function)),
          unquote(variables),
          unquote(gives(function.result)),
          options
        )
      end
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
