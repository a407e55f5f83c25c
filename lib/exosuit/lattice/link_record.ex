defmodule Exosuit.Lattice.LinkRecord do
  @moduledoc """
  The record of a link in a lattice that has only Exosuit hosts: the links of one key, with their configuration. Pure.

  With one record for each component, as in 1.x, the cost of a change would grow with the links of the component. With
  one record for each key, a change costs the same for the first link and the ten-thousandth.

      iex> alias Exosuit.Lattice.LinkRecord
      iex> link = %Exosuit.Model.Link{source: "shop", target: "kv", namespace: "wasi", package: "keyvalue"}
      iex> {:ok, record} = LinkRecord.encode([link])
      iex> LinkRecord.decode(record) == {:ok, [link], []}
      true
      iex> LinkRecord.key?(LinkRecord.key({"shop", "wasi:keyvalue", "default"}))
      true
  """

  alias Exosuit.{Error, Json}
  alias Exosuit.Model.Link
  alias Exosuit.Protocol.{Otp, Record, V1}

  @prefix "LINK_"

  @doc "The key of the record with the links of a key."
  @spec key(Link.key()) :: String.t()
  def key(link_key), do: @prefix <> Otp.Records.id(link_key)

  @doc "Whether this is the key of such a record."
  @spec key?(String.t()) :: boolean()
  def key?(key), do: String.starts_with?(key, @prefix)

  @doc "Encodes links. For named configurations, the record has the names only."
  @spec encode([Link.t()]) :: {:ok, binary()} | {:error, Error.t()}
  def encode(links), do: Json.encode(%{links: Enum.map(links, &to_map/1)})

  @doc """
  The link as it is after encoding and decoding. `app` and `outlives` are not stored, and values are only stored if they
  have no name.
  """
  @spec stored(Link.t()) :: Link.t()
  def stored(link) do
    %{
      link
      | app: nil,
        outlives: false,
        source_config: if(link.source_configs == [], do: link.source_config, else: %{}),
        target_config: if(link.target_configs == [], do: link.target_config, else: %{})
    }
  end

  @doc """
  Decodes links, and the errors of those that are not valid. The error of the whole record is `:invalid_input`.
  """
  @spec decode(binary()) :: {:ok, [Link.t()], [Error.t()]} | {:error, Error.t()}
  def decode(record) do
    case Record.decode(record) do
      {:ok, %{"links" => links}} when is_list(links) ->
        decoded = Enum.map(links, &decode_link/1)
        {:ok, for({:ok, link} <- decoded, do: link), for({:error, error} <- decoded, do: error)}

      {:ok, _other} ->
        Record.refuse("expected the links of a record to be a list")

      error ->
        error
    end
  end

  defp to_map(link) do
    link
    |> V1.Records.to_map()
    |> Map.merge(%{source_values: link.source_config, target_values: link.target_config})
  end

  defp decode_link(%{"source_values" => source, "target_values" => target} = fields) do
    with {:ok, link} <- V1.Records.from_map(fields["source_id"], fields),
         true <- Record.texts?(source) and Record.texts?(target) do
      {:ok, %{link | source_config: source, target_config: target}}
    else
      false -> Record.refuse("expected the configurations of a link to be texts")
      error -> error
    end
  end

  defp decode_link(_other), do: Record.refuse("expected a link with its configurations")
end
