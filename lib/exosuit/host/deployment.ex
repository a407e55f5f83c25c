defmodule Exosuit.Host.Deployment do
  @moduledoc false
  # Applies a manifest to a host: the plan's steps, one after the other, each with its outcome. A
  # step that fails does not hold up the others, and what failed stays specified, so that the
  # inventory shows it and a later apply tries it again.

  alias Exosuit.{Artifact, Claims, Config, Directory, Error, Manifest}
  alias Exosuit.Host.{Linking, Links, Plan, Reconciler, Roster, Specifications}
  alias Exosuit.Model.{ActorSpecification, Link}

  @type outcome :: {Plan.step(), :ok | {:error, Error.t()}}

  @doc "Makes the application what the manifest says. The calling process waits."
  @spec apply(Config.t(), Manifest.t()) :: [outcome()]
  def apply(config, %Manifest{} = manifest) do
    specifications = with_digests(manifest.specifications)
    desired = %{specifications: specifications, links: manifest.links}
    current = current(config, manifest.name, manifest.links)
    updatable = for it <- specifications, updatable?(config, it), do: Specifications.key(it)
    run(config, Plan.steps(desired, %{current | updatable: updatable}))
  end

  @doc "Stops all that belongs to the application."
  @spec delete(Config.t(), String.t()) :: [outcome()]
  def delete(config, app) do
    run(config, Plan.steps(%{specifications: [], links: []}, current(config, app, [])))
  end

  # What could not be specified, say since its id is another application's, is not started either.
  defp run(config, steps) do
    {outcomes, _refused} = Enum.map_reduce(steps, MapSet.new(), &run_step(config, &1, &2))
    Enum.reject(outcomes, &match?({_step, :skipped}, &1))
  end

  defp run_step(config, {:specify, specification} = step, refused) do
    case Specifications.add(config, specification) do
      :ok -> {{step, :skipped}, refused}
      error -> {{step, error}, MapSet.put(refused, Specifications.key(specification))}
    end
  end

  defp run_step(config, {:start, key} = step, refused) do
    outcome = if key in refused, do: :skipped, else: Reconciler.start(config, key)
    {{step, outcome}, refused}
  end

  defp run_step(config, step, refused), do: {{step, perform(config, step)}, refused}

  defp current(config, app, links) do
    specifications = Enum.filter(Specifications.list(config), &(&1.app == app))
    phases = Reconciler.phases(config)
    keys = Enum.map(specifications, &Specifications.key/1)

    %{
      specifications: specifications,
      links: Enum.filter(Links.list(config) ++ unwanted(config, links), &(&1.app == app)),
      idle: Enum.filter(keys, &idle?(phases[&1])),
      updatable: []
    }
  end

  # Links that are tried again and again, and no longer to be. Those that still are to be, are put.
  defp unwanted(config, links) do
    keys = Enum.map(links, &Link.key/1)
    Enum.reject(Links.refused(config), &(Link.key(&1) in keys))
  end

  # One that was specified and never tried: whoever applied the manifest ended in between.
  defp idle?(nil), do: true
  defp idle?({:failed, _error}), do: true
  defp idle?(_phase), do: false

  # A changed file under an unchanged name is a change; an unreadable one fails when it starts.
  defp with_digests(specifications) do
    for specification <- specifications, do: with_digest(specification)
  end

  defp with_digest(%ActorSpecification{} = actor) do
    case Artifact.fetch(actor.artifact) do
      {:ok, {_bytes, artifact}} -> %{actor | artifact: artifact}
      {:error, _unreadable} -> actor
    end
  end

  defp with_digest(provider), do: provider

  # Whether it runs, and its claims allow what the file holds now to take its place.
  defp updatable?(config, %ActorSpecification{} = actor) do
    with {:ok, {_pid, running}} <- Directory.fetch(config.name, Specifications.key(actor)),
         true <- running.artifact != actor.artifact,
         {:ok, {bytes, _artifact}} <- Artifact.fetch(actor.artifact),
         {:ok, claims} <- Claims.admit(bytes, config) do
      Claims.check_update(running.claims, claims, false) == :ok
    else
      _cannot -> false
    end
  end

  defp updatable?(_config, _provider), do: false

  defp perform(config, {:change, actor}), do: Specifications.change(config, actor)

  defp perform(config, {:update, actor}) do
    Roster.update(config, actor.id, actor.artifact, false)
  end

  defp perform(config, {:stop, key}), do: Roster.stop(config, key)
  defp perform(config, {:link, link}), do: Linking.put(config, link, :keep)
  defp perform(config, {:unlink, key}), do: Linking.delete(config, key)
end
