defmodule Exosuit.World.Structs do
  @moduledoc """
  Structs for the records that functions of WIT take or give: their modules, their code and their names in typespecs.

  It runs at compile time. `Exosuit.World.Shape` makes the structs when a value arrives. Only records that a function
  can reach get a module. Two records of one name, of different interfaces, get names with their interfaces
  (`Exosuit.World.Code.unique/1`).

  Fields of type `option` may be left out of a struct; all others are enforced.
  """

  alias Exosuit.World
  alias Exosuit.World.{Code, Interface, Shape}

  @typedoc "An interface and the name of a type in it."
  @type key :: {String.t() | nil, String.t()}

  @typedoc """
  - `definitions`: all types of the interfaces
  - `modules`: the module of each record that is a struct
  - `carriers`: the named types with a struct somewhere in them, each with the name of its shape
  """
  @type t :: %__MODULE__{
          definitions: %{optional(key()) => Interface.definition()},
          modules: %{optional(key()) => module()},
          carriers: %{optional(key()) => atom()}
        }

  # `carriers`: the named types with a struct somewhere in them, each with the name of its shape.
  @enforce_keys [:definitions, :modules, :carriers]
  defstruct @enforce_keys

  @doc "No structs: records stay maps."
  @spec none() :: t()
  def none, do: %__MODULE__{definitions: %{}, modules: %{}, carriers: %{}}

  @doc """
  The structs for the records of `interfaces` that `types` have in them, as modules below `parent`. Raises if two would
  be the same module.
  """
  @spec new([Interface.t()], [World.type() | nil], Code.names(), module()) :: t()
  def new(interfaces, types, names, parent) do
    definitions =
      for interface <- interfaces,
          type <- interface.types,
          into: %{},
          do: {{interface.name, type.name}, type}

    reached = reached(Enum.flat_map(types, &named/1), definitions, %{})
    records = for {key, %{shape: {:record, _fields}}} <- reached, do: key
    modules = for {key, name} <- Code.unique(records), do: {key, module(parent, name)}
    distinct!(modules)
    modules = Map.new(modules)

    carriers =
      for {key, _definition} <- reached,
          [key]
          |> reached(definitions, %{})
          |> Enum.any?(fn {to, _} -> is_map_key(modules, to) end),
          into: %{},
          do: {key, Map.fetch!(names, key)}

    %__MODULE__{definitions: definitions, modules: modules, carriers: carriers}
  end

  @doc "The code of the modules."
  @spec code(t(), Code.names(), module()) :: [Macro.t()]
  def code(structs, names, parent) do
    names = given(structs, Map.new(names, fn {key, name} -> {key, remote(parent, name)} end))

    for {key, module} <- Enum.sort(structs.modules) do
      %{shape: {:record, fields}} = definition = Map.fetch!(structs.definitions, key)
      pairs = for field <- fields, do: {Code.name(field.name), Code.type(field.type, names)}
      required = for field <- fields, not optional?(field.type), do: Code.name(field.name)

      quote do
        defmodule unquote(module) do
          @moduledoc unquote(definition.docs || "The record `#{text(key)}`.")
          @enforce_keys unquote(required)
          defstruct unquote(for {name, _type} <- pairs, do: {name, nil})
          @type t :: %__MODULE__{unquote_splicing(pairs)}
        end
      end
    end
  end

  @doc "The names of types where a value is given: a record is its struct there, and nothing else."
  @spec given(t(), Code.names()) :: Code.names()
  def given(structs, names),
    do:
      Map.merge(
        names,
        Map.new(structs.modules, fn {key, module} -> {key, remote(module, :t)} end)
      )

  @doc "The shape of a type: nil if there is no struct in it."
  @spec shape(World.type() | nil, t()) :: Shape.t()
  def shape({:list, type}, structs), do: wrapped(:list, [type], structs)
  def shape({:map, _key, value}, structs), do: wrapped(:map, [value], structs)
  def shape({:tuple, types}, structs), do: wrapped(:tuple, types, structs)
  def shape({:result, ok, error}, structs), do: wrapped(:result, [ok, error], structs)

  def shape({:option, type}, structs) do
    tag = if nothing?(type, structs.definitions), do: :marked_option, else: :option
    wrapped(tag, [type], structs)
  end

  def shape({:named, interface, name}, structs) do
    case structs.carriers do
      %{{^interface, ^name} => shape} -> {:named, shape}
      _without -> nil
    end
  end

  def shape(_type, _structs), do: nil

  @doc "The code of the private function with the shapes of what is in `types`; nothing without a struct in them."
  @spec shapes_code(t(), [World.type() | nil]) :: [Macro.t()]
  def shapes_code(structs, types) do
    reached = types |> Enum.flat_map(&named/1) |> reached(structs.definitions, %{})

    shapes =
      for {key, name} <- structs.carriers,
          is_map_key(reached, key),
          into: %{},
          do: {name, definition(key, reached[key].shape, structs)}

    if shapes == %{},
      do: [],
      else: [quote(do: defp(exosuit_shapes, do: unquote(Macro.escape(shapes))))]
  end

  defp wrapped(tag, types, structs) do
    shapes = Enum.map(types, &shape(&1, structs))
    unless Enum.all?(shapes, &is_nil/1), do: List.to_tuple([tag | shapes_of(tag, shapes)])
  end

  defp shapes_of(:tuple, shapes), do: [shapes]
  defp shapes_of(_tag, shapes), do: shapes

  defp definition(key, {:record, fields}, structs) do
    fields = for field <- fields, do: {Code.name(field.name), shape(field.type, structs)}
    {:record, Map.fetch!(structs.modules, key), fields}
  end

  defp definition(_key, {:variant, cases}, structs),
    do:
      {:variant,
       for(%{type: type} = part <- cases, do: {Code.name(part.name), shape(type, structs)})}

  defp definition(_key, {:alias, type}, structs), do: {:alias, shape(type, structs)}

  # Whether a value of the type may look like an option that is absent. The engine marks such options.
  defp nothing?({:option, _type}, _definitions), do: true

  defp nothing?({:named, interface, name}, definitions) do
    case definitions[{interface, name}] do
      %{shape: {:alias, type}} -> nothing?(type, definitions)
      %{shape: {tag, cases}} when tag in [:enum, :variant] -> Enum.any?(cases, &nil?/1)
      _other -> false
    end
  end

  defp nothing?(_type, _definitions), do: false

  defp nil?(part), do: part.name == "nil" and part.type == nil

  # The types that are in those of the keys, themselves among them.
  defp reached(keys, definitions, found) do
    Enum.reduce(keys, found, fn key, found ->
      case definitions do
        %{^key => definition} when not is_map_key(found, key) ->
          reached(parts(definition.shape), definitions, Map.put(found, key, definition))

        _known ->
          found
      end
    end)
  end

  defp parts({:alias, type}), do: named(type)
  defp parts({_tag, parts}), do: Enum.flat_map(parts, &named(&1.type))
  defp parts(:resource), do: []

  # The named types of a type.
  defp named({:named, interface, name}), do: [{interface, name}]
  defp named({tag, type}) when tag in [:list, :option], do: named(type)
  defp named({:map, _key, value}), do: named(value)
  defp named({:tuple, types}), do: Enum.flat_map(types, &named/1)
  defp named({:result, ok, error}), do: named(ok) ++ named(error)
  defp named(_type), do: []

  defp module(parent, name),
    do: Module.concat(parent, name |> String.replace("-", "_") |> Macro.camelize())

  defp distinct!(modules) do
    for {module, [_one, _two | _] = keys} <- Enum.group_by(modules, &elem(&1, 1), &elem(&1, 0)) do
      records = Enum.map_join(keys, ", ", &text/1)

      raise ArgumentError,
            "the records #{records} would all be #{inspect(module)}; leave out `structs: true`"
    end
  end

  defp optional?({:option, _type}), do: true
  defp optional?(_type), do: false

  defp remote(module, name), do: quote(do: unquote(module).unquote(name)())

  defp text({nil, name}), do: name
  defp text({interface, name}), do: "#{interface}.#{name}"
end
