defmodule Exosuit.Model.Credentials do
  @moduledoc """
  The credentials of a host for a registry. Logs, events and replies do not show them, and `inspect/1` shows the `type`
  alone.

  - `type`: the kind of the registry, as the client says it: `"oci"`
  - `username` and `password`, or `token`: `nil` if they are not given

  A host keeps them in memory for as long as it runs (`Exosuit.Model.Command.PutRegistries`).
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
