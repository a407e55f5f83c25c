defmodule Exosuit.Model.ActorSpecification do
  @moduledoc """
  An actor that should run: its artifact, the number of concurrent calls, fresh or warm instances, its limits, its
  configuration and its grants.

  The process that runs it is one attempt; the specification stays until the actor is stopped.

  `instances` is the total number, and `annotations` those of its first share. If there are several shares with
  different annotations, `shares` has all of them, see `Exosuit.Model.Instances`. A `singleton?` runs only while this
  host holds its lease.
  """

  alias Exosuit.Model.{Artifact, Grants, Instances, Limits, Warm}

  @type t :: %__MODULE__{
          id: String.t(),
          artifact: Artifact.t(),
          instances: pos_integer(),
          warm: Warm.t() | nil,
          limits: Limits.t(),
          config: %{optional(String.t()) => String.t()},
          grants: Grants.t(),
          annotations: Instances.annotations(),
          shares: Instances.shares(),
          singleton?: boolean(),
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
    annotations: %{},
    shares: [],
    singleton?: false
  ]

  @doc "The shares of the actor, at least one."
  @spec shares(t()) :: Instances.shares()
  def shares(%__MODULE__{shares: []} = actor), do: [{actor.annotations, actor.instances}]
  def shares(%__MODULE__{shares: shares}), do: shares

  @doc "The same actor with these shares."
  @spec with_shares(t(), Instances.shares()) :: t()
  def with_shares(actor, [{annotations, _count} | more] = shares) do
    several = if more == [], do: [], else: shares
    total = Instances.total(shares)
    %{actor | instances: total, annotations: annotations, shares: several}
  end

  defimpl Inspect do
    # An artifact may be megabytes of code, and configuration and environment secrets.
    def inspect(actor, _options) do
      id = Kernel.inspect(actor.id)
      "#Exosuit.Model.ActorSpecification<#{id}, #{Artifact.reference(actor.artifact)}>"
    end
  end
end
