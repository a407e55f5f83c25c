defmodule Exosuit.Host.Configurations do
  @moduledoc false
  # Configurations by name, which links and actors are given by these names: a host's own, or, in a
  # lattice of many, what all share. Nothing is done where it cannot be shared. Each function blocks
  # the calling process.

  alias Exosuit.{Config, Error, Input, Lattice, Router}
  alias Exosuit.Host.{Links, Replica}
  alias Exosuit.Lattice.{Ledger, Records}

  # Far more than people write, and nothing for a machine.
  @most 10_000

  @doc "An empty table, for a host that shares them with none. Written by whoever puts them."
  @spec table() :: :ets.tid()
  def table, do: :ets.new(:exosuit_configurations, [:set, :public, read_concurrency: true])

  @doc """
  Stores a configuration under a name; links that name it use it from now on. If this host would refuse one of
  these links, nothing is changed.
  """
  @spec put(Config.t(), String.t(), Records.values()) :: :ok | {:error, Error.t()}
  def put(config, name, values) do
    with :ok <- check(name),
         :ok <- check_links(config, name, values),
         {:ok, changed?} <- write(config, name, values) do
      if changed?, do: Lattice.announce(config, "config_set", %{config_name: name}), else: :ok
    end
  end

  @doc "The configuration of a name."
  @spec fetch(Config.t(), String.t()) :: {:ok, Records.values()} | {:error, Error.t()}
  def fetch(%Config{nats_lattice: nil} = config, name) do
    case :ets.lookup(config.tables.configurations, name) do
      [{_name, values}] -> {:ok, values}
      [] -> {:error, Error.new(:not_found, "there is no configuration #{inspect(name)}")}
    end
  end

  def fetch(config, name) do
    with :ok <- check(name), do: Ledger.fetch_configuration(config.session, name)
  end

  @doc "Deletes a configuration, if it exists. Links that name it are then not in force."
  @spec delete(Config.t(), String.t()) :: :ok | {:error, Error.t()}
  def delete(config, name) do
    with :ok <- check(name), {:ok, changed?} <- write(config, name, nil) do
      if changed?, do: Lattice.announce(config, "config_deleted", %{config_name: name}), else: :ok
    end
  end

  @doc "Merges configurations, later over earlier ones. Reads those in `known` from there."
  @spec merge(Config.t(), [String.t()], %{optional(String.t()) => Records.values()}) ::
          {:ok, Records.values()} | {:error, Error.t()}
  def merge(config, names, known \\ %{}) do
    Enum.reduce_while(names, {:ok, %{}}, fn name, {:ok, merged} ->
      case Map.fetch(known, name) |> or_fetch(config, name) do
        {:ok, values} -> {:cont, {:ok, Map.merge(merged, values)}}
        error -> {:halt, error}
      end
    end)
  end

  defp or_fetch({:ok, values}, _config, _name), do: {:ok, values}
  defp or_fetch(:error, config, name), do: fetch(config, name)

  defp check_links(config, name, values) do
    config
    |> Links.list()
    |> Enum.filter(&(name in (&1.source_configs ++ &1.target_configs)))
    |> Enum.find_value(:ok, fn link ->
      with {:error, error} <- check_link(config, link, %{name => values}),
           do: {:error, error},
           else: (:ok -> nil)
    end)
  end

  # Without one of its other configurations it is none, whatever this one says.
  defp check_link(config, link, known) do
    with {:ok, source} <- merged(config, link.source_configs, link.source_config, known),
         {:ok, target} <- merged(config, link.target_configs, link.target_config, known) do
      Router.check_link(config.router, %{link | source_config: source, target_config: target})
    else
      {:error, _missing} -> :ok
    end
  end

  defp merged(_config, [], values, _known), do: {:ok, values}
  defp merged(config, names, _values, known), do: merge(config, names, known)

  defp write(%Config{nats_lattice: nil} = config, name, values) do
    table = config.tables.configurations

    cond do
      fetch(config, name) == {:ok, values} ->
        {:ok, false}

      values == nil ->
        {:ok, :ets.take(table, name) != []}

      full?(table, name) ->
        {:error, Error.new(:limit, "there are #{@most} configurations already")}

      true ->
        write_here(config, name, values)
    end
  end

  defp write(config, name, nil) do
    with {:ok, written} <- Ledger.delete_configuration(config.session, name),
         do: taken(config, written, name)
  end

  defp write(config, name, values) do
    Lattice.Nats.await_first(config)

    with {:ok, written} <- Ledger.put_configuration(config.session, name, values),
         do: taken(config, written, name)
  end

  defp taken(config, written, name) do
    with :ok <- Replica.take(config, written, {:configuration, name}), do: {:ok, written != []}
  end

  defp write_here(config, name, values) do
    :ets.insert(config.tables.configurations, {name, values})
    # One that is refused may be taken with the new values; it stays wanted in any case.
    links = Enum.uniq(Links.list(config) ++ Links.refused(config))

    for link <- links, name in (link.source_configs ++ link.target_configs) do
      put_link(config, link)
    end

    {:ok, true}
  end

  # The router tells of a refusal itself; what was checked a moment ago is tried again. Another may keep
  # other values meanwhile: whoever puts the link last finds that out, and puts it once more.
  defp put_link(config, link) do
    link = configured(config, link)
    Links.put(config, link, :keep)
    if configured(config, link) != link, do: put_link(config, link)
  end

  defp configured(config, link) do
    {:ok, source} = merge_or(config, link.source_configs, link.source_config)
    {:ok, target} = merge_or(config, link.target_configs, link.target_config)
    %{link | source_config: source, target_config: target}
  end

  # One that another deletes meanwhile leaves the link what it was.
  defp merge_or(_config, [], values), do: {:ok, values}

  defp merge_or(config, names, values) do
    with {:error, _gone} <- merge(config, names), do: {:ok, values}
  end

  defp full?(table, name), do: :ets.info(table, :size) >= @most and not :ets.member(table, name)

  defp check(name), do: Input.check_name(:configuration, name)
end
