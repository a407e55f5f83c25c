defmodule Exosuit.Host.Roster do
  @moduledoc false
  # Who shall run on a host: start, stop, scale, update. Each function waits for the outcome.

  alias Exosuit.{Actor, Claims, Config, Directory, Error, Router}
  alias Exosuit.Host.{Inventory, Links, Reconciler, Specifications, Unattended}
  alias Exosuit.Model.{ActorSpecification, Artifact, Instances, Link, ProviderSpecification}

  @doc "Adds a specification and starts it. If it cannot start, the specification is removed again."
  @spec start(Config.t(), Specifications.specification()) :: :ok | {:error, Error.t()}
  def start(config, specification), do: Reconciler.run(config, specification)

  @doc "Starts what is specified already, or waits for its start. It stays specified."
  @spec resume(Config.t(), Directory.key()) :: :ok | {:error, Error.t()}
  def resume(config, key), do: Reconciler.start(config, key)

  @doc """
  Stops the actor or provider of this key; an actor's running calls finish first. From then on, its links hold
  for its own code only. Links of an application are deleted with the application instead.
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
      for %{app: nil, outlives: false} = link <- Links.list(config) ++ Links.refused(config),
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
  Changes the shares of an actor, and starts it if it had been given up. Stops it if no share is left.
  """
  @spec resize(Config.t(), String.t(), Instances.change()) :: :ok | {:error, Error.t()}
  def resize(config, id, change) do
    with {:ok, {before, _loaded}} <- Specifications.fetch(config, {:actor, id}),
         {:ok, actor} <- Specifications.resize(config, id, change),
         :ok <- start_again(config, before) do
      announce_scaled(config, before, actor)
    else
      :none -> stop(config, {:actor, id})
      error -> error
    end
  end

  # Where it cannot start, it is not another size either.
  defp start_again(config, before) do
    with {:error, error} <- Reconciler.start(config, {:actor, before.id}),
         :ok <- Specifications.change(config, before),
         do: {:error, error}
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
  Replaces the code of a running actor. The calling process prepares the code, and waits. A failure changes
  nothing.
  """
  @spec update(Config.t(), String.t(), Artifact.t(), Claims.permissions()) ::
          :ok | {:error, Error.t()}
  def update(config, id, artifact, permissions) do
    change(config, id, &%{&1 | artifact: artifact}, &Claims.check_update(&1, &2, permissions))
  end

  @doc """
  Applies `change` to the specification of a running actor: its code and settings. The calling process first
  tries everything that can fail, and waits. The actor serves by the old specification until the new one can
  replace it. `permit` decides by the claims of both.
  """
  @spec change(Config.t(), String.t(), change, Reconciler.permit()) :: :ok | {:error, Error.t()}
        when change: (ActorSpecification.t() -> ActorSpecification.t())
  def change(config, id, change, permit) do
    with {:ok, {old, loaded}} <- Specifications.fetch(config, {:actor, id}),
         new = change.(old),
         {:error, error} <- prepare_and_change(config, {old, loaded}, new, change, permit) do
      Exosuit.Lattice.announce(config, "actor_update_failed", failure(old, new.artifact, error))
      {:error, error}
    end
  end

  defp prepare_and_change(config, {old, loaded}, new, change, permit) do
    key = {:actor, old.id}
    loaded = if new.artifact == old.artifact, do: loaded

    with {:ok, {_pid, running}} <- Directory.fetch(config.name, key),
         {:ok, loaded} <- Actor.prepare(config, new, loaded, &permit.(running.claims, &1)),
         do: Reconciler.update(config, key, change, loaded, permit)
  end

  @doc """
  Restarts a running provider with other settings. Wrong settings are refused before the provider is stopped.
  If it cannot start for another reason, it is started again with the old settings, and retried until it runs:
  one of the two specifications always stays. The calling process waits; if it ends in the meantime, the work
  continues.
  """
  @spec exchange(Config.t(), ProviderSpecification.t()) :: :ok | {:error, Error.t()}
  def exchange(config, new) do
    key = Specifications.key(new)

    with {:ok, {old, _loaded}} <- Specifications.fetch(config, key),
         :ok <- Router.rehearse_provider(config.router, new, config.data_dir),
         do: Unattended.run(fn -> exchange(config, old, new) end)
  end

  defp exchange(config, old, new) do
    with {:error, error} <- replace(config, old, new), do: restore(config, old, error)
  end

  defp replace(config, old, new) do
    key = Specifications.key(old)
    with :ok <- settled(fn -> Reconciler.stop(config, key) end), do: run_instead(config, key, new)
  end

  # Should the answer be lost, the new one may be on its way: it ends, and the old one has its place.
  defp run_instead(config, key, new) do
    Reconciler.run(config, new)
  catch
    :exit, _reason ->
      _ended = settled(fn -> Reconciler.stop(config, key) end)
      {:error, fallen()}
  end

  # The old provider ran a moment ago. If it does not restart at once, it is retried, and the error contains
  # both reasons.
  defp restore(config, old, error) do
    with :ok <- Specifications.add(config, old),
         {:error, again} <- settled(fn -> Reconciler.start(config, Specifications.key(old)) end) do
      detail = "#{error.detail}; the old one did not restart either: #{Exception.message(again)}"

      {:error, %{error | detail: detail}}
    else
      # It runs; or it was never removed, or the new one is still specified.
      _one_is_specified -> {:error, error}
    end
  end

  # The reconciler's successor starts what is specified.
  defp settled(ask) do
    ask.()
  catch
    :exit, _reason -> {:error, fallen()}
  end

  defp fallen,
    do: Error.new(:unavailable, "the host's reconciler crashed or did not answer in time")

  defp failure(actor, artifact, error) do
    %{
      id: actor.id,
      image_ref: Artifact.reference(artifact),
      annotations: actor.annotations,
      shares: Inventory.shares(actor),
      reason: error.reason,
      error: Exception.message(error)
    }
  end
end
