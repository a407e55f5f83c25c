defmodule Exosuit.Protocol.V1 do
  @moduledoc """
  The control interface of wasmCloud 1.x: `wasmbus.ctl.v1.<lattice>.…`.

  `Commands` decodes subjects and bodies, and `Replies` encodes results.
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
