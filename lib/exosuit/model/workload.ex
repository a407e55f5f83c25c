defmodule Exosuit.Model.Workload do
  @moduledoc """
  An actor or a provider of an application, as it should be on the hosts of a lattice.

  - `reference`: where its code comes from, as hosts of any making take it: `file:///a.wasm`
  - `digest`: of a file that can be read here, so that other code under the same name is seen
  - `instances`: of an actor, how many calls may run; of a provider, on how many hosts it is
  - `scaler`: `:everywhere`: so many on each host; `:spread`: so many in all, over the hosts that the
    spreads name, by weight; `:daemon`: so many on each host that a spread names
  - `config`: its configuration; if a part of it is stored elsewhere, `configs` has the names of all parts in
    their order instead
  - `limits`: under their names in 1.x
  - `specification`: for an actor with settings that only the host of the manifest can apply, the
    specification for that host
  """

  @type spread :: %{
          name: String.t(),
          requirements: %{optional(String.t()) => String.t()},
          weight: non_neg_integer()
        }
  @type t :: %__MODULE__{
          role: :actor | :provider,
          id: String.t(),
          reference: String.t(),
          digest: String.t() | nil,
          instances: pos_integer(),
          scaler: :everywhere | :spread | :daemon,
          spreads: [spread()],
          config: Exosuit.Model.Configuration.t(),
          configs: [String.t()],
          limits: %{optional(String.t()) => String.t()},
          specification: Exosuit.Model.ActorSpecification.t() | nil,
          annotations: %{optional(String.t()) => String.t()}
        }

  # Configuration may hold secrets.
  @derive {Inspect, except: [:config]}
  @enforce_keys [:role, :id, :reference]
  defstruct [
    :role,
    :id,
    :reference,
    :digest,
    :specification,
    instances: 1,
    scaler: :everywhere,
    spreads: [],
    config: %{},
    configs: [],
    limits: %{},
    annotations: %{}
  ]
end
