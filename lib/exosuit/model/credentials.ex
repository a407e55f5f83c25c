defmodule Exosuit.Model.Credentials do
  @moduledoc """
  The credentials of a host for a registry. Logs, events and replies do not show them.
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
