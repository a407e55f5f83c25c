defmodule Exosuit.Model.ActorSpecification do
  @moduledoc """
  An actor that should run: from which bytes, how many calls at a time, in instances that are fresh or
  warm, within which limits, with which configuration, and what it is granted.

  The process that runs it is one attempt; the specification stays until the actor is stopped.
  """

  alias Exosuit.Model.{Artifact, Grants, Limits, Warm}

  @type t :: %__MODULE__{
          id: String.t(),
          artifact: Artifact.t(),
          instances: pos_integer(),
          warm: Warm.t() | nil,
          limits: Limits.t(),
          config: %{optional(String.t()) => String.t()},
          grants: Grants.t(),
          annotations: %{optional(String.t()) => String.t()},
          app: String.t() | nil
        }

  @enforce_keys [:id, :artifact, :limits]
  defstruct [
    :id,
    :artifact,
    :limits,
    :app,
    :warm,
    instances: 1,
    config: %{},
    grants: %Grants{},
    annotations: %{}
  ]

  defimpl Inspect do
    # An artifact may be megabytes of code, and configuration and environment secrets.
    def inspect(actor, _options) do
      id = Kernel.inspect(actor.id)
      "#Exosuit.Model.ActorSpecification<#{id}, #{Artifact.reference(actor.artifact)}>"
    end
  end
end
