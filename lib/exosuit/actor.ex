defmodule Exosuit.Actor do
  @moduledoc """
  A running actor: the process that keeps its entry in the router open for as long as it lives.

  Calls do not pass through it. On its first start it reads the bytes, checks the claims and
  compiles; a later start, after a crash, takes what the first one made (`loaded`), so that the
  actor answers again within milliseconds, whatever became of the file. An update publishes new code
  beside the old: new calls go to the new, running ones finish in the old within the host's drain
  timeout. However the process ends, the router notices: running calls are dropped, later ones wait
  for its successor.

  ## Messages

  Sends `{:exosuit_started, self(), loaded}` or `{:exosuit_failed, self(), error}` to the process
  that it was told to report to. After a failure it ends normally.
  """
  use Exosuit.Server, restart: :temporary

  alias Exosuit.{Claims, Directory, Error, Instance, Router, Wasm}
  alias Exosuit.Model.ActorSpecification

  @typedoc "What a start makes: compiled code, claims, and the artifact with its digest."
  @type loaded :: %{module: reference(), claims: Claims.t() | :unsigned, artifact: tuple()}

  @type claims :: Claims.t() | :unsigned

  @typedoc "Says by its claims whether code may run."
  @type permit :: (claims() -> :ok | {:error, Error.t()})

  # What was loaded may be megabytes of code.
  @derive {Inspect, only: [:specification]}
  @enforce_keys [:instance, :specification, :report_to]
  defstruct [:instance, :specification, :report_to, :loaded, :publication, :retirement]

  @spec start_link({Instance.t(), ActorSpecification.t(), loaded() | nil, pid()}) ::
          GenServer.on_start()
  def start_link({instance, specification, loaded, report_to}) do
    GenServer.start_link(__MODULE__, %__MODULE__{
      instance: instance,
      specification: specification,
      loaded: loaded,
      report_to: report_to
    })
  end

  @doc """
  Does everything that can fail before an actor serves: reads the artifact, checks its claims,
  compiles it, and instantiates it once with the limits and grants of the specification. `permit`
  says by the claims whether the code may run; it is asked before anything is compiled. `loaded` is
  what an earlier start made of the same artifact, or `nil`. Blocks the calling process.
  """
  @spec prepare(Instance.t(), ActorSpecification.t(), loaded() | nil, permit()) ::
          {:ok, loaded()} | {:error, Error.t()}
  def prepare(instance, specification, loaded, permit) do
    with {:ok, loaded} <- loaded(instance, specification.artifact, loaded, permit),
         timeout = instance.config.call_timeout,
         :ok <- Router.rehearse(instance.router, specification, loaded.module, timeout),
         do: {:ok, loaded}
  end

  @doc """
  Serves calls by other code, or with other settings, from now on. Where that cannot start, nothing
  changes. A quick exchange, as everything that takes time was done by `prepare/4`; it exits where
  the actor does.
  """
  @spec update(pid(), ActorSpecification.t(), loaded()) :: :ok | {:error, Error.t()}
  def update(actor, specification, loaded) do
    GenServer.call(actor, {:update, specification, loaded})
  end

  @doc """
  Takes no new calls, and ends when those that run have finished, within the drain timeout. Waits for
  nobody.
  """
  @spec retire(pid(), Instance.t(), String.t()) :: :ok
  def retire(actor, instance, id) do
    retirement = make_ref()
    # Before the answer, by which it ends.
    send(actor, {:exosuit_retire, retirement})
    Router.retire(instance.router, id, instance.config.drain_timeout, {actor, retirement})
    :ok
  end

  @impl GenServer
  def init(state), do: {:ok, state, {:continue, :start}}

  @impl GenServer
  def handle_continue(:start, state) do
    case start(state) do
      {:ok, state} ->
        send(state.report_to, {:exosuit_started, self(), state.loaded})
        {:noreply, state}

      {:error, %Error{} = error} ->
        send(state.report_to, {:exosuit_failed, self(), error})
        {:stop, :normal, state}
    end
  end

  @impl GenServer
  def handle_call({:update, specification, loaded}, _from, %{publication: old} = state) do
    case publish(%{state | specification: specification}, loaded) do
      {:ok, state} ->
        Router.supersede(old, state.instance.config.drain_timeout)
        {:reply, :ok, state}

      {:error, error} ->
        {:reply, {:error, error}, state}
    end
  end

  # It was stopped, and its last call has finished.
  @impl GenServer
  def handle_info({:exosuit_retire, retirement}, state) do
    {:noreply, %{state | retirement: retirement}}
  end

  def handle_info({retirement, {:ok, _done}}, %{retirement: retirement} = state)
      when is_reference(retirement) do
    {:stop, :normal, state}
  end

  defp loaded(instance, artifact, nil, permit), do: load(instance, artifact, permit)

  defp loaded(_instance, _artifact, loaded, permit) do
    with :ok <- permit.(loaded.claims), do: {:ok, loaded}
  end

  # Cheapest check first: a revision that is too low is refused before the compile.
  defp load(instance, artifact, permit) do
    with {:ok, {bytes, artifact}} <- Exosuit.Artifact.fetch(artifact),
         {:ok, claims} <- Claims.admit(bytes, instance.config),
         :ok <- permit.(claims),
         :ok <- Wasm.check_imports(bytes, instance.config),
         {:ok, module} <- Wasm.compile(bytes, tenant(claims), instance.config.compile),
         :ok <- Wasm.check_module(module, instance.config),
         do: {:ok, %{module: module, claims: claims, artifact: artifact}}
  end

  # Compiles take turns between issuers.
  defp tenant(:unsigned), do: ""
  defp tenant(%Claims{issuer: issuer}), do: issuer

  defp start(%{loaded: nil, instance: instance, specification: specification} = state) do
    any = fn _claims -> :ok end
    with {:ok, loaded} <- load(instance, specification.artifact, any), do: publish(state, loaded)
  end

  defp start(%{loaded: loaded} = state), do: publish(state, loaded)

  defp publish(%{instance: instance, specification: specification} = state, loaded) do
    %{module: module, claims: claims} = loaded
    identity = Claims.identity(claims)
    lineage = lineage(instance, loaded)

    with {:ok, publication} <-
           Router.publish(instance.router, specification, module, identity, lineage) do
      facts = Map.take(loaded, [:claims, :artifact])
      Directory.enter(instance.name, {:actor, specification.id}, facts)
      {:ok, %{state | loaded: loaded, publication: publication}}
    end
  end

  # The lineage of the code: links for another lineage are not inherited. In a lattice, all unsigned code has
  # the same lineage, because its hosts may replace it freely.
  defp lineage(_instance, %{claims: %Claims{issuer: issuer, subject: subject}}) do
    "#{issuer} #{subject}"
  end

  defp lineage(%Instance{config: %{nats: nil}}, %{artifact: {_kind, _source, digest}}),
    do: "unsigned #{digest}"

  defp lineage(_instance, _loaded), do: "unsigned"
end
