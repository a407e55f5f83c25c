defmodule Exosuit.Host.Roster do
  @moduledoc false
  # Who shall run on a host: start, stop, scale, update. Each function waits for the outcome.

  alias Exosuit.{Actor, Config, Error, Router}
  alias Exosuit.Host.{Inventory, Links, Reconciler, Specifications}
  alias Exosuit.Model.{Artifact, Instances, Link}

  @doc "Adds a specification and starts it; where it cannot start, nothing of it is left."
  @spec start(Config.t(), Specifications.specification()) :: :ok | {:error, Error.t()}
  def start(config, specification), do: Reconciler.run(config, specification)

  @doc """
  Ends what runs under this key; an actor's running calls finish first. Its links hold for its own
  code alone from then on, but for those of an application, which go with that.
  """
  @spec stop(Config.t(), Exosuit.Directory.key()) :: :ok | {:error, Error.t()}
  def stop(config, key) do
    with {:ok, _found} <- Specifications.fetch(config, key) do
      bind_links(config, key)
      Reconciler.stop(config, key)
    end
  end

  defp bind_links(config, {:actor, id}) do
    keys =
      for %{app: nil, outlives: false} = link <- Links.list(config),
          id in [link.source, link.target],
          do: Link.key(link)

    Router.bind_links(config.router, id, keys)
  end

  defp bind_links(_config, _provider), do: :ok

  @doc "Changes how many calls of an actor may run at a time; running ones are left alone."
  @spec scale(Config.t(), String.t(), pos_integer()) :: :ok | {:error, Error.t()}
  def scale(config, id, instances) do
    with {:ok, {before, _loaded}} <- Specifications.fetch(config, {:actor, id}),
         {:ok, actor} <- Specifications.resize(config, id, {:total, instances}),
         do: announce_scaled(config, before, actor)
  end

  @doc """
  Changes the shares of an actor, and starts it where it had been given up. It is stopped when
  nothing is left of it.
  """
  @spec resize(Config.t(), String.t(), Instances.change()) :: :ok | {:error, Error.t()}
  def resize(config, id, change) do
    with {:ok, {before, _loaded}} <- Specifications.fetch(config, {:actor, id}),
         {:ok, actor} <- Specifications.resize(config, id, change),
         :ok <- Reconciler.start(config, {:actor, id}) do
      announce_scaled(config, before, actor)
    else
      :none -> stop(config, {:actor, id})
      error -> error
    end
  end

  @doc "Tells that something could not start, of which the host knows no more than this."
  @spec announce_failure(Config.t(), atom(), String.t(), String.t(), map(), Error.t()) :: :ok
  def announce_failure(config, role, id, reference, annotations, error) do
    failure = %{
      id: id,
      image_ref: reference,
      annotations: annotations,
      reason: error.reason,
      error: Exception.message(error)
    }

    Exosuit.Lattice.announce(config, "#{role}_start_failed", failure)
  end

  defp announce_scaled(config, before, %{id: id}) do
    with {:ok, actor} <- Inventory.fetch_actor(config, id) do
      fields = [:id, :public_key, :instances, :shares, :image_ref, :annotations, :claims]
      scaled = actor |> Map.take(fields) |> Map.put(:before, Inventory.shares(before))
      Exosuit.Lattice.announce(config, "actor_scaled", scaled)
    end
  end

  @doc """
  Puts other code in the place of an actor's that runs. It is loaded in the calling process, which
  waits; whatever fails leaves all as it was.
  """
  @spec update(Config.t(), String.t(), Artifact.t(), boolean()) :: :ok | {:error, Error.t()}
  def update(config, id, artifact, force?) do
    with {:ok, {actor, _loaded}} <- Specifications.fetch(config, {:actor, id}),
         {:error, error} <- load_and_update(config, id, artifact, force?) do
      Exosuit.Lattice.announce(config, "actor_update_failed", failure(actor, artifact, error))
      {:error, error}
    end
  end

  defp load_and_update(config, id, artifact, force?) do
    with {:ok, loaded} <- Actor.load(config, artifact),
         do: Reconciler.update(config, {:actor, id}, loaded, force?)
  end

  defp failure(actor, artifact, error) do
    %{
      id: actor.id,
      image_ref: Artifact.reference(artifact),
      reason: error.reason,
      error: Exception.message(error)
    }
  end
end
