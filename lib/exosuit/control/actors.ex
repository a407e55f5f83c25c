defmodule Exosuit.Control.Actors do
  @moduledoc false
  # Starts, scales, stops and updates actors for the lattice. Events report the results. Those about a failure
  # before the host was asked to start anything are made here.

  alias Exosuit.{Artifact, Claims, Directory, Error, Input, Lattice}
  alias Exosuit.Control.{Configurations, Reference}
  alias Exosuit.Model.Command.{ScaleActor, StartActor, StopActor, UpdateActor}

  @type host :: {api :: module(), host :: atom()}

  # Under their names in 1.x, in bytes and seconds.
  @memory "max_memory_limit"
  @time "max_execution_time"

  @doc """
  Whether the state of the host allows a command, or a message for its sender. Quick: nothing is read or started.
  """
  @spec admit(StartActor.t() | ScaleActor.t() | UpdateActor.t(), host()) ::
          :ok | {:ok, String.t()} | {:error, Error.t()}
  def admit(%StartActor{} = it, host), do: check(it.code, host)

  def admit(%ScaleActor{code: nil} = it, {api, host}) do
    case api.fetch_actor(host, it.id) do
      {:error, error} when it.instances > 0 -> {:error, error}
      _there_or_not_wanted -> :ok
    end
  end

  # There is nothing to read for what is stopped.
  def admit(%ScaleActor{instances: 0}, _host), do: :ok

  def admit(%ScaleActor{} = it, {api, name} = host) do
    with :ok <- check(it.code, host),
         {:ok, actor} <- api.fetch_actor(name, it.id),
         false <- same?(actor, it.code) do
      warn(actor, it)
    else
      {:error, %Error{reason: :not_found}} -> :ok
      {:error, error} -> {:error, error}
      true -> :ok
    end
  end

  def admit(%UpdateActor{id: id} = it, {api, name} = host) do
    with :ok <- check(it.code, host),
         {:ok, _actor} <- if(id, do: api.fetch_actor(name, id), else: {:ok, :by_its_key}),
         do: :ok
  end

  @doc "Starts an actor, or adds instances to a running one of the same reference."
  @spec start(StartActor.t(), host()) :: :ok | {:error, Error.t()}
  def start(it, {api, host}) do
    with {:ok, path} <- path(it.code, host),
         {:ok, key} <- identify(path, host) do
      case api.fetch_actor(host, key) do
        {:ok, actor} -> add(actor, key, it, {api, host})
        {:error, %Error{reason: :conflict} = ambiguous} -> {:error, ambiguous}
        {:error, _absent} -> api.start_actor(host, path, options(it, id: key)) |> done()
      end
    end
    |> told(it, host)
  end

  @doc "Sets the instances of an actor, all or those with these annotations, and starts it if it does not run."
  @spec scale(ScaleActor.t(), host()) :: :ok | {:error, Error.t()}
  def scale(it, {api, host}) do
    case api.fetch_actor(host, it.id) do
      {:ok, actor} -> scale(actor, it, {api, host})
      {:error, %Error{reason: :conflict} = ambiguous} -> told({:error, ambiguous}, it, host)
      # The sender waits for an event, and no other event reports this.
      {:error, _absent} when it.instances == 0 -> announce(host, "actor_scaled", absent(it))
      {:error, absent} when it.code == nil -> told({:error, absent}, it, host)
      {:error, _absent} -> it |> start_scaled(api, host) |> told(it, host)
    end
  end

  @doc "Stops an actor, or some of its instances."
  @spec stop(StopActor.t(), host()) :: :ok | {:error, Error.t()}
  def stop(it, {api, host}) do
    with {:ok, actor} <- api.fetch_actor(host, it.id),
         do: api.resize_actor(host, actor.id, {:remove, it.annotations, it.instances})
  end

  @doc "Replaces the code of an actor."
  @spec update(UpdateActor.t(), host()) :: :ok | {:error, Error.t()}
  def update(it, {api, host}) do
    permissions = [force: it.force, allow_issuer_change: it.allow_issuer_change]

    with {:ok, path} <- path(it.code, host),
         {:ok, id} <- if(it.id, do: {:ok, it.id}, else: identify(path, host)),
         {:ok, actor} <- api.fetch_actor(host, id),
         do: api.update_actor(host, actor.id, path, permissions)
  end

  @doc "Announces that a start or an update of this command failed."
  @spec announce_failure(
          String.t(),
          StartActor.t() | ScaleActor.t() | UpdateActor.t(),
          Error.t(),
          atom()
        ) ::
          :ok
  def announce_failure(kind, it, error, host) do
    failure = %{reason: error.reason, error: Exception.message(error)}
    announce(host, "actor_#{kind}_failed", Map.merge(facts(it), failure))
  end

  @doc "Who else would take it: nobody where it runs here already."
  @spec free?(String.t() | nil, host()) :: boolean()
  def free?(nil, _host), do: true
  def free?(id, {api, host}), do: match?({:error, _absent}, api.fetch_actor(host, id))

  defp scale(actor, it, {api, host}) do
    with :ok <- agree(actor, it),
         :ok <- update_scaled(actor, it, {api, host}),
         do: api.resize_actor(host, actor.id, change(it))
  end

  # Of what is to be stopped, the code is no matter.
  defp agree(_actor, %{instances: 0}), do: :ok
  defp agree(_actor, %{mismatch: policy}) when policy != :refuse, do: :ok

  defp agree(actor, it) do
    if it.code == nil or same?(actor, it.code),
      do: :ok,
      else: {:error, conflict(actor.id, it.code)}
  end

  defp update_scaled(actor, %{mismatch: :update, instances: count} = it, context)
       when count > 0 do
    if it.code == nil or same?(actor, it.code) do
      :ok
    else
      permissions = [force: true, allow_issuer_change: it.allow_issuer_change]
      update(struct!(UpdateActor, [code: it.code, id: actor.id] ++ permissions), context)
    end
  end

  defp update_scaled(_actor, _it, _host), do: :ok

  defp change(%{annotations: none} = it) when none == %{}, do: {:total, it.instances}
  defp change(it), do: {:set, it.annotations, it.instances}

  defp start_scaled(it, api, host) do
    with {:ok, path} <- path(it.code, host),
         {:ok, id} <- id(it, path, host),
         {:ok, config} <- Configurations.resolve(it.config, {api, host}),
         {:ok, limits} <- limits(it.limits),
         options = options(it, [id: id, config: config] ++ limits),
         do: api.start_actor(host, path, options) |> done()
  end

  # Where it goes by its key, the code says which that is.
  defp id(%{key: nil, id: id}, _path, _host), do: {:ok, id}

  defp id(%{key: key}, path, host) do
    case identify(path, host) do
      {:ok, ^key} -> {:ok, key}
      {:ok, other} -> {:error, Error.new(:invalid_input, "it is #{other}, and not #{key}")}
      error -> error
    end
  end

  defp add(actor, key, it, {api, host}) do
    if same?(actor, it.code),
      do: api.resize_actor(host, actor.id, {:add, it.annotations, it.instances}),
      else: {:error, conflict(key, it.code)}
  end

  defp options(it, more), do: [instances: it.instances, annotations: it.annotations] ++ more

  defp identify(path, host) do
    instance = Directory.fetch!(host, :instance)

    with {:ok, {bytes, _artifact}} <- Artifact.fetch({:file, path, nil}),
         {:ok, %Claims{subject: key}} <- Claims.admit(bytes, instance.config) do
      {:ok, key}
    else
      {:ok, :unsigned} ->
        {:error, Error.new(:invalid_claims, "the actor is not signed, so it has no public key")}

      error ->
        error
    end
  end

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

  defp check(code, {_api, host}) do
    with {:ok, _path} <- path(code, host), do: :ok
  end

  defp path({:path, path}, _host), do: {:ok, path}

  defp path({:reference, reference}, host) do
    Reference.actor(reference, Directory.fetch!(host, :instance).config.allow_file_load)
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

  # The host tells of a start that it tried. Of the rest nobody has told yet.
  defp told({:error, {:tried, error}}, _it, _host), do: {:error, error}

  defp told({:error, error}, it, host) do
    announce_failure("start", it, error, host)
    {:error, error}
  end

  defp told(:ok, _it, _host), do: :ok

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

  defp absent(it), do: Map.put(facts(it), :before, [])

  defp announce(host, type, data) do
    Lattice.announce(Directory.fetch!(host, :instance), type, data)
  end
end
