defmodule Exosuit.Model.Warm do
  @moduledoc """
  How an actor keeps instances between calls, and with them their state.

  - `pool`: how many at the most, while they have nothing to do; more may run at once
  - `calls`: after how many calls one is thrown away
  - `idle`: after how many milliseconds without a call one is thrown away
  """

  @type t :: %__MODULE__{pool: pos_integer(), calls: pos_integer(), idle: pos_integer()}

  # The calls and the idle time are bounds on what a guest that leaks can pile up.
  defstruct pool: 4, calls: 1_000, idle: 60_000
end
