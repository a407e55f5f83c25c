defmodule Exosuit.Model.Warm do
  @moduledoc """
  The settings of warm instances, which keep their state between calls.

  - `pool`: the largest number of idle instances; more may run at once
  - `calls`: the number of calls after which an instance is dropped, unless a caller has resources in it
  - `idle`: the milliseconds without a call after which an instance is dropped

  Without these settings, each call gets a fresh instance. A warm one saves the start, and hands its memory to the next
  call, also if that comes from another caller. So only code that its author wrote for it may be warm. An instance that
  trapped, or whose call was given up, is never used again.
  """

  @type t :: %__MODULE__{pool: pos_integer(), calls: pos_integer(), idle: pos_integer()}

  # The number of calls and the idle time bound the memory of a guest that leaks.
  defstruct pool: 4, calls: 1_000, idle: 60_000
end
