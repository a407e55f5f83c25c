defmodule Exosuit.Host.Specifications do
  @moduledoc false
  # What should run on a host, and what a first start has made of it. One writer, this process; the
  # table belongs to the topmost supervisor, so that a restart of this process forgets nothing.

  use Exosuit.Server

  alias Exosuit.{Config, Directory, Error, Router}
  alias Exosuit.Model.{ActorSpecification, Instances, ProviderSpecification}

  @type specification :: ActorSpecification.t() | ProviderSpecification.t()

  @spec start_link(Config.t()) :: GenServer.on_start()
  def start_link(config) do
    GenServer.start_link(__MODULE__, config, name: Directory.via(config.name, __MODULE__))
  end

  @doc "An empty table. Public, as its owner is not its writer, who may be restarted."
  @spec table() :: :ets.tid()
  def table, do: :ets.new(:exosuit_specifications, [:set, :public, read_concurrency: true])

  @doc "The key of what is specified: role and id."
  @spec key(specification()) :: Directory.key()
  def key(%ActorSpecification{id: id}), do: {:actor, id}
  def key(%ProviderSpecification{id: id}), do: {:provider, id}

  @doc "Adds a specification; one of the same id, of either role, is a conflict."
  @spec add(Config.t(), specification()) :: :ok | {:error, Error.t()}
  def add(config, specification), do: call(config, {:add, specification})

  @doc "Changes the shares of an actor; with none left it is unchanged, and to be stopped."
  @spec resize(Config.t(), String.t(), Instances.change()) ::
          {:ok, ActorSpecification.t()} | :none | {:error, Error.t()}
  def resize(config, id, change), do: call(config, {:resize, {:actor, id}, change})

  @doc "Changes an actor's specification in place: its instances and annotations, nothing else."
  @spec change(Config.t(), ActorSpecification.t()) :: :ok | {:error, Error.t()}
  def change(config, specification), do: call(config, {:change, specification})

  @doc """
  Replaces the specification of an id, together with its prepared code, in one step.
  """
  @spec replace(Config.t(), ActorSpecification.t(), map()) :: :ok | {:error, Error.t()}
  def replace(config, specification, loaded), do: call(config, {:replace, specification, loaded})

  @doc "Removes a specification; the reconciler has stopped its actor or provider."
  @spec remove(Config.t(), Directory.key()) :: :ok
  def remove(config, key), do: call(config, {:remove, key})

  @doc "Stores the compiled result of a start, for the next start."
  @spec keep(Config.t(), Directory.key(), term()) :: :ok
  def keep(config, key, loaded), do: call(config, {:keep, key, loaded})

  @doc "The specification under this key and what a start has made of it."
  @spec fetch(Config.t(), Directory.key()) ::
          {:ok, {specification(), term()}} | {:error, Error.t()}
  def fetch(config, {role, id} = key) do
    case :ets.lookup(config.tables.specifications, key) do
      [{_key, specification, loaded}] ->
        {:ok, {specification, loaded}}

      [] ->
        {:error, Error.new(:not_found, "no #{role} #{inspect(id)} on #{inspect(config.name)}")}
    end
  end

  @doc "All specifications."
  @spec list(Config.t()) :: [specification()]
  def list(config) do
    for [specification] <- :ets.match(config.tables.specifications, {:_, :"$1", :_}),
        do: specification
  end

  @impl GenServer
  def init(config), do: {:ok, config}

  @impl GenServer
  def handle_call({:add, specification}, _from, config) do
    with :ok <- unused(config, specification.id), :ok <- specify(config, specification) do
      :ets.insert(config.tables.specifications, {key(specification), specification, nil})
      {:reply, :ok, config}
    else
      error -> {:reply, error, config}
    end
  end

  def handle_call({:change, specification}, _from, config) do
    shares = ActorSpecification.shares(specification)

    with {:ok, {old, loaded}} <- fetch(config, key(specification)),
         {:ok, _new} <- put_shares(config, old, loaded, shares) do
      {:reply, :ok, config}
    else
      error -> {:reply, error, config}
    end
  end

  def handle_call({:resize, key, change}, _from, config) do
    with {:ok, {old, loaded}} <- fetch(config, key),
         [_ | _] = shares <- Instances.change(ActorSpecification.shares(old), change) do
      {:reply, put_shares(config, old, loaded, shares), config}
    else
      [] -> {:reply, :none, config}
      error -> {:reply, error, config}
    end
  end

  def handle_call({:replace, specification, loaded}, _from, config) do
    with {:ok, _old} <- fetch(config, key(specification)),
         :ok <- specify(config, specification) do
      :ets.insert(config.tables.specifications, {key(specification), specification, loaded})
      {:reply, :ok, config}
    else
      error -> {:reply, error, config}
    end
  end

  def handle_call({:remove, key}, _from, config) do
    :ets.delete(config.tables.specifications, key)
    {:reply, :ok, config}
  end

  def handle_call({:keep, key, loaded}, _from, config) do
    # It may have been removed while it started, or updated since: then that holds.
    case :ets.lookup(config.tables.specifications, key) do
      [{_key, specification, nil}] ->
        :ets.insert(config.tables.specifications, {key, specification, loaded})

      _removed_or_kept ->
        :ok
    end

    {:reply, :ok, config}
  end

  defp put_shares(config, old, loaded, shares) do
    new = ActorSpecification.with_shares(old, shares)

    with :ok <- specify(config, new) do
      :ets.insert(config.tables.specifications, {key(new), new, loaded})
      {:ok, new}
    end
  end

  defp call(config, request), do: GenServer.call(Directory.via(config.name, __MODULE__), request)

  defp specify(config, %ActorSpecification{} = actor) do
    Router.specify(config.router, actor)
  end

  defp specify(_config, %ProviderSpecification{}), do: :ok

  # Links name their ends by id alone, so actors and providers share one name space.
  defp unused(config, id) do
    table = config.tables.specifications

    case Enum.find([:actor, :provider], &:ets.member(table, {&1, id})) do
      nil -> :ok
      role -> {:error, Error.new(:conflict, "#{inspect(config.name)} has #{role} #{inspect(id)}")}
    end
  end
end
