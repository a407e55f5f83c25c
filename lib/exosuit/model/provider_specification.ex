defmodule Exosuit.Model.ProviderSpecification do
  @moduledoc """
  A provider that should run, with its own configuration.

  `link_name` distinguishes several providers of one kind in the OTP era. A `singleton?` runs only while this host holds
  its lease.

  The process that runs it is one attempt; the specification stays until the provider is stopped.

  Its `artifact` is `{:builtin, name}` or `{:module, name, module}`. Its own `config` holds for all of its links, and
  each link has its own configuration. `app` is the application that it belongs to, `nil` if a command started it
  alone.
  """

  alias Exosuit.Model.Artifact

  @type t :: %__MODULE__{
          id: String.t(),
          artifact: Artifact.t(),
          config: %{optional(String.t()) => String.t()},
          annotations: %{optional(String.t()) => String.t()},
          link_name: String.t(),
          singleton?: boolean(),
          app: String.t() | nil
        }

  # Its own configuration may hold secrets.
  @derive {Inspect, except: [:config]}
  @enforce_keys [:id, :artifact]
  defstruct [
    :id,
    :artifact,
    :app,
    config: %{},
    annotations: %{},
    link_name: "default",
    singleton?: false
  ]
end
