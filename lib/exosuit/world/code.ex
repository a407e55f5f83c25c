defmodule Exosuit.World.Code do
  @moduledoc """
  Elixir code of WIT: names, typespecs and docs.

  `Exosuit.Component` (functions that call a component) and `Exosuit.Provider.Typed` (functions that a provider has)
  both make their modules with it. It runs at compile time, where names may become atoms.

  | WIT | Elixir |
  |---|---|
  | `get-item` | `get_item` |
  | `[constructor]cart`, `[method]cart.add`, `[static]cart.all` | `new_cart`, `cart_add`, `cart_all` |
  | a reserved word, `end` | `end_` |
  | a type `order` | `order()`; of two interfaces with an `order`, each begins with its interface's name |
  | `record` | a map, with optional keys for fields of type `option`; or a struct |
  | `variant`, `enum` | atoms, and pairs of an atom and a value |
  | `stream`, `future`, lists of a fixed length, `async` | no form: the function is left out, with a warning |
  """

  alias Exosuit.World.{Function, Interface}

  @reserved ~w(after and catch do else end false fn in nil not or rescue true when)
  # The last parameter of the functions that are made, of a component and of a provider.
  @own ~w(options context)
  @elixir_types ~w(as_boolean charlist keyword nonempty_charlist nonempty_keyword record struct)a

  @typedoc """
  The types of several interfaces in typespecs, by interface and name: a name, or a type of another module.
  """
  @type names :: %{optional({String.t() | nil, String.t()}) => atom() | Macro.t()}

  @doc """
  A name as Elixir writes it.

      iex> Exosuit.World.Code.name("get-item")
      :get_item
  """
  @spec name(String.t()) :: atom()
  def name(name), do: name |> String.replace("-", "_") |> String.to_atom()

  @doc """
  The name of a function: `new_cart` for a constructor of `cart`, `cart_add` for its method or static function `add`. A
  word that Elixir reserves gets an underscore at its end: it cannot be defined.

      iex> Enum.map(["place-order", "[constructor]cart", "[method]cart.add", "end"], &Exosuit.World.Code.function/1)
      [:place_order, :new_cart, :cart_add, :end_]
  """
  @spec function(String.t()) :: atom()
  def function(name) when name in @reserved, do: String.to_atom(name <> "_")
  def function(name), do: name |> plain() |> name()

  @doc "The name of a function without the brackets of those of resources: `new-cart`, `cart-add`."
  @spec plain(String.t()) :: String.t()
  def plain("[constructor]" <> resource), do: "new-" <> resource
  def plain("[method]" <> name), do: String.replace(name, ".", "-")
  def plain("[static]" <> name), do: String.replace(name, ".", "-")
  def plain(name), do: name

  @doc "A variable for a parameter."
  @spec variable(String.t()) :: Macro.t()
  def variable(name) do
    name = String.replace(name, "-", "_")
    name = if name in @reserved or name in @own, do: name <> "_", else: Macro.underscore(name)
    Macro.var(String.to_atom(name), nil)
  end

  @doc "Names for the types of interfaces, each of its own: see `unique/1`."
  @spec names([Interface.t()]) :: names()
  def names(interfaces) do
    all = for interface <- interfaces, type <- interface.types, do: {interface.name, type.name}
    all |> Enum.uniq() |> unique() |> Map.new(fn {key, name} -> {key, type_name(name)} end)
  end

  @doc """
  Names of their own for types of interfaces. A name that several have begins with the name of its interface, and if
  that is not enough, with the interface's package and version. The names depend only on the interfaces that are read
  together.

      iex> keys = [{"a:b/x", "order"}, {"a:b/y", "order"}, {"a:b/y", "line"}]
      iex> Enum.sort(Exosuit.World.Code.unique(keys))
      [{{"a:b/x", "order"}, "x-order"}, {{"a:b/y", "line"}, "line"}, {{"a:b/y", "order"}, "y-order"}]
  """
  @spec unique([key]) :: [{key, String.t()}] when key: {String.t() | nil, String.t()}
  def unique(keys),
    do: unique(keys, [fn {_interface, name} -> name end, &prefixed/1, &qualified/1])

  defp unique(keys, [last]), do: Enum.map(keys, &{&1, last.(&1)})

  defp unique(keys, [name | others]) do
    groups = keys |> Enum.group_by(name) |> Map.to_list()
    named = for {name, [key]} <- groups, do: {key, name}
    named ++ unique(for({_name, [_, _ | _] = keys} <- groups, key <- keys, do: key), others)
  end

  defp qualified({nil, name}), do: name
  defp qualified({interface, name}), do: String.replace("#{interface}-#{name}", ~r/[^\w-]/, "-")

  defp prefixed({nil, name}), do: name

  defp prefixed({interface, name}) do
    # An interface of the world itself has no package.
    interface = interface |> String.split("@") |> hd() |> String.split("/") |> List.last()
    "#{interface}-#{name}"
  end

  defp type_name(name) do
    type = name(name)
    taken? = :erl_internal.is_type(type, 0) or type in @elixir_types or name in @reserved
    if taken?, do: String.to_atom("#{type}_"), else: type
  end

  @doc "The typespecs of an interface's types, each with its docs. `structs` has the modules of records that are structs."
  @spec types(Interface.t(), names(), %{optional({String.t() | nil, String.t()}) => module()}) ::
          [Macro.t()]
  def types(interface, names, structs \\ %{}) do
    for type <- interface.types do
      key = {interface.name, type.name}
      shape = taken(structs[key]) || shape(type.shape, names)
      spec = {:"::", [], [{Map.fetch!(names, key), [], []}, shape]}

      quote do
        @typedoc unquote(type.docs || "`#{type.name}` of `#{interface.name || "the world"}`.")
        @type unquote(spec)
      end
    end
  end

  # Where a record is taken, a map will do.
  defp taken(nil), do: nil
  defp taken(module), do: quote(do: unquote(module).t() | map())

  defp shape(:resource, _names), do: quote(do: Exosuit.Resource.t())
  defp shape({:alias, type}, names), do: type(type, names)
  defp shape({:enum, cases}, _names), do: union(for(part <- cases, do: name(part.name)))
  defp shape({:flags, flags}, _names), do: [union(for(part <- flags, do: name(part.name)))]

  defp shape({:variant, cases}, names) do
    union(
      for %{name: name, type: type} <- cases,
          do: if(type, do: {name(name), type(type, names)}, else: name(name))
    )
  end

  defp shape({:record, fields}, names) do
    {:%{}, [], for(%{name: name, type: type} <- fields, do: {key(name, type), type(type, names)})}
  end

  defp key(name, {:option, _type}), do: {:optional, [], [name(name)]}
  defp key(name, _type), do: {:required, [], [name(name)]}

  @doc """
  The typespec of a type. A named type that is not among `names` is `term()`, and a resource `t:Exosuit.Resource.t/0`.

      iex> Macro.to_string(Exosuit.World.Code.type({:option, {:list, :u8}}, %{}))
      "binary() | nil"
  """
  @spec type(Exosuit.World.type(), names()) :: Macro.t()
  def type(:bool, _names), do: quote(do: boolean())
  def type(type, _names) when type in [:char, :string], do: quote(do: String.t())

  def type(type, _names) when type in [:f32, :f64],
    do: quote(do: float() | integer() | :nan | :infinity | :neg_infinity)

  def type(type, _names) when type in [:u8, :u16, :u32, :u64], do: quote(do: non_neg_integer())
  def type(type, _names) when type in [:s8, :s16, :s32, :s64], do: quote(do: integer())
  def type({:list, :u8}, _names), do: quote(do: binary())
  def type({:list, type}, names), do: [type(type, names)]

  def type({:map, key, value}, names),
    do: quote(do: %{optional(unquote(type(key, names))) => unquote(type(value, names))})

  def type({:tuple, types}, names), do: {:{}, [], Enum.map(types, &type(&1, names))}

  def type({:option, {:option, _inner} = type}, names),
    do: quote(do: {:some, unquote(type(type, names))} | nil)

  def type({:option, type}, names), do: quote(do: unquote(type(type, names)) | nil)

  def type({:result, ok, error}, names),
    do: quote(do: unquote(tagged(:ok, ok, names)) | unquote(tagged(:error, error, names)))

  # A type of an interface that was not read is any term.
  def type({tag, interface, name}, names) when tag in [:named, :own, :borrow] do
    case names do
      %{{^interface, ^name} => type} when is_atom(type) -> {type, [], []}
      %{{^interface, ^name} => type} -> type
      _without when tag == :named -> quote(do: term())
      _resource -> quote(do: Exosuit.Resource.t())
    end
  end

  def type(_other, _names), do: quote(do: term())

  @doc "A case of a result, as a typespec."
  @spec tagged(:ok | :error, Exosuit.World.type() | nil, names()) :: Macro.t()
  def tagged(tag, nil, _names), do: tag
  def tagged(tag, type, names), do: {tag, type(type, names)}

  @doc "The docs of a function: its comment, and its signature."
  @spec docs(Interface.t(), Function.t()) :: String.t()
  def docs(interface, function) do
    called = "`#{Interface.operation(interface, function)}`: `#{function.signature}`"
    if function.docs, do: "#{function.docs}\n\n#{called}", else: called <> "."
  end

  @doc "Joins specs by `|`."
  @spec union([Macro.t()]) :: Macro.t()
  def union(specs), do: specs |> Enum.reverse() |> Enum.reduce(&{:|, [], [&1, &2]})

  @doc "Returns what was read from WIT. Raises if it could not be read."
  @spec read!({:ok, read} | {:error, Exosuit.Error.t()}) :: read when read: var
  def read!({:ok, read}), do: read
  def read!({:error, error}), do: raise(ArgumentError, "cannot read the WIT: " <> error.detail)

  @doc "The code that has a module compiled again when its WIT changes."
  @spec resources(Path.t()) :: [Macro.t()]
  def resources(path) do
    files = if File.dir?(path), do: Path.wildcard(Path.join(path, "**/*.wit")), else: [path]
    for file <- files, do: quote(do: @external_resource(unquote(file)))
  end

  @doc "The functions of an interface for which Elixir has a form. Warns of each other one."
  @spec functions(Interface.t(), Macro.Env.t()) :: [Function.t()]
  def functions(interface, env) do
    {callable, others} = Enum.split_with(interface.functions, &callable?/1)

    for function <- others do
      operation = Interface.operation(interface, function)

      text =
        "#{operation} is left out: #{function.signature} has a stream or another type that is not supported yet"

      IO.warn(text, Macro.Env.stacktrace(env))
    end

    Enum.map(callable, &with_self/1)
  end

  # The first parameter of a method is named after its resource, not `self`.
  defp with_self(%{resource: resource, parameters: [{"self", type} | others]} = function)
       when is_binary(resource) do
    if List.keymember?(others, resource, 0),
      do: function,
      else: %{function | parameters: [{resource, type} | others]}
  end

  defp with_self(function), do: function

  @doc "The types of what a function gives and takes."
  @spec values(Function.t()) :: [Exosuit.World.type() | nil]
  def values(function),
    do: [function.result | for({_name, type} <- function.parameters, do: type)]

  defp callable?(%Function{} = function) do
    not function.async? and Enum.all?(values(function), &form?/1)
  end

  defp form?({tag, _type}) when tag in [:stream, :future], do: false
  defp form?({:list, _type, _length}), do: false
  defp form?({:map, key, value}), do: form?(key) and form?(value)
  defp form?({:tuple, types}), do: Enum.all?(types, &form?/1)
  defp form?({:result, ok, error}), do: form?(ok) and form?(error)
  defp form?({tag, type}) when tag in [:list, :option], do: form?(type)
  defp form?(_type), do: true
end
