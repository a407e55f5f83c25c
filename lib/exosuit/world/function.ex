defmodule Exosuit.World.Function do
  @moduledoc """
  A function of WIT. `signature` is its type in WIT: `func(order: order) -> result<order, string>`.

  - `name`: as in WIT; a function of a resource has its kind in brackets, `[method]cart.add`
  - `resource`: the name of the resource that the function belongs to, or `nil`
  - `async?`: whether it is an `async` function, which Exosuit cannot call
  - `parameters`: names and types, in their order; that of a method begins with `self`
  - `result`: `nil` for a function without a result
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
