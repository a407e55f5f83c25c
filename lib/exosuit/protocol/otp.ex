defmodule Exosuit.Protocol.Otp do
  @moduledoc """
  The control interface of the OTP era: `wasmbus.ctl.<lattice>.…`.

  `Commands` decodes subjects and bodies, and `Replies` encodes results. `Events`, `Records` and `Claims` are the
  events, the links and the claims of that era, and `Configuration` the configuration of a provider.

  | subject behind the prefix | command | answered by |
  |---|---|---|
  | `ping.hosts` | `Ping` | all hosts |
  | `get.claims`, `get.links` | `Claims`, `Links` | one host |
  | `get.<host>.inv` | `Inventory` | that host |
  | `linkdefs.put`, `linkdefs.del` | `PutLink`, `DeleteLink` | one host |
  | `registries.put` | `PutRegistries` | all hosts |
  | `auction.actor`, `auction.provider` | `AuctionActor`, `AuctionProvider` | hosts that would take it |
  | `cmd.<host>.la`, `.sa`, `.scale`, `.upd` | `StartActor`, `StopActor`, `ScaleActor`, `UpdateActor` | that host |
  | `cmd.<host>.lp`, `.sp`, `.stop` | `StartProvider`, `StopProvider`, `StopHost` | that host |

  Starting and scaling an actor, starting a provider and stopping the host are acknowledged before they are carried out,
  because clients of the era expect the reply before the outcome. Events report the outcome.
  """

  @behaviour Exosuit.Protocol

  alias Exosuit.Model.Command.{ScaleActor, StartActor, StartProvider, StopHost}
  alias Exosuit.Protocol
  alias Exosuit.Protocol.Otp.{Commands, Replies}

  @impl Protocol
  def prefix(topic_prefix, lattice), do: "#{topic_prefix}.#{lattice}"

  @impl Protocol
  def subscriptions(host_id) do
    [
      {"ping.hosts", :all},
      {"get.claims", :one},
      {"get.links", :one},
      {"linkdefs.put", :one},
      {"linkdefs.del", :one},
      {"registries.put", :all},
      {"auction.>", :all},
      {"get.#{host_id}.inv", :all},
      {"cmd.#{host_id}.*", :all}
    ]
  end

  @impl Protocol
  defdelegate decode_command(tokens, body), to: Commands, as: :decode

  @impl Protocol
  def acknowledged?(%command{}) do
    command in [StartActor, ScaleActor, StartProvider, StopHost]
  end

  @impl Protocol
  defdelegate encode_reply(command, result), to: Replies, as: :encode
end
