defmodule Exosuit.World.Shape do
  @moduledoc """
  The places of structs in a value of WIT, and the change of its maps to structs. Pure.

  A value comes from Rust with a map for each record. `Exosuit.World.Structs` makes the shapes at compile time, and a
  module with `structs: true` casts each value as it arrives. A part of a value without structs has no shape, and is
  not visited.

      iex> named = %{order: {:record, URI, [path: nil]}}
      iex> [order] = Exosuit.World.Shape.cast!([%{path: "/a"}], {:list, {:named, :order}}, named)
      iex> order.path
      "/a"
  """

  alias Exosuit.Error

  @typedoc """
  The places of structs in a value.

  - `nil`: there are none, the value passes unchanged
  - `{:marked_option, shape}`: an option whose value may itself be `nil`; the engine passes it as `{:some, value}`
  - `{:named, name}`: a type with a name, whose shape is in `t:named/0`, because types may contain themselves
  """
  @type t ::
          nil
          | {:list, t()}
          | {:map, t()}
          | {:option, t()}
          | {:marked_option, t()}
          | {:tuple, [t()]}
          | {:result, t(), t()}
          | {:named, atom()}

  @typedoc "The shapes of types with a name."
  @type named :: %{
          optional(atom()) =>
            {:record, module(), keyword(t())} | {:variant, keyword(t())} | {:alias, t()}
        }

  @doc """
  The value with a struct for each record that has one. Raises `Exosuit.Error` if the value has another shape: it comes
  from a component that was made of other WIT.
  """
  @spec cast!(Exosuit.Wit.value(), t(), named()) :: Exosuit.Wit.value() | struct()
  def cast!(value, nil, _named), do: value

  def cast!(values, {:list, shape}, named) when is_list(values),
    do: Enum.map(values, &cast!(&1, shape, named))

  def cast!(%{} = values, {:map, shape}, named),
    do: Map.new(values, fn {key, value} -> {key, cast!(value, shape, named)} end)

  def cast!(nil, {tag, _shape}, _named) when tag in [:option, :marked_option], do: nil
  def cast!(value, {:option, shape}, named), do: cast!(value, shape, named)

  def cast!({:some, value}, {:marked_option, shape}, named),
    do: {:some, cast!(value, shape, named)}

  def cast!(value, {:tuple, shapes}, named) when tuple_size(value) == length(shapes) do
    values = Enum.zip(Tuple.to_list(value), shapes)
    values |> Enum.map(fn {value, shape} -> cast!(value, shape, named) end) |> List.to_tuple()
  end

  def cast!(tag, {:result, _ok, _error}, _named) when tag in [:ok, :error], do: tag
  def cast!({:ok, value}, {:result, shape, _error}, named), do: {:ok, cast!(value, shape, named)}

  def cast!({:error, value}, {:result, _ok, shape}, named),
    do: {:error, cast!(value, shape, named)}

  def cast!(value, {:named, name}, named), do: named(value, name, Map.fetch!(named, name), named)
  def cast!(_value, shape, _named), do: other!("a value of #{elem(shape, 0)}")

  defp named(value, _name, {:alias, shape}, named), do: cast!(value, shape, named)

  defp named({tag, value}, _name, {:variant, cases}, named) when is_atom(tag),
    do: {tag, cast!(value, cases[tag], named)}

  defp named(value, _name, {:variant, _cases}, _named), do: value

  defp named(value, name, {:record, module, fields}, named) when is_map(value) do
    fields =
      for {field, shape} <- fields do
        case value do
          %{^field => value} -> {field, cast!(value, shape, named)}
          _without -> other!("a field #{field} of the record #{name}")
        end
      end

    Map.new([{:__struct__, module} | fields])
  end

  defp named(_value, name, {:record, _module, _fields}, _named), do: other!("the record #{name}")

  @spec other!(String.t()) :: no_return()
  defp other!(expected) do
    raise Error.new(
            :invalid_input,
            "expected #{expected}; the other side was made of other WIT than this module"
          )
  end
end
