defmodule Exosuit.Manifest.Workloads do
  @moduledoc """
  Builds the workloads and links of a manifest, with references to their code and with their scalers. Pure.

  Its input is the map that Rust makes of a manifest (`exosuit_manifest`), in which every field has been checked. Paths
  of files become absolute references here; in the stored model of an application, digests of objects take their place.

  A configuration of a manifest has parts, each given (values in the manifest) or stored (the name of a configuration of
  the lattice). A given part gets a name made from its values (`Exosuit.Model.Configuration.name/1`).
  """

  alias Exosuit.Model.{Application, Configuration, Link, Workload}

  @doc "The application of a parsed manifest, with these links."
  @spec application(map(), [Link.t()]) :: Application.t()
  def application(manifest, links) do
    %Application{
      name: manifest["name"],
      workloads:
        Enum.map(manifest["components"], &actor/1) ++ Enum.map(manifest["providers"], &provider/1),
      links: links,
      configurations: configurations(manifest),
      stored: stored(manifest)
    }
  end

  @doc "A link of the manifest of this application."
  @spec link(map(), String.t()) :: Link.t()
  def link(link, app) do
    %Link{
      source: link["source"],
      target: link["target"],
      name: link["name"],
      namespace: link["namespace"],
      package: link["package"],
      interfaces: link["interfaces"],
      source_config: link["source_config"],
      target_config: link["target_config"],
      source_configs: names(link["source_parts"]),
      target_configs: names(link["target_parts"]),
      app: app
    }
  end

  @doc """
  The names of the parts of a configuration, in order; empty if the manifest has all of its values.
  """
  @spec names([map()]) :: [String.t()]
  def names(parts), do: Enum.map(parts, &name/1)

  @doc "The parts whose values the manifest gives, beside stored ones, by name."
  @spec configurations(map()) :: %{optional(String.t()) => Configuration.t()}
  def configurations(manifest) do
    for %{"kind" => "given", "value" => values} = part <- parts(manifest),
        into: %{},
        do: {name(part), values}
  end

  @doc """
  The names of stored configurations, each with the diagnostic for a missing one: the line and the path in the manifest
  where it is named.
  """
  @spec stored(map()) :: [Exosuit.Manifest.stored()]
  def stored(manifest) do
    for %{"kind" => "stored", "value" => %{"name" => name, "place" => place}} <- parts(manifest) do
      where = "#{manifest["file"]}:#{place["line"]}:#{place["column"]}: #{place["path"]}"
      text = "#{where}: expected properties, or the name of a stored configuration"

      {name,
       %{
         text: "#{text}; there is none, found #{inspect(name)}",
         severity: :error,
         line: place["line"]
       }}
    end
  end

  defp parts(manifest) do
    of_links = Enum.flat_map(manifest["links"], &(&1["source_parts"] ++ &1["target_parts"]))
    workloads = manifest["components"] ++ manifest["providers"]
    of_links ++ Enum.flat_map(workloads, & &1["config_parts"])
  end

  defp name(%{"kind" => "stored", "value" => %{"name" => name}}), do: name
  defp name(%{"kind" => "given", "value" => values}), do: Configuration.name(values)

  defp actor(component), do: workload(:actor, component, component["max_instances"])

  defp provider(component), do: workload(:provider, component, component["instances"])

  defp workload(role, component, instances) do
    %Workload{
      role: role,
      id: component["id"],
      reference: reference(component["image"]),
      instances: instances || 1,
      scaler: scaler(component),
      spreads: Enum.map(component["spread"], &spread/1),
      singleton?: component["singleton"] == true,
      config: component["config"],
      configs: names(component["config_parts"]),
      annotations: component["annotations"]
    }
  end

  defp reference(%{"kind" => "file", "value" => path}), do: "file://" <> Path.expand(path)
  defp reference(%{"kind" => "builtin", "value" => name}), do: "wasmcloud+builtin://" <> name
  defp reference(%{"kind" => "module", "value" => name}), do: "exosuit+module://" <> name
  defp reference(%{"kind" => "object", "value" => digest}), do: "exosuit+object://" <> digest
  defp reference(%{"kind" => "oci", "value" => reference}), do: reference

  defp scaler(%{"spread" => []}), do: :everywhere
  defp scaler(%{"scaler" => "daemon"}), do: :daemon
  defp scaler(%{"scaler" => "spread"}), do: :spread

  defp spread(given) do
    %{name: given["name"], requirements: given["requirements"], weight: given["weight"]}
  end
end
