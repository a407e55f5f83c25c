defmodule Exosuit.Host.Links do
  @moduledoc false
  # The links of a host, pushed to the router, which checks them. One writer, this process; the
  # table belongs to the host's supervisor. Blocks on the router while a listener is opened.

  use GenServer

  alias Exosuit.{Config, Directory, Error, Lattice, Router}
  alias Exosuit.Model.Link

  # Longer than the router may take to open a socket or a store.
  @timeout 60_000

  @spec start_link(Config.t()) :: GenServer.on_start()
  def start_link(config) do
    GenServer.start_link(__MODULE__, config, name: Directory.via(config.name, __MODULE__))
  end

  @doc "Makes a link, or changes its configuration."
  @spec put(Config.t(), Link.t()) :: :ok | {:error, Error.t()}
  def put(config, link), do: call(config, {:put, link})

  @doc "Removes a link; the next call through it is refused."
  @spec delete(Config.t(), Link.key()) :: :ok | {:error, Error.t()}
  def delete(config, key), do: call(config, {:delete, key})

  @doc "All links."
  @spec list(Config.t()) :: [Link.t()]
  def list(config), do: for([link] <- :ets.match(config.tables.links, {:_, :"$1"}), do: link)

  @impl GenServer
  def init(config), do: {:ok, config}

  @impl GenServer
  def handle_call({:put, link}, _from, config) do
    result = Router.put_link(config.router, link)
    if result == :ok, do: :ets.insert(config.tables.links, {Link.key(link), link})
    announce_put(config, link, result)
    {:reply, result, config}
  end

  def handle_call({:delete, key}, _from, config) do
    case :ets.take(config.tables.links, key) do
      [{_key, link}] ->
        result = Router.delete_link(config.router, key)
        Lattice.announce(config, "linkdef_deleted", Link.public(link))
        {:reply, result, config}

      [] ->
        {:reply, {:error, Error.new(:not_found, "there is no link #{describe(key)}")}, config}
    end
  end

  defp call(config, request) do
    GenServer.call(Directory.via(config.name, __MODULE__), request, @timeout)
  end

  defp announce_put(config, link, :ok) do
    Lattice.announce(config, "linkdef_set", Link.public(link))
  end

  defp announce_put(config, link, {:error, error}) do
    failure = %{reason: error.reason, error: Exception.message(error)}
    Lattice.announce(config, "linkdef_set_failed", Map.merge(Link.public(link), failure))
  end

  defp describe({source, contract, name}), do: "from #{source} for #{contract} named #{name}"
end
