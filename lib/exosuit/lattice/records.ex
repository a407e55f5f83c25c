defmodule Exosuit.Lattice.Records do
  @moduledoc false
  # Links as the hosts of a lattice write them down for each other, hosts of both eras among them. A
  # link stands in one place:
  #
  # - `LINKDEF_<hash>` of the OTP era, where it covers a whole contract and has no configuration for
  #   its source nor any by name: the only kind that hosts of that time know
  # - else among the links of `COMPONENT_<source>` of 1.x, which know configurations by name only: what
  #   came without a name is a configuration `exosuit-<hash>`
  #
  # Pure, and nothing that it reads is trusted: what is no record is an error with its text.

  alias Exosuit.{Error, Input, Json}
  alias Exosuit.Model.Link
  alias Exosuit.Protocol.{Otp, V1}

  @type key :: String.t()
  @type values :: %{optional(String.t()) => String.t()}

  # Of one component; a record has no more bytes than a message of NATS in any case.
  @most_links 1_000

  @own "exosuit-"

  @doc "Where the links of a key may stand: the first place, and the second."
  @spec places(Link.key()) :: {key(), key()}
  def places({source, _contract, _name} = key) do
    {"LINKDEF_" <> Otp.Records.link_id(key), "COMPONENT_" <> source}
  end

  @doc "Whether hosts of the OTP era can have it, too."
  @spec definition?(Link.t()) :: boolean()
  def definition?(%Link{} = link) do
    link.interfaces == [] and link.source_config == %{} and link.source_configs == [] and
      link.target_configs == []
  end

  @doc "The record of a link that is alone in its place."
  @spec write_definition(Link.t()) :: {:ok, binary()} | {:error, Error.t()}
  def write_definition(link), do: link |> Otp.Records.encode_link() |> Json.encode()

  @doc """
  The record of a component without some of its links, and with others. All else that it says stays,
  whether we can read it or not.
  """
  @spec write_component(binary() | nil, [Link.t()], [Link.t()]) ::
          {:ok, binary()} | {:error, Error.t()}
  def write_component(old, removed, added) do
    with {:ok, %{"links" => links} = component} <- decode_component(old) do
      kept = Enum.reject(links, &match_any?(&1, removed))
      Json.encode(%{component | "links" => kept ++ Enum.map(added, &V1.Records.encode_link/1)})
    end
  end

  @doc """
  The links of a record, and what is wrong with those that are none; `:other` for a record that is
  about something else.
  """
  @spec read_links(key(), binary() | nil) ::
          {:ok, [Link.t()], [Error.t()]} | :other | {:error, Error.t()}
  def read_links(_key, nil), do: {:ok, [], []}

  def read_links("LINKDEF_" <> _id, value) do
    with {:ok, fields} <- decode_object(value),
         {:ok, link} <- read_definition(fields),
         do: {:ok, [link], []}
  end

  def read_links("COMPONENT_" <> source, value) do
    with {:ok, %{"links" => links}} <- decode_component(value), do: component_links(links, source)
  end

  def read_links(_key, _value), do: :other

  @doc "A configuration: a map of texts."
  @spec read_configuration(binary()) :: {:ok, values()} | {:error, Error.t()}
  def read_configuration(value) do
    with {:ok, values} <- decode_object(value),
         true <- texts?(values) do
      {:ok, values}
    else
      false -> refuse("expected a configuration to be an object of texts")
      error -> error
    end
  end

  @doc "Whether a configuration may be called so."
  @spec configuration_name?(term()) :: boolean()
  def configuration_name?(name), do: Input.name?(:configuration, name)

  @doc """
  The link with names in the place of what was configured without, and these configurations by their
  names. They are called by what they are, and by the link: two links share none, so that each can
  go with its link.
  """
  @spec name_configurations(Link.t()) :: {Link.t(), %{optional(String.t()) => values()}}
  def name_configurations(link) do
    {source, of_source} = named(link, :source, link.source_configs, link.source_config)
    {target, of_target} = named(link, :target, link.target_configs, link.target_config)
    {%{link | source_configs: source, target_configs: target}, Map.merge(of_source, of_target)}
  end

  @doc "Those of its configurations that are nobody's but the link's."
  @spec own_configurations(Link.t()) :: [String.t()]
  def own_configurations(link),
    do: Enum.filter(link.source_configs ++ link.target_configs, &own?/1)

  @doc "The link as whoever made it knows it, without the names that were found for it here."
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

  # What has names was made of them.
  defp named(_link, _side, [_ | _] = names, _values), do: {names, %{}}
  defp named(_link, _side, [], values) when values == %{}, do: {[], %{}}

  defp named(link, side, [], values) do
    facts = {Link.key(link), link.interfaces, side, Enum.sort(values)}
    hash = :crypto.hash(:sha256, :erlang.term_to_binary(facts, minor_version: 2))
    name = @own <> (hash |> binary_part(0, 16) |> Base.encode16(case: :lower))
    {[name], %{name => values}}
  end

  defp decode_component(nil), do: {:ok, %{"url" => "", "links" => []}}

  defp decode_component(value) do
    case decode_object(value) do
      {:ok, %{"links" => links} = component} when is_list(links) ->
        {:ok, component}

      {:ok, component} when not is_map_key(component, "links") ->
        {:ok, Map.put(component, "links", [])}

      {:ok, _other} ->
        refuse("expected the links of a component to be a list")

      error ->
        error
    end
  end

  defp component_links(links, _source) when length(links) > @most_links do
    refuse("a component has more than #{@most_links} links")
  end

  # One that is no link takes none of the others with it.
  defp component_links(links, source) do
    read = Enum.map(links, &read_component_link(&1, source))
    {:ok, for({:ok, link} <- read, do: link), for({:error, error} <- read, do: error)}
  end

  defp match_any?(fields, links) do
    with %{"source_id" => source} <- fields, {:ok, link} <- read_component_link(fields, source) do
      link in links
    else
      _no_link -> false
    end
  end

  defp read_component_link(%{"source_id" => source} = fields, source) do
    link = %Link{
      source: source,
      target: fields["target"],
      name: fields["name"] || "default",
      namespace: fields["wit_namespace"],
      package: fields["wit_package"],
      interfaces: fields["interfaces"] || [],
      source_configs: fields["source_config"] || [],
      target_configs: fields["target_config"] || []
    }

    check(link)
  end

  defp read_component_link(_fields, _source), do: refuse("expected links of the component itself")

  defp read_definition(fields) do
    case fields["contract_id"] do
      contract when is_binary(contract) ->
        read_definition(fields, String.split(contract, ":", parts: 2))

      _other ->
        refuse("expected a contract, as in wasmcloud:keyvalue")
    end
  end

  defp read_definition(fields, [namespace, package]) do
    check(%Link{
      source: fields["actor_id"],
      target: fields["provider_id"],
      name: if(fields["link_name"] in [nil, ""], do: "default", else: fields["link_name"]),
      namespace: namespace,
      package: package,
      target_config: fields["values"] || %{}
    })
  end

  defp read_definition(_fields, _other),
    do: refuse("expected a contract, as in wasmcloud:keyvalue")

  # As the router would: what it refuses by its form would be refused by every host, over and over.
  defp check(link) do
    cond do
      not Enum.all?([link.source, link.target, link.name], &Input.name?(:id, &1)) ->
        refuse("expected source, target and name of a link to be names")

      not contract?(link) ->
        refuse("expected a namespace and a package")

      not (names?(link.interfaces, :interface) and configurations?(link)) ->
        refuse("expected interfaces and configurations to be lists of names")

      not texts?(link.target_config) ->
        refuse("expected the values of a link to be texts")

      true ->
        {:ok, link}
    end
  end

  defp contract?(%{namespace: namespace, package: package}) do
    Input.name?(:namespace, namespace) and Input.name?(:package, package)
  end

  defp configurations?(link) do
    Enum.all?([link.source_configs, link.target_configs], &names?(&1, :configuration))
  end

  defp names?(names, kind), do: is_list(names) and Enum.all?(names, &Input.name?(kind, &1))

  defp texts?(values) do
    is_map(values) and Enum.all?(values, fn {_key, value} -> is_binary(value) end)
  end

  defp decode_object(value) do
    case Json.decode(value) do
      {:ok, %{} = fields} -> {:ok, fields}
      {:ok, _other} -> refuse("expected an object in JSON")
      error -> error
    end
  end

  defp refuse(detail), do: {:error, Error.new(:invalid_input, detail)}
end
