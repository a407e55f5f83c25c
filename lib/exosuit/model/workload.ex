defmodule Exosuit.Model.Workload do
  @moduledoc """
  An actor or a provider of an application, as it should be on the hosts of a lattice.

  - `reference`: where its code comes from: `exosuit+object://sha256:…`, `wasmcloud+builtin://http-server`
  - `instances`: of an actor, how many calls may run; of a provider, on how many hosts it is
  - `scaler`: `:everywhere`: `instances` in all, over all hosts; `:spread`: `instances` in all, over the hosts that
    the spreads name, by weight; `:daemon`: `instances` on each host that a spread names
  - `singleton?`: whether it runs on one host at a time, with all of its instances
  - `config`: its configuration; if a part of it is stored elsewhere, `configs` has the names of all parts in
    their order instead

  | `scaler` | actor | provider |
  |---|---|---|
  | `:everywhere` | `instances` over all hosts | once on each host |
  | `:spread` | `instances` over the hosts of the spreads | once on each of `instances` hosts |
  | `:daemon` | `instances` on each host of a spread | once on each host of a spread |

  A workload is what the lattice should run. `Exosuit.Model.ActorSpecification` and `ProviderSpecification` are the
  parts of it that one host runs, made when its share is known (`Exosuit.App.Placement`).

  `inspect/1` leaves the configuration out, which may hold secrets.
  """

  @typedoc """
  A group of hosts, and its weight. A host is in the group if it has all labels of `requirements`. It may be in several
  groups.
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
          instances: pos_integer(),
          scaler: :everywhere | :spread | :daemon,
          spreads: [spread()],
          singleton?: boolean(),
          config: Exosuit.Model.Configuration.t(),
          configs: [String.t()],
          annotations: %{optional(String.t()) => String.t()}
        }

  # Configuration may hold secrets.
  @derive {Inspect, except: [:config]}
  @enforce_keys [:role, :id, :reference]
  defstruct [
    :role,
    :id,
    :reference,
    instances: 1,
    scaler: :everywhere,
    spreads: [],
    singleton?: false,
    config: %{},
    configs: [],
    annotations: %{}
  ]
end
