defmodule Exosuit.Provider.Typed do
  @moduledoc """
  The part of `use Exosuit.Provider` for an interface of WIT. Runs at compile time, but for `name/2`.

  For an interface, the module that uses it gets

  - a module `Behaviour` below it: a callback for each function, with types, and one for the end of each resource
  - `handle_function/3`, which passes each call to the function of its name, with the arguments one by one
  - structs for records, with `structs: true` (`Exosuit.World.Structs`)
  - a compile error if a function is missing, and `@external_resource` for the files of WIT

  Names of WIT become atoms here, which is safe because the project's own files are read by its own compiler.
  """

  alias Exosuit.World
  alias Exosuit.World.{Code, Structs}

  @doc """
  The code for the options `:wit`, `:interface` and `:structs`; nothing without an interface. Raises `ArgumentError` if
  the WIT cannot be read.
  """
  @spec quoted(keyword(), Macro.Env.t()) :: Macro.t()
  def quoted(options, env) do
    if path = options[:wit], do: quoted(path, options[:interface], options[:structs], env)
  end

  defp quoted(path, name, structs?, env) do
    interface = path |> Path.expand() |> World.read_interface(name) |> Code.read!()
    functions = Code.functions(interface, env)
    # Types of other interfaces are terms here.
    names = Code.names([interface])
    structs = structs(structs?, {interface, functions}, names, env.module)
    taken = for function <- functions, {_name, type} <- function.parameters, do: type

    quote do
      unquote_splicing(Code.resources(path))
      unquote_splicing(Structs.code(structs, names, Module.concat(env.module, Behaviour)))

      defmodule Behaviour do
        @moduledoc unquote(interface.docs || "The functions of `#{interface.name}`.")
        unquote_splicing(Code.types(interface, names, structs.modules))
        unquote_splicing(Enum.map(functions, &callback(interface, &1, {names, structs})))
        unquote_splicing(Enum.map(resources(interface), &drop_callback/1))
      end

      @behaviour __MODULE__.Behaviour
      @exosuit_functions unquote(Macro.escape(table(functions)))
      @exosuit_drops unquote(drops(interface))

      @impl Exosuit.Provider
      def handle_function(function, arguments, context) do
        name = Exosuit.Provider.Typed.name(function, unquote(package(interface.name)))
        exosuit_call(name, arguments, context)
      end

      unquote_splicing(Enum.map(functions, &call(&1, structs)))
      defp exosuit_call(_name, _arguments, _context), do: {:error, :unknown_operation}
      unquote_splicing(Structs.shapes_code(structs, taken))
    end
  end

  defp resources(interface),
    do: for(%{shape: :resource, name: name} <- interface.types, do: name)

  defp drop_callback(resource) do
    name = drop_name(resource)

    quote do
      @doc unquote(
             "The `#{resource}` with this state has ended: see `c:Exosuit.Provider.handle_drop/3`. Optional."
           )
      @callback unquote(name)(state :: term(), Exosuit.Provider.Context.t()) :: term()
      @optional_callbacks [{unquote(name), 2}]
    end
  end

  # The types of resources, each with the function that hears of their end.
  defp drops(interface) do
    for resource <- resources(interface),
        do: {package(interface.name) <> "/" <> resource, drop_name(resource)}
  end

  defp drop_name(resource), do: Code.name("drop-" <> resource)

  @doc """
  The callback `handle_drop/3` of a module that has functions for the end of its resources; nothing if the module has
  its own.
  """
  @spec drop_handler(module()) :: Macro.t()
  def drop_handler(module) do
    drops =
      for {type, function} <- module |> Module.get_attribute(:exosuit_drops) |> with_unknown(),
          Module.defines?(module, {function, 2}, :def),
          do: drop_clause(type, function)

    if drops != [] and not Module.defines?(module, {:handle_drop, 3}) do
      quote do
        @impl Exosuit.Provider
        unquote_splicing(drops)
        def handle_drop(_type, _state, _context), do: :ok
      end
    end
  end

  # A resource whose type the host does not know is of the only one.
  defp with_unknown([{_type, function} = only]), do: [only, {nil, function}]
  defp with_unknown(types), do: types || []

  defp drop_clause(type, function) do
    quote do
      def handle_drop(unquote(type), state, context), do: unquote(function)(state, context)
    end
  end

  @doc """
  Raises `ArgumentError` if the module lacks a function of its interface, with the names and types of all that are
  missing.
  """
  @spec check!(module()) :: :ok
  def check!(module) do
    functions = Module.get_attribute(module, :exosuit_functions) || %{}

    missing =
      for {_name, {function, arity, signature}} <- functions,
          not Module.defines?(module, {function, arity}, :def),
          do: "#{function}/#{arity} for `#{signature}`"

    if missing != [] do
      raise ArgumentError,
            "expected #{inspect(module)} to define #{Enum.join(missing, ", ")}; the last argument is the context"
    end

    :ok
  end

  @doc """
  The name of a function of the package's interface, in any version that the guest imports; nil for another one.

      iex> Exosuit.Provider.Typed.name("my:math/calculator@1.2.0#add", "my:math/calculator")
      "add"
      iex> Exosuit.Provider.Typed.name("my:math/other#add", "my:math/calculator")
      nil
  """
  @spec name(String.t(), String.t()) :: String.t() | nil
  def name(operation, package) do
    with [interface, name] <- String.split(operation, "#", parts: 2),
         ^package <- package(interface),
         do: name,
         else: (_other -> nil)
  end

  defp structs(true, {interface, functions}, names, module),
    do: Structs.new([interface], Enum.flat_map(functions, &Code.values/1), names, module)

  defp structs(false, _interface, _names, _module), do: Structs.none()

  defp table(functions) do
    Map.new(functions, fn function ->
      {function.name,
       {Code.function(function.name), length(function.parameters) + 1, function.signature}}
    end)
  end

  # By the module, because a function may have the name of one of `Kernel`.
  defp call(function, structs) do
    variables = for {name, _type} <- function.parameters, do: Code.variable(name)
    arguments = for {name, type} <- function.parameters, do: argument(name, type, structs)

    quote do
      defp exosuit_call(unquote(function.name), unquote(variables), context),
        do: __MODULE__.unquote(Code.function(function.name))(unquote_splicing(arguments), context)
    end
  end

  defp argument(name, type, structs) do
    variable = Code.variable(name)

    case Structs.shape(type, structs) do
      nil ->
        variable

      shape ->
        shape = Macro.escape(shape)

        quote(do: Exosuit.World.Shape.cast!(unquote(variable), unquote(shape), exosuit_shapes()))
    end
  end

  # A callback takes what the guest gives.
  defp callback(interface, function, {names, structs}) do
    given = Structs.given(structs, names)

    types =
      for {_name, type} <- function.parameters, do: Code.type(stated(type, interface), given)

    result = if function.result, do: Code.type(function.result, names), else: quote(do: term())
    name = Code.function(function.name)

    quote do
      @doc unquote(Code.docs(interface, function))
      @callback unquote(name)(unquote_splicing(types), Exosuit.Provider.Context.t()) ::
                  unquote(result)
    end
  end

  # A provider gets the states of the resources that it makes.
  defp stated({tag, name, _resource}, %{name: name}) when tag in [:own, :borrow], do: :state
  defp stated({:list, type}, interface), do: {:list, stated(type, interface)}
  defp stated({:map, key, type}, interface), do: {:map, key, stated(type, interface)}
  defp stated({:option, type}, interface), do: {:option, stated(type, interface)}
  defp stated({:tuple, types}, interface), do: {:tuple, Enum.map(types, &stated(&1, interface))}

  defp stated({:result, ok, error}, interface),
    do: {:result, ok && stated(ok, interface), error && stated(error, interface)}

  defp stated(type, _interface), do: type

  # Without its version.
  defp package(interface), do: interface |> String.split("@") |> hd()
end
