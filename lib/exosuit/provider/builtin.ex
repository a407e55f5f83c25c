defmodule Exosuit.Provider.Builtin do
  @moduledoc """
  The process of a running built-in provider. The provider ends with its process.

  The provider itself is in Rust. This process holds its handle, and does nothing else after the start.

  If the provider refuses a link when it starts, for example because a port is in use, the directory and an event
  have the error, and the other links are served. Calls do not pass through this process. When the process ends, for
  any reason, the provider's sockets and files are closed, and calls through its links are refused until the provider
  runs again.

      Builtin ── Router.start_provider ──► provider in Rust ◄── calls
         └── Health (linked): asks at intervals, and ends this process after two failures

  ## Messages

  Sends `{:exosuit_started, self(), nil}` or `{:exosuit_failed, self(), error}` to the process that started it;
  `Exosuit.Provider.Module` sends `{:exosuit_crashed, self(), error}` as well, if the provider's own `init/1`
  crashes. After a failure, the process ends normally.
  """
  use Exosuit.Server, restart: :temporary

  alias Exosuit.{Directory, Error, Instance, Router}
  alias Exosuit.Model.ProviderSpecification
  alias Exosuit.Provider.Health

  @enforce_keys [:instance, :specification, :report_to]
  defstruct [:instance, :specification, :report_to, :provider]

  @doc """
  The built-in provider of this name or reference (`keyvalue`, `wasmcloud+builtin://keyvalue`), from the list in
  `native/exosuit_core`.

      iex> {:ok, builtin} = Exosuit.Provider.Builtin.fetch("keyvalue")
      iex> {builtin.name, builtin.listens}
      {"keyvalue", false}
  """
  @spec fetch(String.t()) :: {:ok, Router.builtin()} | {:error, Error.t()}
  defdelegate fetch(reference), to: Router, as: :fetch_builtin

  @doc """
  The contracts of the built-in provider of this name; empty if there is no such provider.

      iex> Exosuit.Provider.Builtin.contracts("no-such")
      []
  """
  @spec contracts(String.t()) :: [String.t()]
  def contracts(name) do
    case fetch(name) do
      {:ok, facts} -> facts.contracts
      {:error, _absent} -> []
    end
  end

  @doc """
  Whether this is a built-in provider that calls actors with requests or messages from outside.
  """
  @spec listens?(String.t()) :: boolean()
  def listens?(reference), do: match?({:ok, %{listens: true}}, fetch(reference))

  @doc """
  Starts the process, which starts the provider after this function has returned. The last element is the process that
  gets the messages.
  """
  @spec start_link({Instance.t(), ProviderSpecification.t(), nil, pid()}) :: GenServer.on_start()
  def start_link({instance, specification, nil, report_to}) do
    GenServer.start_link(__MODULE__, %__MODULE__{
      instance: instance,
      specification: specification,
      report_to: report_to
    })
  end

  @impl GenServer
  def init(state), do: {:ok, state, {:continue, :start}}

  @impl GenServer
  def handle_continue(:start, %{instance: instance, specification: specification} = state) do
    key = {:provider, specification.id}

    case Router.start_provider(instance.router, specification, instance.config.data_dir) do
      {:ok, {provider, failures}} ->
        health = watch_health(instance, specification, provider)
        facts = %{native: provider, refused_links: failures, health: health, healthy: nil}
        Directory.enter(instance.name, key, facts)
        send(state.report_to, {:exosuit_started, self(), nil})
        {:noreply, %{state | provider: provider}}

      {:error, %Error{} = error} ->
        send(state.report_to, {:exosuit_failed, self(), error})
        {:stop, :normal, state}
    end
  end

  defp watch_health(instance, %{artifact: {:builtin, name}} = specification, provider) do
    check = fn -> Router.health(provider, Health.timeout()) end
    Health.start_link(instance, specification, contracts(name), check)
  end
end
