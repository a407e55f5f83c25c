defmodule Exosuit.Host.Specifications do
  @moduledoc """
  The table of a host's specifications, with the compiled code of their first start.

  This process is its only writer. The table belongs to the topmost supervisor, so that a restart of this process loses
  nothing. All processes read it without this one: `fetch/2` and `list/1` answer while it restarts.

  | row | |
  |---|---|
  | `{{role, id}, specification, nil}` | a provider, or an actor that has not started yet |
  | `{{role, id}, specification, compiled}` | an actor that has started: a restart needs neither file nor compile |

  An actor's entry in the router is made here, before its row: from then on, calls to it wait for its start instead of
  being refused as unknown. The router checks the limits, and its refusal leaves the table as it was.

  Writes block the calling process until this process has made them; none of them is slow.
  """

  use Exosuit.Server

  alias Exosuit.{Directory, Error, Instance, Router}
  alias Exosuit.Model.{ActorSpecification, Instances, ProviderSpecification}

  @typedoc """
  A specification of an actor or a provider. Both share one name space of ids on a host, because links name their ends
  by id alone.
  """
  @type specification :: ActorSpecification.t() | ProviderSpecification.t()

  @spec start_link(Instance.t()) :: GenServer.on_start()
  def start_link(instance) do
    GenServer.start_link(__MODULE__, instance, name: Directory.via(instance.name, __MODULE__))
  end

  @doc "An empty table. It is public because its owner is not its writer, which may be restarted."
  @spec table() :: :ets.table()
  def table, do: :ets.new(:exosuit_specifications, [:set, :public, read_concurrency: true])

  @doc "The key of a specification: role and id."
  @spec key(specification()) :: Directory.key()
  def key(%ActorSpecification{id: id}), do: {:actor, id}
  def key(%ProviderSpecification{id: id}), do: {:provider, id}

  @doc """
  Adds a specification, without starting it. One of the same id, of either role, is a `:conflict`.
  """
  @spec add(Instance.t(), specification()) :: :ok | {:error, Error.t()}
  def add(instance, specification), do: call(instance, {:add, specification})

  @doc """
  Changes the instance groups of an actor. Running calls continue.

  Returns `:none` and changes nothing if no instance would be left: the caller stops the actor instead. Returns
  `:not_found` if there is no such actor, and an error beyond the bounds of `Exosuit.Model.Instances`.
  """
  @spec resize(Instance.t(), String.t(), Instances.change()) ::
          {:ok, ActorSpecification.t()} | :none | {:error, Error.t()}
  def resize(instance, id, change), do: call(instance, {:resize, {:actor, id}, change})

  @doc """
  Changes an actor's specification in place: its instances and annotations. All other fields of the argument are
  ignored.
  """
  @spec change(Instance.t(), ActorSpecification.t()) :: :ok | {:error, Error.t()}
  def change(instance, specification), do: call(instance, {:change, specification})

  @doc """
  Replaces the specification of an id, together with its prepared code, in one step. A start between two steps would run
  the old code with the new settings. `:not_found` if the actor has been stopped meanwhile.
  """
  @spec replace(Instance.t(), ActorSpecification.t(), map()) :: :ok | {:error, Error.t()}
  def replace(instance, specification, compiled),
    do: call(instance, {:replace, specification, compiled})

  @doc """
  Removes a specification; the reconciler has stopped its actor or provider. Removes nothing from the router.
  """
  @spec remove(Instance.t(), Directory.key()) :: :ok
  def remove(instance, key), do: call(instance, {:remove, key})

  @doc """
  Stores the compiled result of a start, for the next start. If the row has code already, or is gone, the newer state
  stays.
  """
  @spec keep(Instance.t(), Directory.key(), term()) :: :ok
  def keep(instance, key, compiled), do: call(instance, {:keep, key, compiled})

  @doc """
  The specification of this key, and the compiled code of a start, or `nil`. `:not_found` if the host has none.
  """
  @spec fetch(Instance.t(), Directory.key()) ::
          {:ok, {specification(), term()}} | {:error, Error.t()}
  def fetch(instance, {role, id} = key) do
    case :ets.lookup(instance.tables.specifications, key) do
      [{_key, specification, compiled}] ->
        {:ok, {specification, compiled}}

      [] ->
        {:error, Error.new(:not_found, "no #{role} #{inspect(id)} on #{inspect(instance.name)}")}
    end
  end

  @doc "All specifications."
  @spec list(Instance.t()) :: [specification()]
  def list(instance) do
    for [specification] <- :ets.match(instance.tables.specifications, {:_, :"$1", :_}),
        do: specification
  end

  @impl GenServer
  def init(instance), do: {:ok, instance}

  @impl GenServer
  def handle_call({:add, specification}, _from, instance) do
    with :ok <- unused(instance, specification.id), :ok <- specify(instance, specification) do
      :ets.insert(instance.tables.specifications, {key(specification), specification, nil})
      {:reply, :ok, instance}
    else
      error -> {:reply, error, instance}
    end
  end

  def handle_call({:change, specification}, _from, instance) do
    shares = ActorSpecification.shares(specification)

    with {:ok, {old, compiled}} <- fetch(instance, key(specification)),
         {:ok, _new} <- put_shares(instance, old, compiled, shares) do
      {:reply, :ok, instance}
    else
      error -> {:reply, error, instance}
    end
  end

  def handle_call({:resize, key, change}, _from, instance) do
    with {:ok, {old, compiled}} <- fetch(instance, key),
         [_ | _] = shares <- Instances.change(ActorSpecification.shares(old), change) do
      {:reply, put_shares(instance, old, compiled, shares), instance}
    else
      [] -> {:reply, :none, instance}
      error -> {:reply, error, instance}
    end
  end

  def handle_call({:replace, specification, compiled}, _from, instance) do
    with {:ok, _old} <- fetch(instance, key(specification)),
         :ok <- specify(instance, specification) do
      :ets.insert(instance.tables.specifications, {key(specification), specification, compiled})
      {:reply, :ok, instance}
    else
      error -> {:reply, error, instance}
    end
  end

  def handle_call({:remove, key}, _from, instance) do
    :ets.delete(instance.tables.specifications, key)
    {:reply, :ok, instance}
  end

  def handle_call({:keep, key, compiled}, _from, instance) do
    # If the specification was removed or updated during the start, the newer state stays.
    case :ets.lookup(instance.tables.specifications, key) do
      [{_key, specification, nil}] ->
        :ets.insert(instance.tables.specifications, {key, specification, compiled})

      _removed_or_kept ->
        :ok
    end

    {:reply, :ok, instance}
  end

  defp put_shares(instance, old, compiled, shares) do
    new = ActorSpecification.with_shares(old, shares)

    with :ok <- specify(instance, new) do
      :ets.insert(instance.tables.specifications, {key(new), new, compiled})
      {:ok, new}
    end
  end

  defp call(instance, request),
    do: GenServer.call(Directory.via(instance.name, __MODULE__), request)

  defp specify(instance, %ActorSpecification{} = actor) do
    Router.specify(instance.router, actor)
  end

  defp specify(_instance, %ProviderSpecification{}), do: :ok

  # Links name their ends by id alone, so actors and providers share one name space.
  defp unused(instance, id) do
    table = instance.tables.specifications

    case Enum.find([:actor, :provider], &:ets.member(table, {&1, id})) do
      nil ->
        :ok

      role ->
        {:error,
         Error.new(
           :conflict,
           "#{inspect(instance.name)} has #{role} #{inspect(id)} already: choose another id"
         )}
    end
  end
end
