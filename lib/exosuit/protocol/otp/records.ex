defmodule Exosuit.Protocol.Otp.Records do
  @moduledoc """
  Links as hosts of the OTP era store them for each other, under `LINKDEF_<id>`, and as clients of that time list
  them. Pure.

  Such a link covers a whole contract, and has values for its target only. The id is the SHA-256 of source, contract and
  name, one after the other without a separator: every host must compute the same id, so Exosuit cannot add one.
  """

  alias Exosuit.{Error, Json}
  alias Exosuit.Model.Link
  alias Exosuit.Protocol.Record

  @prefix "LINKDEF_"

  @doc "The key of the record of a link."
  @spec key(Link.key()) :: String.t()
  def key(link_key), do: @prefix <> id(link_key)

  @doc "The id of a link: 64 upper-case hexadecimal digits."
  @spec id(Link.key()) :: String.t()
  def id({source, contract, name}) do
    Base.encode16(:crypto.hash(:sha256, [source, contract, name]))
  end

  @doc """
  The key of the record with the public key that a reference stands for.

      iex> Exosuit.Protocol.Otp.Records.reference_key("file:///a")
      "REFMAP_ZmlsZTovLy9h"
  """
  @spec reference_key(String.t()) :: String.t()
  def reference_key(reference), do: "REFMAP_" <> Base.url_encode64(reference, padding: false)

  @doc "Whether this is the key of a link's record."
  @spec key?(String.t()) :: boolean()
  def key?(key), do: String.starts_with?(key, @prefix)

  @doc """
  Whether the OTP era can express a link: it covers all interfaces, has no configuration of its source, and names no
  configurations.
  """
  @spec expressible?(Link.t()) :: boolean()
  def expressible?(%Link{} = link) do
    link.interfaces == [] and link.source_config == %{} and link.source_configs == [] and
      link.target_configs == []
  end

  @doc "Encodes the record of a link."
  @spec encode(Link.t()) :: {:ok, binary()} | {:error, Error.t()}
  def encode(link), do: link |> to_map() |> Json.encode()

  @doc "A link as a map for JSON, as clients list it."
  @spec to_map(Link.t()) :: map()
  def to_map(link) do
    %{
      id: id(Link.key(link)),
      actor_id: link.source,
      provider_id: link.target,
      link_name: link.name,
      contract_id: Link.contract(link),
      values: link.target_config
    }
  end

  @doc """
  Decodes the record of a link. `:invalid_input` if a name, the contract or a value is of another form. An absent link
  name is `default`.
  """
  @spec decode(binary()) :: {:ok, Link.t()} | {:error, Error.t()}
  def decode(record) do
    with {:ok, fields} <- Record.decode(record),
         {:ok, {namespace, package}} <- contract(fields["contract_id"]) do
      Record.check_link(%Link{
        source: fields["actor_id"],
        target: fields["provider_id"],
        name: if(fields["link_name"] in [nil, ""], do: "default", else: fields["link_name"]),
        namespace: namespace,
        package: package,
        target_config: fields["values"] || %{}
      })
    end
  end

  defp contract(contract) when is_binary(contract) do
    case String.split(contract, ":", parts: 2) do
      [namespace, package] -> {:ok, {namespace, package}}
      _other -> contract(nil)
    end
  end

  defp contract(_other), do: Record.refuse("expected a contract, as in wasmcloud:keyvalue")
end
