defmodule Exosuit.Provider.Context do
  @moduledoc """
  What a provider knows of a call besides its operation and payload.

  - `host`, `provider`: where it runs, and its id there
  - `link`: through which it was called: the actor's id, and the values of the link
  - `deadline`: when it is given up, in milliseconds of `System.monotonic_time/1`
  - `state`: what `init/1` and the links have made
  """

  @type t :: %__MODULE__{
          host: atom(),
          provider: String.t(),
          link: Exosuit.Provider.Link.t(),
          deadline: integer(),
          state: term()
        }

  @derive {Inspect, except: [:state]}
  @enforce_keys [:host, :provider, :link, :deadline, :state]
  defstruct [:host, :provider, :link, :deadline, :state]

  @doc "Milliseconds until the call is given up: a timeout for what it calls itself."
  @spec time_left(t()) :: non_neg_integer()
  def time_left(%__MODULE__{deadline: deadline}) do
    max(deadline - System.monotonic_time(:millisecond), 0)
  end
end
