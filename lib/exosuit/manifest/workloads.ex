defmodule Exosuit.Manifest.Workloads do
  @moduledoc false
  # A manifest as the hosts of a lattice are told of it: by references, and with who should run where.

  alias Exosuit.Model.{Application, Workload}

  @doc "The application of a manifest that was read for a lattice, which has these links."
  @spec application(map(), [Exosuit.Model.Link.t()]) :: Application.t()
  def application(manifest, links) do
    %Application{
      name: manifest["name"],
      workloads:
        Enum.map(manifest["components"], &actor/1) ++ Enum.map(manifest["providers"], &provider/1),
      links: links
    }
  end

  defp actor(component) do
    workload = workload(:actor, component, component["max_instances"])
    %{workload | limits: limits(component["settings"]["limits"])}
  end

  defp provider(component), do: workload(:provider, component, component["instances"])

  defp workload(role, component, instances) do
    %Workload{
      role: role,
      id: component["id"],
      reference: reference(component["image"]),
      instances: instances || 1,
      scaler: scaler(component),
      spreads: Enum.map(component["spread"], &spread/1),
      config: component["config"],
      annotations: component["annotations"]
    }
  end

  defp reference(%{"kind" => "file", "value" => path}), do: "file://" <> Path.expand(path)
  defp reference(%{"kind" => "builtin", "value" => name}), do: "wasmcloud+builtin://" <> name
  defp reference(%{"kind" => "module", "value" => name}), do: "exosuit+module://" <> name
  defp reference(%{"kind" => "oci", "value" => reference}), do: reference

  defp scaler(%{"spread" => []}), do: :everywhere
  defp scaler(%{"scaler" => "daemon"}), do: :daemon
  defp scaler(%{"scaler" => "spread"}), do: :spread

  defp spread(given) do
    %{name: given["name"], requirements: given["requirements"], weight: given["weight"]}
  end

  # Under their names in 1.x, in bytes and seconds.
  defp limits(given) do
    seconds = given["deadline"] && div(given["deadline"], 1_000)
    limits = %{"max_memory_limit" => given["memory"], "max_execution_time" => seconds}
    for {name, value} when is_integer(value) <- limits, into: %{}, do: {name, "#{value}"}
  end
end
