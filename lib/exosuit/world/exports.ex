defmodule Exosuit.World.Exports do
  @moduledoc """
  Compares the exports of two worlds. Pure.

  It follows the types of the wanted world and stops at the first difference, so a stranger's component cannot make it
  take long. Names of types do not matter, names of fields and cases do: values are passed by them. A wanted world that
  has fewer exports than the component is satisfied.

  The text of a difference names the place as a path, and has 1 000 characters at most:
  `transform: order.lines[].price: expected f64, got u32`.
  """

  alias Exosuit.World
  alias Exosuit.World.Interface

  # Characters of a difference, which may have names of a stranger's component.
  @longest 1_000

  @typep definitions :: %{optional({String.t() | nil, String.t()}) => Interface.shape()}

  @doc "The first difference, as a text; nil if the world has all exports of the wanted one."
  @spec difference(World.t(), World.t()) :: String.t() | nil
  def difference(world, wanted) do
    types = {definitions(wanted), definitions(world)}

    difference =
      Enum.find_value(functions(wanted), fn {operation, function} ->
        case functions(world) do
          %{^operation => found} ->
            function_difference(operation, function, found, types)

          _without ->
            "expected an export #{operation}: #{function.signature}, got #{exports(world)}"
        end
      end)

    difference && String.slice(difference, 0, @longest)
  end

  defp functions(world) do
    for interface <- world.exports,
        function <- interface.functions,
        into: %{},
        do: {Interface.operation(interface, function), function}
  end

  defp exports(world) do
    case world |> functions() |> Map.keys() do
      [] -> "no exported function"
      names -> names |> Enum.take(5) |> Enum.join(", ")
    end
  end

  @spec definitions(World.t()) :: definitions()
  defp definitions(world) do
    for interface <- world.imports ++ world.exports,
        type <- interface.types,
        into: %{},
        do: {{interface.name, type.name}, type.shape}
  end

  defp function_difference(operation, wanted, found, types) do
    if length(wanted.parameters) == length(found.parameters) and wanted.async? == found.async? do
      parameters = Enum.zip(wanted.parameters, found.parameters)

      parts =
        for {{name, one}, {_name, other}} <- parameters, do: {"#{operation}: #{name}", one, other}

      result = {"#{operation}: result", wanted.result, found.result}
      Enum.find_value(parts ++ [result], &type_difference(&1, types))
    else
      "expected #{operation}: #{wanted.signature}, got #{found.signature}"
    end
  end

  defp type_difference({path, one, other}, {wanted, found} = types) do
    {kind, parts} = one |> resolve(wanted) |> split()
    {other_kind, other_parts} = other |> resolve(found) |> split()

    if kind == other_kind and names(parts) == names(other_parts) do
      pairs = Enum.zip(parts, other_parts)

      Enum.find_value(pairs, fn {{name, one}, {_name, other}} ->
        type_difference({path <> name, one, other}, types)
      end)
    else
      "#{path}: expected #{text(kind, parts)}, got #{text(other_kind, other_parts)}"
    end
  end

  defp resolve({:named, interface, name} = type, definitions) do
    case definitions do
      %{{^interface, ^name} => {:alias, type}} -> resolve(type, definitions)
      %{{^interface, ^name} => shape} -> shape
      _without -> type
    end
  end

  defp resolve(type, _definitions), do: type

  # The kind of a type, and its parts with their names as a path has them.
  defp split(nil), do: {"nothing", []}
  defp split(type) when is_atom(type), do: {Atom.to_string(type), []}
  defp split({:map, key, value}), do: {"map", [{"[key]", key}, {"[]", value}]}
  defp split({:list, type}), do: {"list", [{"[]", type}]}
  defp split({:option, type}), do: {"option", [{"", type}]}
  defp split({:result, ok, error}), do: {"result", [{".ok", ok}, {".error", error}]}

  defp split({:tuple, types}),
    do: {"tuple", for({type, n} <- Enum.with_index(types), do: {".#{n}", type})}

  defp split({kind, parts}) when kind in [:record, :variant, :enum, :flags],
    do: {Atom.to_string(kind), for(part <- parts, do: {"." <> part.name, part.type})}

  # Handles, streams and other types that no call of Elixir passes.
  defp split(type), do: {inspect(type), []}

  defp names(parts), do: for({name, _type} <- parts, do: name)

  defp text(kind, parts) do
    case parts |> names() |> Enum.filter(&String.starts_with?(&1, ".")) do
      [] ->
        kind

      names ->
        "#{kind} of #{names |> Enum.take(20) |> Enum.map_join(", ", &String.trim_leading(&1, "."))}"
    end
  end
end
