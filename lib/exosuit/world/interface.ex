defmodule Exosuit.World.Interface do
  @moduledoc "Functions and types under a name such as `acme:shop/orders@1.0.0`, or of the world itself (name `nil`)."

  alias Exosuit.World
  alias Exosuit.World.Function

  @typedoc "A field, case or flag. A field has a type, and a case may have a type."
  @type part :: %{name: String.t(), docs: String.t() | nil, type: World.type() | nil}

  @type shape ::
          {:record | :variant | :enum | :flags, [part()]} | {:alias, World.type()} | :resource

  @type definition :: %{name: String.t(), docs: String.t() | nil, shape: shape()}

  @type t :: %__MODULE__{
          name: String.t() | nil,
          docs: String.t() | nil,
          functions: [Function.t()],
          types: [definition()]
        }

  @enforce_keys [:name, :docs, :functions, :types]
  defstruct [:name, :docs, :functions, :types]

  @doc "The operation of a function in a call: `acme:shop/orders@1.0.0#place`, or `place` of the world itself."
  @spec operation(t(), Function.t()) :: String.t()
  def operation(%__MODULE__{name: nil}, function), do: function.name
  def operation(%__MODULE__{name: name}, function), do: "#{name}##{function.name}"
end
