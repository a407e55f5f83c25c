defmodule Exosuit.Host.Links do
  @moduledoc false
  # The links of a host, pushed to the router, which checks them. One writer, this process; the
  # table belongs to the topmost supervisor. Blocks on the router while a listener is opened.
  #
  # The table never shows less than the router has: a link is written down before it is put there,
  # and struck out after it was deleted there. Should this process be killed in between, its
  # successor puts again what is written down.

  use GenServer

  alias Exosuit.{Config, Directory, Error, Lattice, Router}
  alias Exosuit.Model.Link

  # Longer than the router may take to open a socket or a store.
  @timeout 60_000

  @spec start_link(Config.t()) :: GenServer.on_start()
  def start_link(config) do
    GenServer.start_link(__MODULE__, config, name: Directory.via(config.name, __MODULE__))
  end

  @doc "An empty table. Public, as its owner is not its writer, who may be restarted."
  @spec table() :: :ets.tid()
  def table, do: :ets.new(:exosuit_links, [:set, :public, read_concurrency: true])

  @doc "Makes a link, in the place of those of its key that it overlaps."
  @spec put(Config.t(), Link.t()) :: :ok | {:error, Error.t()}
  def put(config, link), do: call(config, {:put, link})

  @doc "Removes the links of a key; the next call through them is refused."
  @spec delete(Config.t(), Link.key()) :: :ok | {:error, Error.t()}
  def delete(config, key), do: call(config, {:delete, key})

  @doc "All links."
  @spec list(Config.t()) :: [Link.t()]
  def list(config) do
    Enum.concat(for [links] <- :ets.match(config.tables.links, {:_, :"$1"}), do: links)
  end

  @impl GenServer
  def init(config), do: {:ok, config, {:continue, :put_again}}

  @impl GenServer
  def handle_continue(:put_again, config) do
    # The router tells of a refusal itself.
    Enum.each(list(config), &Router.put_link(config.router, &1))
    {:noreply, config}
  end

  @impl GenServer
  def handle_call({:put, link}, _from, config) do
    table = config.tables.links
    before = lookup(table, Link.key(link))
    write(table, Link.key(link), [link | Enum.reject(before, &Link.overlap?(&1, link))])
    result = Router.put_link(config.router, link)
    if result != :ok, do: write(table, Link.key(link), before)
    announce_put(config, link, result)
    {:reply, result, config}
  end

  def handle_call({:delete, key}, _from, config) do
    case lookup(config.tables.links, key) do
      [] ->
        {:reply, {:error, Error.new(:not_found, "there is no link #{describe(key)}")}, config}

      links ->
        result = Router.delete_link(config.router, key)
        write(config.tables.links, key, [])
        for link <- links, do: Lattice.announce(config, "linkdef_deleted", Link.public(link))
        {:reply, result, config}
    end
  end

  defp lookup(table, key) do
    case :ets.lookup(table, key) do
      [{_key, links}] -> links
      [] -> []
    end
  end

  defp write(table, key, []), do: :ets.delete(table, key)
  defp write(table, key, links), do: :ets.insert(table, {key, links})

  defp call(config, request) do
    GenServer.call(Directory.via(config.name, __MODULE__), request, @timeout)
  end

  defp announce_put(config, link, :ok) do
    Lattice.announce(config, "linkdef_set", Link.public(link))
  end

  # The router tells of it itself, as it does where a link is refused later.
  defp announce_put(_config, _link, {:error, _error}), do: :ok

  defp describe({source, contract, name}), do: "from #{source} for #{contract} named #{name}"
end
