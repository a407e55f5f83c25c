defmodule Exosuit.Host.Actors do
  @moduledoc """
  Starts, stops, scales and updates the actors of a host, for people and commands.

  Code is a path, `{:bytes, wasm}`, or loaded code (`Exosuit.Artifact.Loaded`); options are keyword lists
  (`Exosuit.Host.ActorOptions`). Wrong options raise `ArgumentError`. Each function blocks the calling process until
  the outcome is known. If a start or an update fails, an event reports it as well, even if the host could not read
  the code.

      Actors.start ── read the code and check its claims (`Exosuit.Artifact`), in the calling process
          ▼
      Roster.start ── lend the code (`Exosuit.Actor.Handover`)
          ▼
      Reconciler.run ── add the specification, spawn the actor's process
          ▼
      Actor ── take the lent code, compile it, publish it in the router, report

  The calling process reads the code because reading may take long, and the reconciler serves all others meanwhile.

  Applications change actors by their specifications instead: see `Exosuit.Host.Deployment`.
  """

  alias Exosuit.{Artifact, Claims, Error, Instance, Options}
  alias Exosuit.Artifact.Loaded
  alias Exosuit.Host.{ActorOptions, Roster, Specifications}
  alias Exosuit.Model.Instances

  @type code :: Path.t() | {:bytes, binary()} | Loaded.t()

  @doc """
  Starts an actor, and returns its id. The id is by default the subject of its claims; unsigned code needs one.

  The errors of a first start, after which the actor is not specified:

  - `:conflict`: an actor or a provider of the host has this id already
  - `:io`: the code cannot be read
  - `:invalid_claims`, `:expired_claims`: its token is not accepted
  - `:invalid_module`: the engine does not accept the code
  - `:dropped`: the actor was stopped while it was starting
  """
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
  Starts an actor. If the host has an actor of this id already, waits for the start of that one, and ignores the code
  and the other options. Reads the code only if there is no id without it.
  """
  @spec ensure(Instance.t(), code(), keyword()) :: :ok | {:error, Error.t()}
  def ensure(instance, code, options) do
    case identify(instance, code, options[:id]) do
      {:ok, code, id} -> ensure(instance, code, options, {:actor, id})
      {:error, error} -> refuse(instance, code, options, error)
    end
  end

  @doc """
  Stops an actor; running calls finish within the host's drain timeout. Returns before they have finished. New calls
  do not reach it. `:not_found` if there is no such actor.
  """
  @spec stop(Instance.t(), String.t()) :: :ok | {:error, Error.t()}
  def stop(instance, id), do: Roster.stop(instance, {:actor, id})

  @doc """
  Changes how many calls of an actor may run at a time. Running calls continue. Raises `ArgumentError` for another form
  of number. `:not_found` if there is no such actor.
  """
  @spec scale(Instance.t(), String.t(), pos_integer()) :: :ok | {:error, Error.t()}
  def scale(instance, id, instances) do
    instances = Options.argument!(instances, "the number of instances", :instances)
    Roster.scale(instance, id, instances)
  end

  @doc "Changes the instance groups of an actor, see `Exosuit.Model.Instances`."
  @spec resize(Instance.t(), String.t(), Instances.change()) :: :ok | {:error, Error.t()}
  defdelegate resize(instance, id, change), to: Roster

  @doc """
  Replaces the code of a running actor without losing a call. The calling process reads, checks, compiles and
  instantiates the new code first; a failure changes nothing.

  Without `force: true`, the new code needs a higher revision. Code of another issuer needs `allow_issuer_change: true`.
  Returns `:conflict` for a revision that is not higher, and `:not_found` if there is no such actor, or if it does not
  run.
  """
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
