defmodule Exosuit.Actor do
  @moduledoc """
  A running actor: the process that keeps its entry in the router open for as long as it lives.

  Calls do not pass through it. On its first start it reads the bytes, checks the claims and
  compiles; a later start, after a crash, takes what the first one made (`loaded`), so that the
  actor answers again within milliseconds, whatever became of the file. However the process ends,
  the router notices: running calls are dropped, later ones wait for its successor.

  ## Messages

  Sends `{:exosuit_started, self(), loaded}` or `{:exosuit_failed, self(), error}` to the process
  that it was told to report to. After a failure it ends normally.
  """
  use GenServer, restart: :temporary

  alias Exosuit.{Artifact, Claims, Config, Directory, Error, Router, Wasm}
  alias Exosuit.Model.ActorSpecification

  @typedoc "What a start makes: compiled code, claims, and the artifact with its digest."
  @type loaded :: %{module: reference(), claims: Claims.t() | :unsigned, artifact: tuple()}

  # What was loaded may be megabytes of code.
  @derive {Inspect, only: [:specification]}
  @enforce_keys [:config, :specification, :report_to]
  defstruct [:config, :specification, :report_to, :loaded, :publication]

  @spec start_link({Config.t(), ActorSpecification.t(), loaded() | nil, pid()}) ::
          GenServer.on_start()
  def start_link({config, specification, loaded, report_to}) do
    GenServer.start_link(__MODULE__, %__MODULE__{
      config: config,
      specification: specification,
      loaded: loaded,
      report_to: report_to
    })
  end

  @impl GenServer
  def init(state), do: {:ok, state, {:continue, :start}}

  @impl GenServer
  def handle_continue(:start, state) do
    key = {:actor, state.specification.id}

    case start(state) do
      {:ok, state} ->
        Directory.enter(state.config.name, key, facts(state.loaded))
        send(state.report_to, {:exosuit_started, self(), state.loaded})
        {:noreply, state}

      {:error, %Error{} = error} ->
        send(state.report_to, {:exosuit_failed, self(), error})
        {:stop, :normal, state}
    end
  end

  # The answer to `Router.retire/4`: it was stopped, and its last call has finished.
  @impl GenServer
  def handle_info({reference, {:ok, _done}}, state) when is_reference(reference) do
    {:stop, :normal, state}
  end

  defp start(%{config: config, specification: specification} = state) do
    with {:ok, loaded} <- load(state),
         identity = Claims.identity(loaded.claims),
         {:ok, publication} <-
           Router.publish(config.router, specification, loaded.module, identity) do
      {:ok, %{state | loaded: loaded, publication: publication}}
    end
  end

  defp load(%{loaded: nil, config: config, specification: specification}) do
    with {:ok, {bytes, artifact}} <- Artifact.fetch(specification.artifact),
         {:ok, claims} <- Claims.admit(bytes, config),
         {:ok, module} <- Wasm.compile(bytes) do
      {:ok, %{module: module, claims: claims, artifact: artifact}}
    end
  end

  defp load(%{loaded: loaded}), do: {:ok, loaded}

  defp facts(loaded), do: Map.take(loaded, [:claims, :artifact])
end
