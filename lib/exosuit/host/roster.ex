defmodule Exosuit.Host.Roster do
  @moduledoc """
  Changes the specifications of a host: starts, stops, scales and updates. Each function waits for the outcome.

  `Exosuit.Host.Actors` and `Exosuit.Host.Providers` check options and read code before they call it, and
  `Exosuit.Host.Deployment` calls it for the steps of an application. It combines the three places that have a part in a
  change: `Exosuit.Host.Specifications` (what should run), `Exosuit.Host.Reconciler` (what runs), and the router's
  bindings of links. It has no process: its functions run in the calling process, which may be killed between two
  steps. Where that would lose an item, the steps run in a process of their own (`Exosuit.Host.Unattended`).
  """

  alias Exosuit.{Actor, Claims, Directory, Error, Event, Instance, Lattice, Router}
  alias Exosuit.Actor.Handover
  alias Exosuit.Artifact.Loaded
  alias Exosuit.Host.{Inventory, Links, Reconciler, Specifications, Unattended}
  alias Exosuit.Model.{ActorSpecification, Artifact, Instances, Link, ProviderSpecification}

  @doc """
  Adds a specification and starts it. If it cannot start, the specification is removed again.
  """
  @spec start(Instance.t(), Specifications.specification()) :: :ok | {:error, Error.t()}
  def start(instance, specification), do: Reconciler.run(instance, specification)

  @doc """
  Starts an actor as `start/2` does, with its loaded code. The actor's process compiles the code.
  """
  @spec start(Instance.t(), ActorSpecification.t(), Loaded.t()) :: :ok | {:error, Error.t()}
  def start(instance, specification, loaded) do
    Handover.lend(instance, loaded, &Reconciler.run(instance, specification, &1))
  end

  @doc """
  Starts an existing specification, or waits for its start. The specification stays in any case.
  """
  @spec resume(Instance.t(), Directory.key()) :: :ok | {:error, Error.t()}
  def resume(instance, key), do: Reconciler.start(instance, key)

  @doc """
  Stops the actor or provider of this key; an actor's running calls finish first. From then on, its links apply only
  to its own code. Links of an application are deleted with the application instead.

  The binding protects the data behind a link: other code that somebody starts under the freed id does not inherit the
  access of the stopped actor. A link that `outlives` the actor is not bound. `Exosuit.Host.Linking.put/3` frees a link.

  Returns `:not_found` if there is no such item.
  """
  @spec stop(Instance.t(), Exosuit.Directory.key()) :: :ok | {:error, Error.t()}
  def stop(instance, key) do
    with {:ok, _found} <- Specifications.fetch(instance, key) do
      bind_links(instance, key)
      Reconciler.stop(instance, key)
    end
  end

  defp bind_links(instance, {:actor, id}) do
    keys =
      for %{app: nil, outlives: false} = link <- Links.list(instance) ++ Links.refused(instance),
          id in [link.source, link.target],
          do: Link.key(link)

    Router.bind_links(instance.router, id, keys)
  end

  defp bind_links(_instance, _provider), do: :ok

  @doc """
  Changes the number of calls of an actor that may run at a time. Running calls continue. The actor keeps its groups: a
  smaller total takes instances from the youngest (`t:Exosuit.Model.Instances.change/0`).
  """
  @spec scale(Instance.t(), String.t(), pos_integer()) :: :ok | {:error, Error.t()}
  def scale(instance, id, instances) do
    with {:ok, {before, _compiled}} <- Specifications.fetch(instance, {:actor, id}),
         {:ok, actor} <- Specifications.resize(instance, id, {:total, instances}),
         do: announce_scaled(instance, before, actor)
  end

  @doc """
  Changes the instance groups of an actor. Starts the actor if it had been given up, and stops it if no group is
  left. If it cannot start, the groups become those from before, and the error is returned.
  """
  @spec resize(Instance.t(), String.t(), Instances.change()) :: :ok | {:error, Error.t()}
  def resize(instance, id, change) do
    with {:ok, {before, _compiled}} <- Specifications.fetch(instance, {:actor, id}),
         {:ok, actor} <- Specifications.resize(instance, id, change),
         :ok <- start_again(instance, before) do
      announce_scaled(instance, before, actor)
    else
      :none -> stop(instance, {:actor, id})
      error -> error
    end
  end

  # If the actor cannot start, its old counts are restored.
  defp start_again(instance, before) do
    with {:error, error} <- Reconciler.start(instance, {:actor, before.id}),
         :ok <- Specifications.change(instance, before),
         do: {:error, error}
  end

  @doc """
  Announces that an actor or provider without a specification could not start. For failures before the reconciler: an
  unreadable file, or refused claims. The reconciler announces its own.
  """
  @spec announce_failure(Instance.t(), Directory.key(), String.t(), map(), Error.t()) :: :ok
  def announce_failure(instance, {role, id}, reference, annotations, error) do
    fields = %{
      id: id,
      image_ref: reference,
      annotations: annotations,
      reason: error.reason,
      error: Exception.message(error)
    }

    Lattice.announce(instance, failed(role, fields))
  end

  defp failed(:actor, fields), do: Event.ActorStartFailed.new(fields)
  defp failed(:provider, fields), do: Event.ProviderStartFailed.new(fields)

  defp announce_scaled(instance, before, %{id: id}) do
    with {:ok, actor} <- Inventory.fetch_actor(instance, id) do
      fields = [:id, :public_key, :instances, :shares, :image_ref, :annotations, :claims]
      scaled = actor |> Map.take(fields) |> Map.put(:before, Inventory.shares(before))
      Lattice.announce(instance, Event.ActorScaled.new(scaled))
    end
  end

  @doc """
  Replaces the code of a running actor. The calling process prepares the code, and waits. A failure changes
  nothing, and an event `actor_update_failed` reports it.
  """
  @spec update(Instance.t(), String.t(), Artifact.t() | Loaded.t(), Claims.permissions()) ::
          :ok | {:error, Error.t()}
  def update(instance, id, code, permissions) do
    {artifact, loaded} = code(code)
    permit = &Claims.check_update(&1, &2, permissions)
    change(instance, id, &%{&1 | artifact: artifact}, permit, loaded)
  end

  defp code(%Loaded{artifact: artifact} = loaded), do: {artifact, loaded}
  defp code(artifact), do: {artifact, nil}

  @doc """
  Applies `change` to the specification of a running actor: its code and settings. The calling process first
  tries everything that can fail, and waits. The actor serves by the old specification until the new one can
  replace it. `permit` decides by the claims of both. `loaded` is the new code, if the caller has it.

  `change` is applied twice: once to prepare the code, and once in the reconciler, to the specification of that moment.
  It must therefore not depend on anything but its argument. Code whose artifact stays the same is not compiled again.
  """
  @spec change(Instance.t(), String.t(), change, Reconciler.permit(), Loaded.t() | nil) ::
          :ok | {:error, Error.t()}
        when change: (ActorSpecification.t() -> ActorSpecification.t())
  def change(instance, id, change, permit, loaded \\ nil) do
    with {:ok, {old, compiled}} <- Specifications.fetch(instance, {:actor, id}),
         new = change.(old),
         code = if(new.artifact == old.artifact, do: compiled, else: loaded),
         {:error, error} <- prepare_and_change(instance, new, code, change, permit) do
      Lattice.announce(instance, update_failed(old, new.artifact, error))
      {:error, error}
    end
  end

  defp prepare_and_change(instance, new, code, change, permit) do
    key = {:actor, new.id}

    with {:ok, {_pid, running}} <- Directory.fetch(instance.name, key),
         {:ok, compiled} <- Actor.prepare(instance, new, code, &permit.(running.claims, &1)),
         do: Reconciler.update(instance, key, change, compiled, permit)
  end

  @doc """
  Restarts a running provider with other settings. Wrong settings are refused before the provider is stopped.
  If it cannot start for another reason, it is started again with the old settings, and retried until it runs:
  one of the two specifications always stays. The calling process waits; if it ends in the meantime, the work
  continues.

  A provider cannot run twice at a time, because its port or its file would be taken. It is therefore away during the
  restart, unlike an actor during an update. If the old one does not restart at once, the error has both reasons.
  """
  @spec exchange(Instance.t(), ProviderSpecification.t()) :: :ok | {:error, Error.t()}
  def exchange(instance, new) do
    key = Specifications.key(new)

    with {:ok, {old, _compiled}} <- Specifications.fetch(instance, key),
         :ok <- Router.rehearse_provider(instance.router, new, instance.config.data_dir),
         do: Unattended.run(fn -> exchange(instance, old, new) end)
  end

  defp exchange(instance, old, new) do
    with {:error, error} <- replace(instance, old, new), do: restore(instance, old, error)
  end

  defp replace(instance, old, new) do
    key = Specifications.key(old)

    with :ok <- settled(fn -> Reconciler.stop(instance, key) end),
         do: run_instead(instance, key, new)
  end

  # If the answer is lost, the new provider may be starting: it is stopped, and the old one is started again.
  defp run_instead(instance, key, new) do
    Reconciler.run(instance, new)
  catch
    :exit, _reason ->
      _ended = settled(fn -> Reconciler.stop(instance, key) end)
      {:error, fallen()}
  end

  # The old provider ran a moment ago. If it does not restart at once, it is retried, and the error contains
  # both reasons.
  defp restore(instance, old, error) do
    with :ok <- Specifications.add(instance, old),
         {:error, again} <- settled(fn -> Reconciler.start(instance, Specifications.key(old)) end) do
      detail = "#{error.detail}; the old one did not restart either: #{Exception.message(again)}"

      {:error, %{error | detail: detail}}
    else
      # One of the two specifications is still there, so nothing has to be restored.
      _one_is_specified -> {:error, error}
    end
  end

  # The reconciler's successor starts all specifications.
  defp settled(ask) do
    ask.()
  catch
    :exit, _reason -> {:error, fallen()}
  end

  defp fallen,
    do: Error.new(:unavailable, "the host's reconciler crashed or did not answer in time")

  defp update_failed(actor, artifact, error) do
    %Event.ActorUpdateFailed{
      id: actor.id,
      image_ref: Artifact.reference(artifact),
      annotations: actor.annotations,
      shares: Inventory.shares(actor),
      reason: error.reason,
      error: Exception.message(error)
    }
  end
end
