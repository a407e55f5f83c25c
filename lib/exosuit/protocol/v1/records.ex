defmodule Exosuit.Protocol.V1.Records do
  @moduledoc false
  # Links as hosts of wasmCloud 1.x store them for each other, and as its clients list them.

  alias Exosuit.Model.Link

  @doc "Encodes a link as a map for JSON. It refers to configurations by name only."
  @spec encode_link(Link.t()) :: map()
  def encode_link(link) do
    %{
      source_id: link.source,
      target: link.target,
      name: link.name,
      wit_namespace: link.namespace,
      wit_package: link.package,
      interfaces: link.interfaces,
      source_config: link.source_configs,
      target_config: link.target_configs
    }
  end
end
