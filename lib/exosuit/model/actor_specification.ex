defmodule Exosuit.Model.ActorSpecification do
  @moduledoc """
  An actor that should run: its artifact, the number of concurrent calls, fresh or warm instances, its limits, its
  configuration and its grants.

  The process that runs it is one attempt; the specification stays until the actor is stopped.

  `instances` is the total number, and `annotations` those of its first share. If there are several shares with
  different annotations, `shares` has all of them, see `Exosuit.Model.Instances`. A `singleton?` runs only while this
  host holds its lease.

  | field | |
  |---|---|
  | `id` | the name of the actor on its host |
  | `artifact` | the source of its code (`Exosuit.Model.Artifact`) |
  | `warm` | the settings of warm instances; `nil`: each call gets a fresh one |
  | `limits` | memory, queue, time (`Exosuit.Model.Limits`) |
  | `config` | its configuration, which may hold secrets |
  | `grants` | the parts of the host that it may see (`Exosuit.Model.Grants`) |
  | `app` | the application that it belongs to; `nil` if a command started it alone |

  `inspect/1` shows the id and the reference alone. An artifact may be megabytes of code, and configuration and
  environment may be secret.
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

  @doc """
  The shares of the actor, at least one.

      iex> alias Exosuit.Model.{ActorSpecification, Limits}
      iex> limits = %Limits{memory: 65_536, queue: 0}
      iex> actor = %ActorSpecification{id: "echo", artifact: {:file, "echo.wasm", nil}, limits: limits, instances: 2}
      iex> ActorSpecification.shares(actor)
      [{%{}, 2}]
      iex> actor = ActorSpecification.with_shares(actor, [{%{}, 2}, {%{"scaler" => "eu"}, 3}])
      iex> actor.instances
      5
  """
  @spec shares(t()) :: Instances.shares()
  def shares(%__MODULE__{shares: []} = actor), do: [{actor.annotations, actor.instances}]
  def shares(%__MODULE__{shares: shares}), do: shares

  @doc "The same actor with these shares, of which there must be one at least. Its `instances` become their sum."
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
