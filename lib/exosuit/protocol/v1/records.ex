defmodule Exosuit.Protocol.V1.Records do
  @moduledoc """
  Links as hosts of wasmCloud 1.x store them for each other, in the record `COMPONENT_<source>` of their source, and
  as clients list them. Pure.

  Such a link refers to configurations by name only. A record has 1 000 links at most; a larger one is refused. An
  invalid link does not invalidate the others: it is left out, and its error is returned.
  """

  alias Exosuit.{Error, Json}
  alias Exosuit.Model.Link
  alias Exosuit.Protocol.Record

  # No record is larger than a message of NATS.
  @max_links 1_000

  @prefix "COMPONENT_"

  @doc "The key of the record of a component."
  @spec key(source :: String.t()) :: String.t()
  def key(source), do: @prefix <> source

  @doc """
  The component that a key belongs to; `:error` if it is not the key of a component's record.

      iex> Exosuit.Protocol.V1.Records.source("COMPONENT_shop")
      {:ok, "shop"}
      iex> Exosuit.Protocol.V1.Records.source("LINKDEF_AB")
      :error
  """
  @spec source(String.t()) :: {:ok, String.t()} | :error
  def source(@prefix <> source), do: {:ok, source}
  def source(_other), do: :error

  @doc """
  Encodes the record of a component: removes some links from the old record, and adds others. The rest of the old
  record stays, even if Exosuit cannot read it: a newer host may have written it. An old record that cannot be decoded
  is an error, so that it is not overwritten.
  """
  @spec encode(old :: binary() | nil, removed :: [Link.t()], added :: [Link.t()]) ::
          {:ok, binary()} | {:error, Error.t()}
  def encode(old, removed, added) do
    with {:ok, %{"links" => links} = component} <- decode_component(old) do
      kept = Enum.reject(links, &match_any?(&1, removed))
      Json.encode(%{component | "links" => kept ++ Enum.map(added, &to_map/1)})
    end
  end

  @doc "A link as a map for JSON, as clients list it."
  @spec to_map(Link.t()) :: map()
  def to_map(link) do
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

  @doc """
  A link of this component from the map of `to_map/1`. `:invalid_input` for a link of another component, or of another
  form.
  """
  @spec from_map(source :: String.t(), map()) :: {:ok, Link.t()} | {:error, Error.t()}
  def from_map(source, %{"source_id" => source} = fields) do
    Record.check_link(%Link{
      source: source,
      target: fields["target"],
      name: fields["name"] || "default",
      namespace: fields["wit_namespace"],
      package: fields["wit_package"],
      interfaces: fields["interfaces"] || [],
      source_configs: fields["source_config"] || [],
      target_configs: fields["target_config"] || []
    })
  end

  def from_map(_source, _fields), do: Record.refuse("expected links of the component itself")

  @doc "Decodes the links of a component, and the errors of those that are not valid."
  @spec decode(source :: String.t(), binary()) ::
          {:ok, [Link.t()], [Error.t()]} | {:error, Error.t()}
  def decode(source, record) do
    with {:ok, %{"links" => links}} <- decode_component(record), do: decode_links(links, source)
  end

  defp decode_component(nil), do: {:ok, %{"url" => "", "links" => []}}

  defp decode_component(record) do
    case Record.decode(record) do
      {:ok, %{"links" => links} = component} when is_list(links) ->
        {:ok, component}

      {:ok, component} when not is_map_key(component, "links") ->
        {:ok, Map.put(component, "links", [])}

      {:ok, _other} ->
        Record.refuse("expected the links of a component to be a list")

      error ->
        error
    end
  end

  defp decode_links(links, _source) when length(links) > @max_links do
    Record.refuse("a component has more than #{@max_links} links")
  end

  # An invalid link does not invalidate the others.
  defp decode_links(links, source) do
    decoded = Enum.map(links, &from_map(source, &1))
    {:ok, for({:ok, link} <- decoded, do: link), for({:error, error} <- decoded, do: error)}
  end

  defp match_any?(fields, links) do
    with %{"source_id" => source} <- fields, {:ok, link} <- from_map(source, fields) do
      link in links
    else
      _invalid -> false
    end
  end
end
