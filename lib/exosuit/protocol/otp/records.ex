defmodule Exosuit.Protocol.Otp.Records do
  @moduledoc false
  # Links as hosts of the OTP era store them for each other, and as clients of that time list them.

  alias Exosuit.Model.Link

  @doc "The id of the link of a key: no two keys have the same."
  @spec link_id(Link.key()) :: String.t()
  def link_id({source, contract, name}) do
    Base.encode16(:crypto.hash(:sha256, [source, contract, name]))
  end

  @doc "Encodes a link as a map for JSON."
  @spec encode_link(Link.t()) :: map()
  def encode_link(link) do
    %{
      id: link_id(Link.key(link)),
      actor_id: link.source,
      provider_id: link.target,
      link_name: link.name,
      contract_id: Link.contract(link),
      values: link.target_config
    }
  end
end
