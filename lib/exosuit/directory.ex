defmodule Exosuit.Directory do
  @moduledoc """
  The running actors and providers of a host: one ETS table, written by this process only.

  Every process of a host is found through `Exosuit.Registry`, under `{host, role}`; no atom is made
  for it. After a crash of the registry, `Exosuit.Directory.Nameplate` registers the host again. Supervisors
  restart the other processes, which end with the registry. Actors and providers enter their facts when they
  run; the entries are removed when their process ends, for any reason.
  """
  use Exosuit.Server

  alias Exosuit.{Error, Instance, Registries}
  alias Exosuit.Directory.Names

  @type role :: :actor | :provider
  @type key :: {role(), String.t()}

  @enforce_keys [:table]
  defstruct [:table, monitors: %{}]

  @doc "The name of a host's process by role, for `start_link` and calls."
  @spec via(atom(), atom(), term()) :: GenServer.name()
  def via(host, role, value \\ nil), do: {:via, Names, {host, role, value}}

  @doc """
  The value that a host's process registered under its role. Raises `ArgumentError` if no host has the name.
  """
  @spec fetch!(atom(), atom()) :: term()
  def fetch!(host, role) do
    case Registries.lookup(Registries.names(), {host, role}) do
      [{_pid, value}] -> value
      [] -> raise ArgumentError, "no host named #{inspect(host)} runs in this VM"
    end
  end

  @spec start_link(Instance.t()) :: GenServer.on_start()
  def start_link(instance) do
    GenServer.start_link(__MODULE__, instance.name, name: via(instance.name, __MODULE__))
  end

  @doc "The hosts of this VM, in the order of their names."
  @spec hosts() :: [atom()]
  def hosts do
    names = [{{{:"$1", :instance}, :_, :_}, [], [:"$1"]}]
    Registries.names() |> Registry.select(names) |> Enum.sort()
  end

  @doc "Enters the calling process as the one that runs this key, with its facts."
  @spec enter(atom(), key(), map()) :: :ok
  def enter(host, key, facts) do
    GenServer.call(via(host, __MODULE__), {:enter, key, self(), facts})
  end

  @doc """
  Adds facts to the entry of `pid` under this key. Does nothing if another process has the entry by now.
  """
  @spec note(atom(), key(), pid(), map()) :: :ok
  def note(host, key, pid, facts) do
    GenServer.call(via(host, __MODULE__), {:note, key, pid, facts})
  end

  @doc "Removes the entry of a key. Its process may live on for a while."
  @spec leave(atom(), key()) :: :ok
  def leave(host, key), do: GenServer.call(via(host, __MODULE__), {:leave, key})

  @doc "The process and the facts under this key."
  @spec fetch(atom(), key()) :: {:ok, {pid(), map()}} | {:error, Error.t()}
  def fetch(host, {role, id} = key) do
    case lookup(host, key) do
      [{_key, pid, facts}] -> {:ok, {pid, facts}}
      [] -> {:error, Error.new(:not_found, "no #{role} #{inspect(id)} runs on #{inspect(host)}")}
    end
  end

  @doc "All entries of a role: `{id, pid, facts}`."
  @spec list(atom(), role()) :: [{String.t(), pid(), map()}]
  def list(host, role) do
    pattern = {{role, :"$1"}, :"$2", :"$3"}
    for [id, pid, facts] <- read(host, &:ets.match(&1, pattern)), do: {id, pid, facts}
  end

  @impl GenServer
  def init(host) do
    table = :ets.new(:exosuit_directory, [:set, :protected, read_concurrency: true])

    {_new, _old} =
      Registry.update_value(Registries.names(), {host, __MODULE__}, &put_elem(&1, 0, table))

    {:ok, %__MODULE__{table: table}}
  end

  @impl GenServer
  def handle_call({:enter, key, pid, facts}, _from, state) do
    known? = match?([{_key, ^pid, _facts}], :ets.lookup(state.table, key))
    :ets.insert(state.table, {key, pid, facts})
    {:reply, :ok, if(known?, do: state, else: watch(state, key, pid))}
  end

  def handle_call({:note, key, pid, facts}, _from, state) do
    case :ets.lookup(state.table, key) do
      [{_key, ^pid, known}] -> :ets.insert(state.table, {key, pid, Map.merge(known, facts)})
      _gone -> :ok
    end

    {:reply, :ok, state}
  end

  def handle_call({:leave, key}, _from, state) do
    :ets.delete(state.table, key)
    {:reply, :ok, state}
  end

  @impl GenServer
  def handle_info({:DOWN, monitor, :process, pid, _reason}, state) do
    {key, monitors} = Map.pop(state.monitors, monitor)
    # Its successor may have entered already.
    :ets.match_delete(state.table, {key, pid, :_})
    {:noreply, %{state | monitors: monitors}}
  end

  defp watch(state, key, pid), do: put_in(state.monitors[Process.monitor(pid)], key)

  defp lookup(host, key), do: read(host, &:ets.lookup(&1, key))

  # While the directory restarts, no entry is known.
  defp read(host, fun) do
    case Registries.lookup(Registries.names(), {host, __MODULE__}) do
      [{_pid, {table, _supervisors}}] when table != nil -> fun.(table)
      _absent -> []
    end
  rescue
    # The table ended with its process, between the two lines above.
    ArgumentError -> []
  end
end
