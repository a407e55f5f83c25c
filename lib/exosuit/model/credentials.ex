defmodule Exosuit.Model.Credentials do
  @moduledoc """
  What a host may show to a registry. No log, event or reply shows it.
  """

  @type t :: %__MODULE__{
          type: String.t(),
          username: String.t() | nil,
          password: String.t() | nil,
          token: String.t() | nil
        }

  @derive {Inspect, only: [:type]}
  @enforce_keys [:type]
  defstruct [:type, :username, :password, :token]
end
