defmodule Exosuit.Instance do
  @moduledoc """
  A running host, as its processes get it: the options (`Exosuit.Config`), and the parts that are made when the host
  starts.

  | field | is |
  |---|---|
  | `name` | the host's name in this VM, the key of its `Exosuit.Directory` |
  | `config` | its options, without the items that are applied at the start |
  | `source` | its public key (`N…`), the source of its events |
  | `friendly_name` | a name that people can remember |
  | `started_at` | when it started, in monotonic seconds |
  | `lattice` | the session of its lattice: events, bus and store |
  | `lost_events` | counts events that could not be sent to the lattice |
  | `router` | the table of the data plane |
  | `tables` | the tables of the control plane, which the host's top supervisor owns |
  """

  alias Exosuit.Config

  @type t :: %__MODULE__{
          name: atom(),
          config: Config.t(),
          source: String.t(),
          friendly_name: String.t(),
          started_at: integer(),
          lattice: Exosuit.Lattice.Session.t(),
          lost_events: :counters.counters_ref(),
          router: reference(),
          tables: %{
            specifications: :ets.tid(),
            leases: :ets.tid(),
            links: :ets.tid(),
            peers: :ets.tid(),
            known: :ets.tid(),
            settings: :ets.tid(),
            handover: :ets.tid(),
            statuses: :ets.tid()
          }
        }

  @enforce_keys [
    :name,
    :config,
    :source,
    :friendly_name,
    :started_at,
    :lattice,
    :lost_events,
    :router,
    :tables
  ]
  defstruct @enforce_keys

  defimpl Inspect do
    # A crash report needs no more than the name, and the options may hold secrets.
    def inspect(instance, _options), do: "#Exosuit.Instance<#{Kernel.inspect(instance.name)}>"
  end
end
