defmodule Exosuit.Actor do
  @moduledoc """
  The process of a running actor. While the process lives, the router has an entry for the actor.

  Calls do not pass through the process. The first start compiles loaded code (`Exosuit.Artifact.Loaded`), or loads
  the artifact of the specification. A start after a crash uses the compiled code of the first start
  (`Exosuit.Actor.Compiled`), so that the actor answers again within milliseconds, even without the file. The process
  hibernates after a compile, which frees the bytes of the code. An update publishes new code beside the old code:
  new calls go to the new code, and running calls finish in the old code within the host's drain timeout. When the
  process ends, for any reason, the router drops its running calls. Later calls wait for the next process of the
  actor.

  ## Messages

  Sends `{:exosuit_started, self(), compiled}` or `{:exosuit_failed, self(), error}` to the process that started it.
  After a failure, the process ends normally.
  """
  use Exosuit.Server, restart: :temporary

  alias Exosuit.{Artifact, Claims, Directory, Error, Instance, Router}
  alias Exosuit.Actor.{Compiled, Handover}
  alias Exosuit.Artifact.Loaded
  alias Exosuit.Lattice.Session
  alias Exosuit.Model.ActorSpecification

  @typedoc "The code of a start: compiled before, lent by `Exosuit.Actor.Handover`, or to be loaded."
  @type code :: Compiled.t() | reference() | nil

  @type claims :: Claims.t() | :unsigned

  @typedoc "Decides by the claims whether code may run."
  @type permit :: (claims() -> :ok | {:error, Error.t()})

  # Code that was given as bytes may be megabytes.
  @derive {Inspect, only: [:specification]}
  @enforce_keys [:instance, :specification, :report_to]
  defstruct [:instance, :specification, :report_to, :code, :publication, :retirement]

  @spec start_link({Instance.t(), ActorSpecification.t(), code(), pid()}) ::
          GenServer.on_start()
  def start_link({instance, specification, code, report_to}) do
    GenServer.start_link(__MODULE__, %__MODULE__{
      instance: instance,
      specification: specification,
      code: code,
      report_to: report_to
    })
  end

  @doc """
  Prepares the code of an actor: loads the artifact, compiles it, and instantiates it once with the limits and grants
  of the specification. Before the compile, `permit` decides by the claims whether the code may run. `code` is the
  code of the artifact, if the caller has it. Blocks the calling process.
  """
  @spec prepare(Instance.t(), ActorSpecification.t(), Loaded.t() | Compiled.t() | nil, permit()) ::
          {:ok, Compiled.t()} | {:error, Error.t()}
  def prepare(instance, specification, code, permit) do
    with {:ok, compiled} <- compiled(instance.config, specification.artifact, code, permit),
         timeout = instance.config.call_timeout,
         :ok <- Router.rehearse(instance.router, specification, compiled.module, timeout),
         do: {:ok, compiled}
  end

  @doc """
  Replaces the code or the settings of an actor. If the new ones cannot start, nothing changes. The update is quick,
  because `prepare/4` has done all slow work. If the actor exits, the caller exits as well.
  """
  @spec update(pid(), ActorSpecification.t(), Compiled.t()) :: :ok | {:error, Error.t()}
  def update(actor, specification, compiled) do
    GenServer.call(actor, {:update, specification, compiled})
  end

  @doc """
  Makes the actor refuse new calls, and end when its running calls have finished, within the drain timeout. Does not
  wait.
  """
  @spec retire(pid(), Instance.t(), String.t()) :: :ok
  def retire(actor, instance, id) do
    retirement = make_ref()
    # Sent before the answer of the router, after which the actor ends.
    send(actor, {:exosuit_retire, retirement})
    Router.retire(instance.router, id, instance.config.drain_timeout, {actor, retirement})
    :ok
  end

  @impl GenServer
  def init(state), do: {:ok, state, {:continue, :start}}

  @impl GenServer
  def handle_continue(:start, state) do
    case start(state) do
      {:ok, started} ->
        send(state.report_to, {:exosuit_started, self(), started.code})

        if match?(%Compiled{}, state.code),
          do: {:noreply, started},
          else: {:noreply, started, :hibernate}

      {:error, %Error{} = error} ->
        send(state.report_to, {:exosuit_failed, self(), error})
        {:stop, :normal, state}
    end
  end

  @impl GenServer
  def handle_call({:update, specification, compiled}, _from, %{publication: old} = state) do
    case publish(%{state | specification: specification}, compiled) do
      {:ok, state} ->
        Router.supersede(old, state.instance.config.drain_timeout)
        {:reply, :ok, state}

      {:error, error} ->
        {:reply, {:error, error}, state}
    end
  end

  # The actor was stopped, and its last call has finished.
  @impl GenServer
  def handle_info({:exosuit_retire, retirement}, state) do
    {:noreply, %{state | retirement: retirement}}
  end

  def handle_info({retirement, {:ok, _done}}, %{retirement: retirement} = state)
      when is_reference(retirement) do
    {:stop, :normal, state}
  end

  # Cheapest check first: a revision that is too low is refused before the compile.
  defp compiled(_config, _artifact, %Compiled{} = compiled, permit) do
    with :ok <- permit.(compiled.claims), do: {:ok, compiled}
  end

  defp compiled(config, artifact, code, permit) do
    with {:ok, loaded} <- loaded(config, artifact, code),
         :ok <- permit.(loaded.claims),
         do: Compiled.new(loaded, config)
  end

  defp loaded(_config, _artifact, %Loaded{} = loaded), do: {:ok, loaded}
  defp loaded(config, artifact, nil), do: Artifact.load(artifact, config)

  defp start(%{code: %Compiled{} = compiled} = state), do: publish(state, compiled)

  defp start(%{instance: instance, specification: specification} = state) do
    with {:ok, loaded} <- loaded(instance.config, specification.artifact, lent(state)),
         {:ok, compiled} <- Compiled.new(loaded, instance.config),
         do: publish(state, compiled)
  end

  defp lent(%{code: nil}), do: nil
  defp lent(%{code: reference, instance: instance}), do: Handover.take(instance, reference)

  defp publish(%{instance: instance, specification: specification} = state, compiled) do
    %{module: module, claims: claims} = compiled
    identity = Claims.identity(claims)
    lineage = lineage(instance, compiled)

    with {:ok, publication} <-
           Router.publish(instance.router, specification, module, identity, lineage) do
      facts = Map.take(compiled, [:claims, :artifact])
      Directory.enter(instance.name, {:actor, specification.id}, facts)
      {:ok, %{state | code: compiled, publication: publication}}
    end
  end

  # The lineage of the code: links for another lineage are not inherited. In a lattice of many hosts, all unsigned
  # code has the same lineage, because its hosts may replace it freely.
  defp lineage(_instance, %{claims: %Claims{issuer: issuer, subject: subject}}) do
    "#{issuer} #{subject}"
  end

  defp lineage(instance, %{artifact: artifact}) do
    case {Session.has?(instance.lattice, :others), artifact} do
      {false, {_kind, _source, digest}} -> "unsigned #{digest}"
      _other -> "unsigned"
    end
  end
end
