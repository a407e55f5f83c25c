defmodule Exosuit.World.Interface do
  @moduledoc """
  Functions and types under a name such as `acme:shop/orders@1.0.0`, or of the world itself (name `nil`).
  """

  alias Exosuit.World
  alias Exosuit.World.Function

  @typedoc "A field, case or flag. A field has a type, and a case may have a type."
  @type part :: %{name: String.t(), docs: String.t() | nil, type: World.type() | nil}

  @typedoc "The form of a type with a name."
  @type shape ::
          {:record | :variant | :enum | :flags, [part()]} | {:alias, World.type()} | :resource

  @typedoc "A type with a name. `docs` is its comment in WIT."
  @type definition :: %{name: String.t(), docs: String.t() | nil, shape: shape()}

  @type t :: %__MODULE__{
          name: String.t() | nil,
          docs: String.t() | nil,
          functions: [Function.t()],
          types: [definition()]
        }

  @enforce_keys [:name, :docs, :functions, :types]
  defstruct [:name, :docs, :functions, :types]

  @doc """
  The operation of a function in a call: `acme:shop/orders@1.0.0#place`, or `place` of the world itself.

      iex> alias Exosuit.World.{Function, Interface}
      iex> nothing = %{resource: nil, async?: false, docs: nil, parameters: [], result: nil, signature: ""}
      iex> place = struct!(Function, Map.put(nothing, :name, "place"))
      iex> Interface.operation(%Interface{name: "acme:shop/orders", docs: nil, functions: [], types: []}, place)
      "acme:shop/orders#place"
  """
  @spec operation(t(), Function.t()) :: String.t()
  def operation(%__MODULE__{name: nil}, function), do: function.name
  def operation(%__MODULE__{name: name}, function), do: "#{name}##{function.name}"
end
