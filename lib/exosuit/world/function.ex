defmodule Exosuit.World.Function do
  @moduledoc """
  A function of WIT. `signature` is its type in WIT: `func(order: order) -> result<order, string>`.
  """

  alias Exosuit.World

  @type t :: %__MODULE__{
          name: String.t(),
          resource: String.t() | nil,
          async?: boolean(),
          docs: String.t() | nil,
          parameters: [{String.t(), World.type()}],
          result: World.type() | nil,
          signature: String.t()
        }

  @enforce_keys [:name, :resource, :async?, :docs, :parameters, :result, :signature]
  defstruct [:name, :resource, :async?, :docs, :parameters, :result, :signature]
end
