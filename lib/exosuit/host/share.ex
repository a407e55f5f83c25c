defmodule Exosuit.Host.Share do
  @moduledoc false
  # The part of an application that a host without a lattice runs. Places the workloads as in a lattice of one
  # host: a workload without a place is a failed step, and the others are applied. Configurations that the
  # manifest names must exist, or nothing is changed. Blocks the calling process.

  alias Exosuit.{Config, Error, Manifest, Settings}
  alias Exosuit.Host.Configurations
  alias Exosuit.Model.{ActorSpecification, Placement}

  @type unplaced :: {{:nowhere, tuple()}, {:error, Error.t()}}

  @doc "The manifest with this host's share of it, and what has no place."
  @spec take(Config.t(), Manifest.t()) ::
          {:ok, Manifest.t(), [unplaced()]} | {:error, [Manifest.diagnostic()]}
  def take(config, %Manifest{} = manifest) do
    host = %{id: config.source, labels: Settings.labels(config)}

    with :ok <- check_stored(config, manifest),
         :ok <- keep(config, manifest) do
      placed =
        for workload <- manifest.workloads, do: {workload, Placement.place(workload, [host])}

      counts = for {it, {counts, _unplaced}} <- placed, count = counts[host.id], do: {it, count}
      {:ok, share(config, manifest, counts), unplaced(placed)}
    end
  end

  defp check_stored(config, manifest) do
    missing =
      for {name, diagnostic} <- manifest.stored,
          match?({:error, _absent}, Configurations.fetch(config, name)),
          do: diagnostic

    if missing == [], do: :ok, else: {:error, missing}
  end

  # Links name theirs, and follow them.
  defp keep(config, manifest) do
    names = Enum.flat_map(manifest.links, &(&1.source_configs ++ &1.target_configs))

    manifest.configurations
    |> Map.take(names)
    |> Enum.find_value(:ok, fn {name, values} ->
      with {:error, error} <- Configurations.put(config, name, values),
           do: {:error, [Manifest.diagnostic(manifest.name, error)]},
           else: (:ok -> nil)
    end)
  end

  defp share(config, manifest, counts) do
    wanted = for {workload, count} <- counts, into: %{}, do: {workload.id, {workload, count}}

    specifications =
      for %{id: id} = specification <- manifest.specifications,
          {workload, count} <- [wanted[id]] do
        specification |> counted(count) |> configured(config, manifest, workload)
      end

    links = Enum.map(manifest.links, &linked(config, &1))
    %{manifest | specifications: specifications, links: links}
  end

  # As it is once it is made, so that the same again is no change.
  defp linked(config, link) do
    source = values(config, link.source_configs, link.source_config)
    target = values(config, link.target_configs, link.target_config)
    %{link | source_config: source, target_config: target}
  end

  defp values(_config, [], values), do: values

  defp values(config, names, _given) do
    Enum.reduce(names, %{}, &Map.merge(&2, stored(config, &1)))
  end

  defp counted(%ActorSpecification{} = actor, count), do: %{actor | instances: count}
  defp counted(provider, _once), do: provider

  defp configured(specification, _config, _manifest, %{configs: []}), do: specification

  defp configured(specification, config, manifest, %{configs: names}) do
    values =
      Enum.reduce(names, %{}, fn name, merged ->
        Map.merge(merged, manifest.configurations[name] || stored(config, name))
      end)

    %{specification | config: values}
  end

  # It was there a moment ago.
  defp stored(config, name) do
    case Configurations.fetch(config, name) do
      {:ok, values} -> values
      {:error, _gone} -> %{}
    end
  end

  defp unplaced(placed) do
    for {workload, {_counts, unplaced}} <- placed, {spread, count} <- unplaced do
      detail = "this host lacks the labels for #{count} of #{workload.id} in spread #{spread}"
      step = {:nowhere, {:unplaced, workload.id, spread, count}}
      {step, {:error, Error.new(:unavailable, detail)}}
    end
  end
end
