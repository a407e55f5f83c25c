defmodule Exosuit.Model.Limits do
  @moduledoc """
  The limits of an actor. `nil` means the engine's default.

  - `memory`: bytes of linear memory of an instance
  - `queue`: calls that may wait while all instances are busy
  - `table`: elements of a table of an instance
  - `log`: lines that it may write in a second
  - `deadline`: the longest time of a call in milliseconds; a caller may ask for less
  - `resource_idle`: milliseconds without a call after which an instance ends that holds resources of a caller

  The engine enforces them in Rust, and a guest cannot raise its own:

  | limit | a guest that exceeds it |
  |---|---|
  | `memory`, `table` | cannot grow further; most guests then trap |
  | `queue` | further calls are refused at once |
  | `log` | further lines are dropped, and a line says how many |
  | `deadline` | the call ends with an error, and its instance with it |
  """

  @type t :: %__MODULE__{
          memory: pos_integer(),
          queue: non_neg_integer(),
          table: pos_integer() | nil,
          log: pos_integer() | nil,
          deadline: pos_integer() | nil,
          resource_idle: pos_integer() | nil
        }

  @enforce_keys [:memory, :queue]
  defstruct [:memory, :queue, :table, :log, :deadline, :resource_idle]
end
