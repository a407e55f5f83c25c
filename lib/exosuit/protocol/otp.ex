defmodule Exosuit.Protocol.Otp do
  @moduledoc """
  The control interface of the OTP era: `wasmbus.ctl.<lattice>.…`.

  `Commands` decodes subjects and bodies, and `Replies` encodes results.
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
