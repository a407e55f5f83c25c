defmodule Exosuit.Host.Actors do
  @moduledoc """
  Starts, stops, scales and updates the actors of a host, as people and commands ask for it.

  Code is given as a path or as `{:bytes, wasm}`, options as keyword lists (`Exosuit.Host.ActorOptions`). Wrong
  options raise `ArgumentError`. Each function blocks the calling process until the outcome is known. A start or
  an update that fails is announced by an event as well, even if the host got no further than reading the code.

  Applications change actors by their specifications instead: see `Exosuit.Host.Deployment`.
  """

  alias Exosuit.{Artifact, Claims, Error, Instance, Options}
  alias Exosuit.Host.{ActorOptions, Roster, Specifications}
  alias Exosuit.Model.Instances

  @type code :: Path.t() | {:bytes, binary()}

  @doc "Starts an actor. Its id is by default the subject of its claims; unsigned code needs one."
  @spec start(Instance.t(), code(), keyword()) :: {:ok, String.t()} | {:error, Error.t()}
  def start(instance, code, options) do
    options = ActorOptions.start!(options)

    with {:ok, artifact} <- Artifact.parse(code),
         {:ok, {bytes, artifact}} <- Artifact.fetch(artifact),
         {:ok, id} <- id(bytes, options[:id], instance) do
      specification = ActorOptions.specification(instance.config, id, artifact, options)
      with :ok <- Roster.start(instance, specification), do: {:ok, id}
    else
      {:error, error} -> refuse(instance, code, options, error)
    end
  end

  @doc "Starts an actor, or waits for the start of the one that the host has under its id already."
  @spec ensure(Instance.t(), code(), keyword()) :: :ok | {:error, Error.t()}
  def ensure(instance, code, options) do
    with {:ok, id} <- wanted_id(instance, code, options[:id]),
         {:ok, _specified} <- Specifications.fetch(instance, {:actor, id}) do
      Roster.resume(instance, {:actor, id})
    else
      _absent -> with {:ok, _id} <- start(instance, code, options), do: :ok
    end
  end

  @doc "Stops an actor; calls that run finish within the host's drain timeout."
  @spec stop(Instance.t(), String.t()) :: :ok | {:error, Error.t()}
  def stop(instance, id), do: Roster.stop(instance, {:actor, id})

  @doc "Changes how many calls of an actor may run at a time."
  @spec scale(Instance.t(), String.t(), pos_integer()) :: :ok | {:error, Error.t()}
  def scale(instance, id, instances) do
    instances = Options.argument!(instances, "the number of instances", :instances)
    Roster.scale(instance, id, instances)
  end

  @doc "Changes the instance groups of an actor, see `Exosuit.Model.Instances`."
  @spec resize(Instance.t(), String.t(), Instances.change()) :: :ok | {:error, Error.t()}
  defdelegate resize(instance, id, change), to: Roster

  @doc "Replaces the code of a running actor without losing a call."
  @spec update(Instance.t(), String.t(), code(), keyword()) :: :ok | {:error, Error.t()}
  def update(instance, id, code, options) do
    options = ActorOptions.update!(options)

    with {:ok, artifact} <- Artifact.parse(code),
         do: Roster.update(instance, id, artifact, Map.new(options))
  end

  defp wanted_id(_instance, _code, id) when is_binary(id), do: {:ok, id}

  defp wanted_id(instance, code, nil) do
    with {:ok, artifact} <- Artifact.parse(code),
         {:ok, {bytes, _artifact}} <- Artifact.fetch(artifact),
         do: id(bytes, nil, instance)
  end

  defp id(_bytes, id, _instance) when is_binary(id), do: {:ok, id}

  defp id(bytes, nil, instance) do
    case Claims.admit(bytes, instance.config) do
      {:ok, :unsigned} -> {:error, Error.new(:invalid_input, "an unsigned actor needs an :id")}
      {:ok, claims} -> {:ok, claims.subject}
      {:error, error} -> {:error, error}
    end
  end

  # The roster announces what it was asked to start. It was not asked for this one.
  defp refuse(instance, code, options, error) do
    reference = Artifact.reference(code)
    id = options[:id] || reference
    annotations = options[:annotations] || %{}
    Roster.announce_failure(instance, {:actor, id}, reference, annotations, error)
    {:error, error}
  end
end
