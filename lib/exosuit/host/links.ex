defmodule Exosuit.Host.Links do
  @moduledoc false
  # The links of a host, pushed to the router, which checks them. One writer, this process; the
  # table belongs to the topmost supervisor. Blocks on the router while a listener is opened.
  #
  # The table never shows less than the router has: a link is written down before it is put there,
  # and struck out after it was deleted there. Should this process be killed in between, its
  # successor puts again what is written down.

  use GenServer

  alias Exosuit.{Config, Directory, Error, Router}
  alias Exosuit.Model.Link

  @type changes :: %{
          put: [Link.t()],
          deleted: [Link.t()],
          refused: [{Link.t(), Error.t()}]
        }

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

  @doc "Removes the links of a key; the next call through them is refused. Gives them."
  @spec delete(Config.t(), Link.key()) :: {:ok, [Link.t()]} | {:error, Error.t()}
  def delete(config, key), do: call(config, {:delete, key})

  @doc """
  Makes the links of a key these, no more and no fewer. Gives what changed, and what was refused: that
  is not there then, and the others are. Whose application a link is, which nobody shares, is taken
  from those that are there, and from `hint`.
  """
  @spec replace(Config.t(), Link.key(), [Link.t()], Link.t() | nil) :: changes()
  def replace(config, key, links, hint), do: call(config, {:replace, key, links, hint})

  @doc "That there is no link of this key."
  @spec absent(Link.key()) :: Error.t()
  def absent({source, contract, name}) do
    Error.new(:not_found, "there is no link from #{source} for #{contract} named #{name}")
  end

  @doc "The links of a key."
  @spec fetch(Config.t(), Link.key()) :: [Link.t()]
  def fetch(config, key), do: lookup(config.tables.links, key)

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
  def handle_call({:put, link}, _from, config), do: {:reply, put_here(config, link), config}

  def handle_call({:delete, key}, _from, config) do
    case lookup(config.tables.links, key) do
      [] ->
        {:reply, {:error, absent(key)}, config}

      links ->
        result = delete_here(config, key)
        {:reply, with(:ok <- result, do: {:ok, links}), config}
    end
  end

  def handle_call({:replace, key, wanted, hint}, _from, config) do
    before = lookup(config.tables.links, key)
    wanted = Enum.map(wanted, &with_app(&1, List.wrap(hint) ++ before))
    gone = Enum.reject(before, fn old -> Enum.any?(wanted, &follows?(&1, old)) end)
    # What stays goes with the rest of its key, and is made again.
    if gone != [], do: delete_here(config, key)
    there = lookup(config.tables.links, key)

    refused =
      for link <- wanted -- there, {:error, error} <- [put_here(config, link)], do: {link, error}

    put = lookup(config.tables.links, key) -- before
    {:reply, %{put: put, deleted: gone, refused: refused}, config}
  end

  defp put_here(config, link) do
    table = config.tables.links
    before = lookup(table, Link.key(link))
    write(table, Link.key(link), [link | Enum.reject(before, &Link.overlap?(&1, link))])
    result = Router.put_link(config.router, link)
    if result != :ok, do: write(table, Link.key(link), before)
    result
  end

  defp delete_here(config, key) do
    result = Router.delete_link(config.router, key)
    write(config.tables.links, key, [])
    result
  end

  defp with_app(%{app: nil} = link, known) do
    same = Enum.find(known, &({&1.target, &1.interfaces} == {link.target, link.interfaces}))
    %{link | app: same && same.app}
  end

  defp follows?(link, other), do: link.target == other.target and Link.overlap?(link, other)

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
end
