defmodule Exosuit.Protocol.V1 do
  @moduledoc """
  The control interface of wasmCloud 1.x: `wasmbus.ctl.v1.<lattice>.…`.

  `Commands` decodes subjects and bodies, and `Replies` encodes results. `Events` and `Records` are the events and the
  links of 1.x.

  | subject behind the prefix | command | answered by |
  |---|---|---|
  | `host.ping` | `Ping` | all hosts |
  | `host.get.<host>`, `host.stop.<host>` | `Inventory`, `StopHost` | that host |
  | `component.auction`, `provider.auction` | `AuctionActor`, `AuctionProvider` | hosts that would take it |
  | `component.scale.<host>`, `component.update.<host>` | `ScaleActor`, `UpdateActor` | that host |
  | `provider.start.<host>`, `provider.stop.<host>` | `StartProvider`, `StopProvider` | that host |
  | `label.put.<host>`, `label.del.<host>` | `PutLabel`, `DeleteLabel` | that host |
  | `link.put`, `link.del`, `link.get` | `PutLink`, `DeleteLink`, `Links` | one host |
  | `config.put.<name>`, `.del.<name>`, `.get.<name>` | `PutConfig`, `DeleteConfig`, `GetConfig` | one host |
  | `claims.get` | `Claims` | one host |
  | `registry.put` | `PutRegistries` | all hosts |

  Scaling and updating a component, starting a provider and stopping the host are acknowledged before they are carried
  out. Events report the outcome.
  """

  @behaviour Exosuit.Protocol

  alias Exosuit.Model.Command.{ScaleActor, StartProvider, StopHost, UpdateActor}
  alias Exosuit.Protocol
  alias Exosuit.Protocol.V1.{Commands, Replies}

  @impl Protocol
  def prefix(topic_prefix, lattice), do: "#{topic_prefix}.v1.#{lattice}"

  @impl Protocol
  def subscriptions(host_id) do
    [
      {"registry.put", :all},
      {"host.ping", :all},
      {"component.auction", :all},
      {"provider.auction", :all},
      {"component.*.#{host_id}", :all},
      {"provider.*.#{host_id}", :all},
      {"label.*.#{host_id}", :all},
      {"host.*.#{host_id}", :all},
      {"link.*", :one},
      {"claims.get", :one},
      {"config.>", :one}
    ]
  end

  @impl Protocol
  defdelegate decode_command(tokens, body), to: Commands, as: :decode

  @impl Protocol
  def acknowledged?(%command{}) do
    command in [ScaleActor, UpdateActor, StartProvider, StopHost]
  end

  @impl Protocol
  defdelegate encode_reply(command, result), to: Replies, as: :encode
end
