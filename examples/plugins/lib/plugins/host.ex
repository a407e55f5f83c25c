defmodule Plugins.Host do
  @moduledoc """
  The host that runs the plugins: who they are, what they may use, and how much of it.

  A plugin is an actor with two links: to a store of its own, and to the log. Customers do not sign what they upload, so
  the host allows unsigned actors, and no signed ones. The links of an unsigned actor are its only permissions.
  """

  alias Plugins.Uploads

  # Of one call of a plugin. JavaScript takes about 12 MB for its interpreter, Rust 1 MB.
  @memory 64 * 1024 * 1024
  @milliseconds 1_000

  # How long a removal waits at most for calls that run: longer than they may take.
  @drain 5 * @milliseconds

  # Of one plugin: calls at a time, calls that wait for one of those, and bytes in its store.
  @calls 4
  @waiting 100
  @store "16m"

  @spec child_spec(term()) :: Supervisor.child_spec()
  def child_spec(_argument),
    do: %{id: __MODULE__, start: {__MODULE__, :start_link, []}, type: :supervisor}

  @doc "Starts the host with the plugins that are uploaded now, also when its supervisor restarts it."
  @spec start_link() :: Supervisor.on_start()
  def start_link, do: Exosuit.start_link(options() ++ uploaded(Uploads.list()))

  @doc "Starts a plugin, or replaces its code: calls that run finish in the old code."
  @spec run(String.t(), Path.t()) :: :ok | {:error, Exosuit.Error.t()}
  def run(name, path) do
    case Exosuit.fetch_actor(__MODULE__, actor(name)) do
      # Unsigned code has no revisions to compare, so the update is forced.
      {:ok, _runs} -> Exosuit.update_actor(__MODULE__, actor(name), path, force: true)
      {:error, _absent} -> start(name, path)
    end
  end

  @doc "Stops a plugin, and deletes its store. Calls that run finish first. Does nothing if there is no such plugin."
  @spec delete(String.t()) :: :ok | {:error, Exosuit.Error.t()}
  def delete(name) do
    with :ok <- stop(actor(name)),
         :ok <- each(links(name), &absent(Exosuit.delete_link(__MODULE__, key(&1)))),
         :ok <- absent(Exosuit.stop_provider(__MODULE__, store(name))) do
      _ = File.rm(Path.join([Uploads.data_dir(), "keyvalue", store(name) <> ".redb"]))
      :ok
    end
  end

  @doc "The id of a plugin's actor."
  @spec actor(String.t()) :: String.t()
  def actor(name), do: "plugin-" <> name

  @doc "The names of the plugins on the host, each with its status: `:running`, or why not."
  @spec list() :: [{String.t(), atom()}]
  def list do
    for %{id: "plugin-" <> name, status: status} <- Exosuit.inventory(__MODULE__).actors,
        do: {name, status}
  end

  defp options do
    [
      name: __MODULE__,
      data_dir: Uploads.data_dir(),
      trusted_issuers: [],
      unsigned: :allow,
      links: :strict
    ]
  end

  defp uploaded(plugins) do
    names = for {name, _path} <- plugins, do: name

    [
      start_providers: [Plugins.LogProvider | Enum.map(names, &store_provider/1)],
      put_links: Enum.flat_map(names, &links/1),
      actors: for({name, path} <- plugins, do: {path, actor_options(name)})
    ]
  end

  defp start(name, path) do
    {provider, options} = store_provider(name)

    with {:ok, _id} <- Exosuit.start_provider(__MODULE__, provider, options),
         :ok <- each(links(name), &Exosuit.put_link(__MODULE__, &1)),
         {:ok, _id} <- Exosuit.start_actor(__MODULE__, path, actor_options(name)),
         do: :ok
  end

  defp actor_options(name) do
    [
      id: actor(name),
      instances: @calls,
      queue: @waiting,
      memory_limit: @memory,
      deadline: @milliseconds
    ]
  end

  # A provider for each plugin, so that its data is a file of its own.
  defp store_provider(name), do: {"keyvalue", id: store(name), config: %{"max_bytes" => @store}}

  defp store(name), do: "store-" <> name

  defp links(name) do
    [
      [source: actor(name), target: store(name), contract: "wasi:keyvalue"],
      [source: actor(name), target: "log_provider", contract: "shop:plugins", interfaces: ["log"]]
    ]
  end

  defp key(link), do: Keyword.take(link, [:source, :contract])

  # Does all, and returns the first error.
  defp each(items, fun), do: items |> Enum.map(fun) |> Enum.find(:ok, &(&1 != :ok))

  # The process of an actor ends with its last call.
  defp stop(actor) do
    case Exosuit.whereis(__MODULE__, actor) do
      nil -> absent(Exosuit.stop_actor(__MODULE__, actor))
      process -> stop(actor, Process.monitor(process))
    end
  end

  defp stop(actor, monitor) do
    with :ok <- absent(Exosuit.stop_actor(__MODULE__, actor)) do
      receive do
        {:DOWN, ^monitor, :process, _process, _reason} -> :ok
      after
        @drain -> :ok
      end
    end
  after
    Process.demonitor(monitor, [:flush])
  end

  defp absent({:error, %Exosuit.Error{reason: :not_found}}), do: :ok
  defp absent(result), do: result
end
