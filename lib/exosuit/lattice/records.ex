defmodule Exosuit.Lattice.Records do
  @moduledoc """
  Chooses the record of the lattice for a link. Pure.

  If the record of the OTP era can express the link (`Exosuit.Protocol.Otp.Records`), it is that one, because hosts of
  that era read only this record. Otherwise it is the record of 1.x (`Exosuit.Protocol.V1.Records`). This one refers to
  configurations by name, so values without a name are stored as a configuration `exosuit-<hash>`.

      iex> alias Exosuit.Lattice.Records
      iex> link = %Exosuit.Model.Link{source: "shop", target: "kv", namespace: "wasi", package: "keyvalue"}
      iex> {named, configurations} = Records.name_configurations(%{link | source_config: %{"bucket" => "shop"}})
      iex> Map.values(configurations)
      [%{"bucket" => "shop"}]
      iex> named.source_configs == Map.keys(configurations)
      true
      iex> Records.without_own_names(named).source_configs
      []
  """

  alias Exosuit.Error
  alias Exosuit.Lattice.LinkRecord
  alias Exosuit.Model.Link
  alias Exosuit.Protocol.{Otp, Record, V1}

  @typedoc "The key of a record in the bucket `:data`."
  @type key :: String.t()
  @typedoc "The values of a configuration."
  @type values :: %{optional(String.t()) => String.t()}

  @own "exosuit-"

  @doc "The keys of the records that the links of a key may be in: that of the OTP era, and that of 1.x."
  @spec places(Link.key()) :: {key(), key()}
  def places({source, _contract, _name} = link_key),
    do: {Otp.Records.key(link_key), V1.Records.key(source)}

  @doc """
  Decodes the links of a record, and the errors of invalid links. Returns `:other` for a record that does not hold
  links. A missing record, `nil`, has none. The error is that of a record that cannot be decoded at all.
  """
  @spec read_links(key(), binary() | nil) ::
          {:ok, [Link.t()], [Error.t()]} | :other | {:error, Error.t()}
  def read_links(_key, nil), do: {:ok, [], []}

  def read_links(key, record) do
    if LinkRecord.key?(key), do: LinkRecord.decode(record), else: read_shared(key, record)
  end

  defp read_shared(key, record) do
    case {Otp.Records.key?(key), V1.Records.source(key)} do
      {true, :error} -> with {:ok, link} <- Otp.Records.decode(record), do: {:ok, [link], []}
      {false, {:ok, source}} -> V1.Records.decode(source, record)
      {false, :error} -> :other
    end
  end

  @doc "A configuration: a map of texts."
  @spec read_configuration(binary()) :: {:ok, values()} | {:error, Error.t()}
  defdelegate read_configuration(record), to: Record, as: :decode_configuration

  @doc """
  The link with names in place of its unnamed configurations, and these configurations by their names.

  A name is a hash of the link's key, its interfaces, the side and the values. Two links therefore never share such a
  configuration, each configuration is deleted with its link, and all hosts come to the same name.
  """
  @spec name_configurations(Link.t()) :: {Link.t(), %{optional(String.t()) => values()}}
  def name_configurations(link) do
    {source, of_source} = named(link, :source, link.source_configs, link.source_config)
    {target, of_target} = named(link, :target, link.target_configs, link.target_config)
    {%{link | source_configs: source, target_configs: target}, Map.merge(of_source, of_target)}
  end

  @doc "The generated configurations of the link, which no other link uses."
  @spec own_configurations(Link.t()) :: [String.t()]
  def own_configurations(link),
    do: Enum.filter(link.source_configs ++ link.target_configs, &own?/1)

  @doc "The link without the generated names, as it was put."
  @spec without_own_names(Link.t()) :: Link.t()
  def without_own_names(link) do
    names = &Enum.reject(&1, fn name -> own?(name) end)

    %{
      link
      | source_configs: names.(link.source_configs),
        target_configs: names.(link.target_configs)
    }
  end

  defp own?(name), do: String.starts_with?(name, @own)

  # A side with names has values that come from them.
  defp named(_link, _side, [_ | _] = names, _values), do: {names, %{}}
  defp named(_link, _side, [], values) when values == %{}, do: {[], %{}}

  defp named(link, side, [], values) do
    facts = {Link.key(link), link.interfaces, side, Enum.sort(values)}
    hash = :crypto.hash(:sha256, :erlang.term_to_binary(facts, minor_version: 2))
    name = @own <> (hash |> binary_part(0, 16) |> Base.encode16(case: :lower))
    {[name], %{name => values}}
  end
end
