defmodule Exosuit.Provider.Link do
  @moduledoc """
  A link as the provider sees it: the actor, the contract, the name, and the values.

  Links of one actor, contract and name cover different `interfaces` of the contract's package; an empty list means all.
  `actor` is the source of the link: the id or public key by which the link was made.

  The values may hold secrets; `inspect/1` does not show them.
  """

  @type t :: %__MODULE__{
          actor: String.t(),
          contract: String.t(),
          name: String.t(),
          interfaces: [String.t()],
          values: %{optional(String.t()) => String.t()}
        }

  @derive {Inspect, except: [:values]}
  @enforce_keys [:actor, :contract, :name, :values]
  defstruct [:actor, :contract, :name, :values, interfaces: []]
end
