defmodule Exosuit.Host.Share do
  @moduledoc """
  The part of an application that this host runs: the specifications of its share, with their counts and their
  configuration.

  `Exosuit.App.Runner` passes the result to `Exosuit.Host.Deployment`. All functions block the calling process on the
  lattice's store.

  Configurations reach the items in two ways. Links refer to them by name, so those that the manifest defines are stored
  in the lattice, and a later change of a stored one reaches the links at once. Actors and providers get a copy of the
  values, which changes when the application is applied again.

  If a configuration that the application names does not exist, nothing is changed.
  """

  alias Exosuit.{Error, Instance, Manifest}
  alias Exosuit.Host.Configurations
  alias Exosuit.Model.{ActorSpecification, Workload}

  @typedoc """
  The count of each workload on this host. A workload that is missing here does not run on this host.
  """
  @type counts :: %{optional(String.t()) => pos_integer()}

  @doc """
  The diagnostics of configurations that the application names and that are not stored. `Exosuit.App.Manifests` reports
  them before it stores a version. A store that cannot be reached yields no diagnostics.
  """
  @spec missing(Instance.t(), [Manifest.stored()]) :: [Manifest.diagnostic()]
  def missing(instance, stored) do
    for {name, diagnostic} <- stored,
        match?({:error, %Error{reason: :not_found}}, Configurations.fetch(instance, name)),
        do: diagnostic
  end

  @doc """
  Returns the manifest reduced to this host's share, and stores its named configurations. If the lattice cannot be
  reached (`alone?`), they are not stored, and the links of the result contain their values.

  Returns `:not_found` with the text of the diagnostic if a configuration that the application names is not stored.
  Also returns the error of a read or write of the store, and that of `Exosuit.Host.Configurations.put/3` for values
  that a link of this host would refuse.
  """
  @spec take(Instance.t(), Manifest.t(), counts(), alone? :: boolean()) ::
          {:ok, Manifest.t()} | {:error, Error.t()}
  def take(instance, %Manifest{} = manifest, counts, alone?) do
    with :ok <- check_stored(instance, manifest.stored),
         :ok <- if(alone?, do: :ok, else: keep(instance, manifest)) do
      {:ok, share(instance, manifest, counts)}
    end
  end

  defp check_stored(instance, stored) do
    Enum.find_value(stored, :ok, fn {name, diagnostic} ->
      case Configurations.fetch(instance, name) do
        {:ok, _values} ->
          nil

        {:error, %Error{reason: :not_found} = error} ->
          {:error, %{error | detail: diagnostic.text}}

        {:error, error} ->
          {:error, error}
      end
    end)
  end

  # Only links refer to configurations by name, and follow their changes.
  defp keep(instance, manifest) do
    names = Enum.flat_map(manifest.links, &(&1.source_configs ++ &1.target_configs))

    manifest.configurations
    |> Map.take(names)
    |> Enum.find_value(:ok, fn {name, values} ->
      with :ok <- Configurations.put(instance, name, values), do: nil
    end)
  end

  defp share(instance, manifest, counts) do
    workloads = Map.new(manifest.workloads, &{&1.id, &1})

    specifications =
      for %{id: id} = specification <- manifest.specifications,
          count = counts[id] do
        specification |> counted(count) |> configured(instance, manifest, workloads[id])
      end

    links = Enum.map(manifest.links, &linked(instance, manifest, &1))
    %{manifest | specifications: specifications, links: links}
  end

  # The link in its stored form, so that an equal link counts as unchanged.
  defp linked(instance, manifest, link) do
    source = values(instance, manifest, link.source_configs, link.source_config)
    target = values(instance, manifest, link.target_configs, link.target_config)
    %{link | source_config: source, target_config: target}
  end

  defp values(_instance, _manifest, [], values), do: values
  defp values(instance, manifest, names, _given), do: merged(instance, manifest, names)

  defp merged(instance, manifest, names) do
    Enum.reduce(names, %{}, fn name, merged ->
      Map.merge(merged, manifest.configurations[name] || stored(instance, name))
    end)
  end

  defp counted(%ActorSpecification{} = actor, count), do: %{actor | instances: count}
  defp counted(provider, _once), do: provider

  defp configured(specification, _instance, _manifest, %Workload{configs: []}), do: specification

  defp configured(specification, instance, manifest, %Workload{configs: names}),
    do: %{specification | config: merged(instance, manifest, names)}

  # The configuration existed when `missing/2` checked it.
  defp stored(instance, name) do
    case Configurations.fetch(instance, name) do
      {:ok, values} -> values
      {:error, _gone} -> %{}
    end
  end
end
