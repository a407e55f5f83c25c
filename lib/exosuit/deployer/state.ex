defmodule Exosuit.Deployer.State do
  @moduledoc false
  # What runs on the hosts of a lattice, and how it is linked, as hosts tell it. They are of any making:
  # what is not as it should be is passed over.

  @type annotations :: %{optional(String.t()) => String.t()}
  @type component :: %{
          id: String.t(),
          reference: String.t(),
          instances: non_neg_integer(),
          annotations: annotations()
        }
  @type provider :: %{id: String.t(), reference: String.t(), annotations: annotations()}
  @type host :: %{
          id: String.t(),
          labels: %{optional(String.t()) => String.t()},
          components: [component()],
          providers: [provider()]
        }

  @typedoc "A link, with the names of its configurations."
  @type link :: %{
          source: String.t(),
          target: String.t(),
          name: String.t(),
          contract: String.t(),
          interfaces: [String.t()],
          source_configs: [String.t()],
          target_configs: [String.t()]
        }
  @type t :: %__MODULE__{hosts: [host()], links: [link()]}

  defstruct hosts: [], links: []

  @doc "The id in an answer to a ping, if it is that of a host: ids become parts of subjects."
  @spec host_id(term()) :: String.t() | nil
  def host_id(%{"id" => "N" <> _more = id}), do: if(id =~ ~r/\A[A-Z2-7]{56}\z/, do: id)
  def host_id(_other), do: nil

  @doc "A host by its inventory."
  @spec host(String.t(), term()) :: host()
  def host(id, %{} = told) do
    components = list(told["components"] || told["actors"])

    %{
      id: id,
      labels: texts(told["labels"]),
      components: for(%{"id" => id} = it when is_binary(id) <- components, do: component(it)),
      providers:
        for(%{"id" => id} = it when is_binary(id) <- list(told["providers"]), do: part(it))
    }
  end

  def host(id, _other), do: host(id, %{})

  @doc "A provider of a host by its id, if it runs there."
  @spec provider(t(), String.t(), String.t()) :: provider() | nil
  def provider(%__MODULE__{hosts: hosts}, host, id) do
    with %{providers: providers} <- Enum.find(hosts, &(&1.id == host)),
         do: Enum.find(providers, &(&1.id == id))
  end

  @doc "All links."
  @spec links(term()) :: [link()]
  def links(told) do
    for %{"source_id" => source, "target" => target} = it <- list(told),
        is_binary(source) and is_binary(target),
        do: link(source, target, it)
  end

  defp component(it) do
    instances = it["max_instances"]
    Map.put(part(it), :instances, if(is_integer(instances), do: max(instances, 0), else: 0))
  end

  defp part(it) do
    %{
      id: it["id"],
      reference: text(it["image_ref"], ""),
      annotations: texts(it["annotations"])
    }
  end

  defp link(source, target, it) do
    %{
      source: source,
      target: target,
      name: text(it["name"], "default"),
      contract: "#{text(it["wit_namespace"], "")}:#{text(it["wit_package"], "")}",
      interfaces: it["interfaces"] |> names() |> Enum.sort(),
      source_configs: names(it["source_config"]),
      target_configs: names(it["target_config"])
    }
  end

  defp text(value, _default) when is_binary(value), do: value
  defp text(_other, default), do: default

  defp texts(%{} = map),
    do: for({key, value} when is_binary(value) <- map, into: %{}, do: {key, value})

  defp texts(_other), do: %{}

  defp names(value), do: for(name when is_binary(name) <- list(value), do: name)

  defp list(value) when is_list(value), do: value
  defp list(_other), do: []
end
