defmodule Exosuit.Control.Actors do
  @moduledoc """
  Starts, scales, stops and updates actors for the lattice.

  The socket and the public API name code by a path and an actor by its id. Commands of the lattice differ: they name
  code by a reference, and mean "start it, or add instances if it runs". This module decides between these cases, and
  then calls `Exosuit.Host.Actors`.

  A start or an update of the lattice is acknowledged before its end, so an event must report each outcome.
  `Exosuit.Host.Actors` announces the starts and updates that the host has tried. If a command fails before that, this
  module announces the failure.

  ## Different code under the same id

  | command | policy | effect |
  |---|---|---|
  | OTP era, scale (`mismatch: :refuse`) | | refused, `:conflict` |
  | 1.x without `allow_update` (`:keep`) | | scaled, the code stays; the acknowledgement says so |
  | 1.x with `allow_update` (`:update`) | | updated, then scaled |
  | a stop, or a scale to 0 | | carried out, it does not depend on the code |
  """

  alias Exosuit.{Artifact, Claims, Error, Event, Host, Input, Instance, Lattice}
  alias Exosuit.Artifact.Loaded
  alias Exosuit.Control.{Configurations, Reference}
  alias Exosuit.Host.Inventory
  alias Exosuit.Model.Command.{ScaleActor, StartActor, StopActor, UpdateActor}

  # The names of the limits in 1.x, in bytes and seconds.
  @memory "max_memory_limit"
  @time "max_execution_time"

  @doc """
  Checks, before a command is acknowledged, whether the state of the host allows it. Returns `:ok`, or a message for
  its sender. Quick: nothing is read or started. The state may have changed when the command runs, so it checks again.
  """
  @spec admit(StartActor.t() | ScaleActor.t() | UpdateActor.t(), Instance.t()) ::
          :ok | {:ok, String.t()} | {:error, Error.t()}
  def admit(%StartActor{} = it, instance), do: check(it.code, instance)

  def admit(%ScaleActor{code: nil} = it, instance) do
    case Inventory.fetch_actor(instance, it.id) do
      {:error, error} when it.instances > 0 -> {:error, error}
      _there_or_not_wanted -> :ok
    end
  end

  # A stop needs no file.
  def admit(%ScaleActor{instances: 0}, _instance), do: :ok

  def admit(%ScaleActor{} = it, instance) do
    with :ok <- check(it.code, instance),
         {:ok, actor} <- Inventory.fetch_actor(instance, it.id),
         false <- same?(actor, it.code) do
      warn(actor, it)
    else
      {:error, %Error{reason: :not_found}} -> :ok
      {:error, error} -> {:error, error}
      true -> :ok
    end
  end

  def admit(%UpdateActor{id: id} = it, instance) do
    with :ok <- check(it.code, instance),
         {:ok, _actor} <-
           if(id, do: Inventory.fetch_actor(instance, id), else: {:ok, :by_its_key}),
         do: :ok
  end

  @doc """
  Starts an actor under its public key, or adds instances to a running one of the same reference. Blocks the calling
  process. Returns `:conflict` if the running one has another reference, and `:invalid_claims` for unsigned code.
  """
  @spec start(StartActor.t(), Instance.t()) :: :ok | {:error, Error.t()}
  def start(it, instance) do
    with {:ok, loaded} <- load(it.code, instance),
         {:ok, key} <- key(loaded) do
      case Inventory.fetch_actor(instance, key) do
        {:ok, actor} -> add(actor, key, it, instance)
        {:error, %Error{reason: :conflict} = ambiguous} -> {:error, ambiguous}
        {:error, _absent} -> Host.Actors.start(instance, loaded, options(it, id: key)) |> done()
      end
    end
    |> told(it, instance)
  end

  @doc """
  Sets the instances of an actor, all or those with these annotations, and starts it if it does not run. A scale of an
  absent actor to 0 emits `actor_scaled`, because its sender waits for an event.
  """
  @spec scale(ScaleActor.t(), Instance.t()) :: :ok | {:error, Error.t()}
  def scale(it, instance) do
    case Inventory.fetch_actor(instance, it.id) do
      {:ok, actor} -> scale(actor, it, instance)
      {:error, %Error{reason: :conflict} = ambiguous} -> told({:error, ambiguous}, it, instance)
      # The sender waits for an event, and the host emits no other event for this case.
      {:error, _absent} when it.instances == 0 -> Lattice.announce(instance, absent(it))
      {:error, absent} when it.code == nil -> told({:error, absent}, it, instance)
      {:error, _absent} -> it |> start_scaled(instance) |> told(it, instance)
    end
  end

  @doc "Stops an actor, or some of its instances. `:not_found` if there is no such actor."
  @spec stop(StopActor.t(), Instance.t()) :: :ok | {:error, Error.t()}
  def stop(it, instance) do
    with {:ok, actor} <- Inventory.fetch_actor(instance, it.id),
         do: Host.Actors.resize(instance, actor.id, {:remove, it.annotations, it.instances})
  end

  @doc """
  Replaces the code of an actor. Without an id in the command, the code is loaded here: its public key says which actor
  it is for.
  """
  @spec update(UpdateActor.t(), Instance.t()) :: :ok | {:error, Error.t()}
  def update(it, instance) do
    permissions = [force: it.force, allow_issuer_change: it.allow_issuer_change]

    with {:ok, code, id} <- identify(it, instance),
         {:ok, actor} <- Inventory.fetch_actor(instance, id) do
      Host.Actors.update(instance, actor.id, code, permissions)
    else
      # The host announces an update that it tried. The actor may have stopped while the command waited.
      {:error, error} ->
        announce_failure(:update, it, error, instance)
        {:error, error}
    end
  end

  @doc "Announces that a start or an update of this command failed."
  @spec announce_failure(
          :start | :update,
          StartActor.t() | ScaleActor.t() | UpdateActor.t(),
          Error.t(),
          Instance.t()
        ) ::
          :ok
  def announce_failure(kind, it, error, instance) do
    failure = %{reason: error.reason, error: Exception.message(error)}
    Lattice.announce(instance, failed(kind, Map.merge(facts(it), failure)))
  end

  defp failed(:start, fields), do: Event.ActorStartFailed.new(fields)
  defp failed(:update, fields), do: Event.ActorUpdateFailed.new(fields)

  @doc "Whether this host may bid: false if the component already runs here."
  @spec free?(String.t() | nil, Instance.t()) :: boolean()
  def free?(nil, _instance), do: true
  def free?(id, instance), do: match?({:error, _absent}, Inventory.fetch_actor(instance, id))

  defp scale(actor, it, instance) do
    with :ok <- actor |> agree(it) |> told(it, instance),
         :ok <- update_scaled(actor, it, instance),
         do: instance |> Host.Actors.resize(actor.id, change(it)) |> told_refused(it, instance)
  end

  # A stop does not depend on the code.
  defp agree(_actor, %{instances: 0}), do: :ok
  defp agree(_actor, %{mismatch: policy}) when policy != :refuse, do: :ok

  defp agree(actor, it) do
    if it.code == nil or same?(actor, it.code),
      do: :ok,
      else: {:error, conflict(actor.id, it.code)}
  end

  defp update_scaled(actor, %{mismatch: :update, instances: count} = it, instance)
       when count > 0 do
    if it.code == nil or same?(actor, it.code) do
      :ok
    else
      permissions = [force: true, allow_issuer_change: it.allow_issuer_change]
      update(struct!(UpdateActor, [code: it.code, id: actor.id] ++ permissions), instance)
    end
  end

  defp update_scaled(_actor, _it, _instance), do: :ok

  defp change(%{annotations: none} = it) when none == %{}, do: {:total, it.instances}
  defp change(it), do: {:set, it.annotations, it.instances}

  defp start_scaled(it, instance) do
    with {:ok, loaded} <- load(it.code, instance),
         {:ok, id} <- id(it, loaded),
         {:ok, config} <- Configurations.resolve(it.config, instance),
         {:ok, limits} <- limits(it.limits),
         options = options(it, [id: id, config: config] ++ limits),
         do: Host.Actors.start(instance, loaded, options) |> done()
  end

  # If the id is the public key, it is in the code.
  defp id(%{key: nil, id: id}, _loaded), do: {:ok, id}

  defp id(%{key: expected}, loaded) do
    case key(loaded) do
      {:ok, ^expected} ->
        {:ok, expected}

      {:ok, other} ->
        {:error,
         Error.new(:invalid_input, "the code has the public key #{other}, expected #{expected}")}

      error ->
        error
    end
  end

  defp add(actor, key, it, instance) do
    if same?(actor, it.code),
      do: Host.Actors.resize(instance, actor.id, {:add, it.annotations, it.instances}),
      else: {:error, conflict(key, it.code)}
  end

  defp options(it, more), do: [instances: it.instances, annotations: it.annotations] ++ more

  # The code is loaded here only if its key says which actor it is for.
  defp identify(%{id: nil} = it, instance) do
    with {:ok, loaded} <- load(it.code, instance),
         {:ok, key} <- key(loaded),
         do: {:ok, loaded, key}
  end

  defp identify(it, instance) do
    with {:ok, path} <- path(it.code, instance), do: {:ok, path, it.id}
  end

  defp load(code, instance) do
    with {:ok, path} <- path(code, instance),
         do: Artifact.load({:file, path, nil}, instance.config)
  end

  defp key(%Loaded{claims: %Claims{subject: key}}), do: {:ok, key}

  defp key(%Loaded{claims: :unsigned}),
    do: {:error, Error.new(:invalid_claims, "the actor is not signed, so it has no public key")}

  defp limits(given) do
    with {:ok, memory} <- number(given, @memory, :bytes),
         {:ok, seconds} <- number(given, @time, :seconds) do
      limits = [memory_limit: memory, deadline: seconds && seconds * 1_000]
      {:ok, Enum.reject(limits, fn {_key, value} -> is_nil(value) end)}
    end
  end

  defp number(given, key, bound) do
    with text when is_binary(text) <- given[key],
         {number, ""} <- Integer.parse(text),
         true <- Input.within?(bound, number) do
      {:ok, number}
    else
      nil -> {:ok, nil}
      _other -> {:error, Error.new(:invalid_input, refusal(key, bound, given[key]))}
    end
  end

  defp refusal(key, bound, text) do
    "expected #{key} to be #{Input.expectation(bound)}, got #{inspect(text, printable_limit: 100)}"
  end

  defp check(code, instance) do
    with {:ok, _path} <- path(code, instance), do: :ok
  end

  defp path({:path, path}, _instance), do: {:ok, path}

  defp path({:reference, reference}, instance) do
    Reference.actor(reference, instance.config.allow_file_load)
  end

  defp same?(actor, {:reference, reference}),
    do: actor.image_ref == Reference.normalize(reference)

  defp warn(actor, %{mismatch: :keep} = it) do
    {:ok,
     "#{actor.id} runs from #{actor.image_ref}: it was scaled, but not updated to " <>
       "#{reference(it)}, because allow_update is not set"}
  end

  defp warn(actor, %{mismatch: :refuse} = it), do: {:error, conflict(actor.id, it.code)}
  defp warn(_actor, _it), do: :ok

  defp conflict(key, {:reference, reference}) do
    Error.new(
      :conflict,
      "Cannot start new instance of #{key} from ref '#{reference}', it is already running with " <>
        "different reference. To upgrade an actor, use live update."
    )
  end

  # The host announces a failed start that it tried. Other failures are announced here.
  defp told({:error, {:tried, error}}, _it, _instance), do: {:error, error}

  defp told({:error, error}, it, instance) do
    announce_failure(:start, it, error, instance)
    {:error, error}
  end

  defp told(:ok, _it, _instance), do: :ok

  # The command was refused before the host tried a start: too many instances, or the actor has stopped meanwhile.
  defp told_refused({:error, %Error{reason: reason}} = refused, it, instance)
       when reason in [:limit, :not_found],
       do: told(refused, it, instance)

  defp told_refused(result, _it, _instance), do: result

  defp done({:ok, _id}), do: :ok
  defp done({:error, error}), do: {:error, {:tried, error}}

  defp facts(it) do
    %{
      id: it.id || reference(it),
      image_ref: reference(it),
      instances: Map.get(it, :instances, 1),
      annotations: Map.get(it, :annotations, %{})
    }
  end

  defp reference(%{code: nil}), do: ""
  defp reference(%{code: {_kind, code}}), do: code

  # The event that reports a scale from no instances to none.
  defp absent(it) do
    facts = facts(it)
    none = %{annotations: facts.annotations, instances: 0}

    Event.ActorScaled.new(
      Map.merge(facts, %{before: [], shares: [none], public_key: nil, claims: nil})
    )
  end
end
