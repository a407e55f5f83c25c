defmodule Exosuit.Host.Actors do
  @moduledoc """
  Starts, stops, scales and updates the actors of a host, for people and commands.

  Code is a path, `{:bytes, wasm}`, or loaded code (`Exosuit.Artifact.Loaded`); options are keyword lists
  (`Exosuit.Host.ActorOptions`). Wrong options raise `ArgumentError`. Each function blocks the calling process until
  the outcome is known. If a start or an update fails, an event reports it as well, even if the host could not read
  the code.

  Applications change actors by their specifications instead: see `Exosuit.Host.Deployment`.
  """

  alias Exosuit.{Artifact, Claims, Error, Instance, Options}
  alias Exosuit.Artifact.Loaded
  alias Exosuit.Host.{ActorOptions, Roster, Specifications}
  alias Exosuit.Model.Instances

  @type code :: Path.t() | {:bytes, binary()} | Loaded.t()

  @doc "Starts an actor. Its id is by default the subject of its claims; unsigned code needs one."
  @spec start(Instance.t(), code(), keyword()) :: {:ok, String.t()} | {:error, Error.t()}
  def start(instance, code, options) do
    options = ActorOptions.start!(options)

    with {:ok, loaded} <- load(instance, code),
         {:ok, id} <- id(loaded, options[:id]) do
      specification = ActorOptions.specification(instance.config, id, loaded.artifact, options)
      with :ok <- Roster.start(instance, specification, loaded), do: {:ok, id}
    else
      {:error, error} -> refuse(instance, code, options, error)
    end
  end

  @doc """
  Starts an actor. If the host has an actor of this id already, waits for the start of that one.
  """
  @spec ensure(Instance.t(), code(), keyword()) :: :ok | {:error, Error.t()}
  def ensure(instance, code, options) do
    case identify(instance, code, options[:id]) do
      {:ok, code, id} -> ensure(instance, code, options, {:actor, id})
      {:error, error} -> refuse(instance, code, options, error)
    end
  end

  @doc "Stops an actor; running calls finish within the host's drain timeout."
  @spec stop(Instance.t(), String.t()) :: :ok | {:error, Error.t()}
  def stop(instance, id), do: Roster.stop(instance, {:actor, id})

  @doc "Changes the number of calls of an actor that may run at a time."
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

    with {:ok, code} <- parse(code),
         do: Roster.update(instance, id, code, Map.new(options))
  end

  defp ensure(instance, code, options, key) do
    case Specifications.fetch(instance, key) do
      {:ok, _specified} -> Roster.resume(instance, key)
      {:error, _absent} -> with {:ok, _id} <- start(instance, code, options), do: :ok
    end
  end

  # The code is loaded only if there is no id without it.
  defp identify(_instance, code, id) when is_binary(id), do: {:ok, code, id}

  defp identify(instance, code, nil) do
    with {:ok, loaded} <- load(instance, code),
         {:ok, id} <- id(loaded, nil),
         do: {:ok, loaded, id}
  end

  defp load(_instance, %Loaded{} = loaded), do: {:ok, loaded}

  defp load(instance, code) do
    with {:ok, artifact} <- Artifact.parse(code), do: Artifact.load(artifact, instance.config)
  end

  defp parse(%Loaded{} = loaded), do: {:ok, loaded}
  defp parse(code), do: Artifact.parse(code)

  defp id(_loaded, id) when is_binary(id), do: {:ok, id}
  defp id(%Loaded{claims: %Claims{subject: subject}}, nil), do: {:ok, subject}

  defp id(%Loaded{claims: :unsigned}, nil),
    do: {:error, Error.new(:invalid_input, "an unsigned actor needs an :id")}

  # The roster announces failures of the starts that it carries out. This start failed before.
  defp refuse(instance, code, options, error) do
    reference = Artifact.reference(code)
    id = options[:id] || reference
    annotations = options[:annotations] || %{}
    Roster.announce_failure(instance, {:actor, id}, reference, annotations, error)
    {:error, error}
  end
end
