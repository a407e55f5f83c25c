defmodule Exosuit.Model.Limits do
  @moduledoc """
  What an actor may use. `nil` leaves it to the engine's default.

  - `memory`: bytes of linear memory of an instance
  - `queue`: calls that may wait while as many run as may
  - `table`: elements of a table of an instance
  - `log`: lines that it may write in a second
  - `deadline`: milliseconds that a call may take at the longest, whatever its caller says
  """

  @type t :: %__MODULE__{
          memory: pos_integer(),
          queue: non_neg_integer(),
          table: pos_integer() | nil,
          log: pos_integer() | nil,
          deadline: pos_integer() | nil
        }

  @enforce_keys [:memory, :queue]
  defstruct [:memory, :queue, :table, :log, :deadline]
end
