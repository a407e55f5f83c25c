defmodule Exosuit.Host.Configurations do
  @moduledoc false
  # Configurations by name, which links and actors are given by these names: a host's own, or, in a
  # lattice of many, what all share. Nothing is done where it cannot be shared. Each function blocks
  # the calling process.

  alias Exosuit.{Error, Event, Input, Instance, Lattice, Options, Router}
  alias Exosuit.Host.{Links, Replica}
  alias Exosuit.Lattice.{Ledger, Records}

  # Far more than people write, and nothing for a machine.
  @most 10_000

  @doc "An empty table, for a host that shares them with none. Written by whoever puts them."
  @spec table() :: :ets.table()
  def table, do: :ets.new(:exosuit_configurations, [:set, :public, read_concurrency: true])

  @doc """
  Stores a configuration under a name; links that name it use it from now on. If this host would refuse one of
  these links, nothing is changed. Raises `ArgumentError` unless the values are a map from strings to strings.
  """
  @spec put(Instance.t(), String.t(), Records.values()) :: :ok | {:error, Error.t()}
  def put(instance, name, values) do
    values = Options.argument!(values, "the configuration", :string_map)

    with :ok <- check(name),
         :ok <- check_links(instance, name, values),
         {:ok, changed?} <- write(instance, name, values) do
      if changed?, do: Lattice.announce(instance, %Event.ConfigSet{config_name: name}), else: :ok
    end
  end

  @doc "The configuration of a name."
  @spec fetch(Instance.t(), String.t()) :: {:ok, Records.values()} | {:error, Error.t()}
  def fetch(%Instance{nats_lattice: nil} = instance, name) do
    case :ets.lookup(instance.tables.configurations, name) do
      [{_name, values}] -> {:ok, values}
      [] -> {:error, Error.new(:not_found, "there is no configuration #{inspect(name)}")}
    end
  end

  def fetch(instance, name) do
    with :ok <- check(name), do: Ledger.fetch_configuration(instance.lattice, name)
  end

  @doc "Deletes a configuration, if it exists. Links that name it are then not in force."
  @spec delete(Instance.t(), String.t()) :: :ok | {:error, Error.t()}
  def delete(instance, name) do
    with :ok <- check(name), {:ok, changed?} <- write(instance, name, nil) do
      if changed?,
        do: Lattice.announce(instance, %Event.ConfigDeleted{config_name: name}),
        else: :ok
    end
  end

  @doc "Merges configurations, later over earlier ones. Reads those in `known` from there."
  @spec merge(Instance.t(), [String.t()], %{optional(String.t()) => Records.values()}) ::
          {:ok, Records.values()} | {:error, Error.t()}
  def merge(instance, names, known \\ %{}) do
    Enum.reduce_while(names, {:ok, %{}}, fn name, {:ok, merged} ->
      case Map.fetch(known, name) |> or_fetch(instance, name) do
        {:ok, values} -> {:cont, {:ok, Map.merge(merged, values)}}
        error -> {:halt, error}
      end
    end)
  end

  defp or_fetch({:ok, values}, _instance, _name), do: {:ok, values}
  defp or_fetch(:error, instance, name), do: fetch(instance, name)

  defp check_links(instance, name, values) do
    instance
    |> Links.list()
    |> Enum.filter(&(name in (&1.source_configs ++ &1.target_configs)))
    |> Enum.find_value(:ok, fn link ->
      with {:error, error} <- check_link(instance, link, %{name => values}),
           do: {:error, error},
           else: (:ok -> nil)
    end)
  end

  # Without one of its other configurations it is none, whatever this one says.
  defp check_link(instance, link, known) do
    with {:ok, source} <- merged(instance, link.source_configs, link.source_config, known),
         {:ok, target} <- merged(instance, link.target_configs, link.target_config, known) do
      Router.check_link(instance.router, %{link | source_config: source, target_config: target})
    else
      {:error, _missing} -> :ok
    end
  end

  defp merged(_instance, [], values, _known), do: {:ok, values}
  defp merged(instance, names, _values, known), do: merge(instance, names, known)

  defp write(%Instance{nats_lattice: nil} = instance, name, values) do
    table = instance.tables.configurations

    cond do
      fetch(instance, name) == {:ok, values} ->
        {:ok, false}

      values == nil ->
        {:ok, :ets.take(table, name) != []}

      full?(table, name) ->
        {:error, Error.new(:limit, "there are #{@most} configurations already")}

      true ->
        write_here(instance, name, values)
    end
  end

  defp write(instance, name, nil) do
    with {:ok, written} <- Ledger.delete_configuration(instance.lattice, name),
         do: taken(instance, written, name)
  end

  defp write(instance, name, values) do
    Lattice.Nats.await_first(instance)

    with {:ok, written} <- Ledger.put_configuration(instance.lattice, name, values),
         do: taken(instance, written, name)
  end

  defp taken(instance, written, name) do
    with :ok <- Replica.take(instance, written, {:configuration, name}), do: {:ok, written != []}
  end

  defp write_here(instance, name, values) do
    :ets.insert(instance.tables.configurations, {name, values})
    # One that is refused may be taken with the new values; it stays wanted in any case.
    links = Enum.uniq(Links.list(instance) ++ Links.refused(instance))

    for link <- links, name in (link.source_configs ++ link.target_configs) do
      put_link(instance, link)
    end

    {:ok, true}
  end

  # The router tells of a refusal itself; what was checked a moment ago is tried again. Another may keep
  # other values meanwhile: whoever puts the link last finds that out, and puts it once more.
  defp put_link(instance, link) do
    link = configured(instance, link)
    Links.put(instance, link, :keep)
    if configured(instance, link) != link, do: put_link(instance, link)
  end

  defp configured(instance, link) do
    {:ok, source} = merge_or(instance, link.source_configs, link.source_config)
    {:ok, target} = merge_or(instance, link.target_configs, link.target_config)
    %{link | source_config: source, target_config: target}
  end

  # One that another deletes meanwhile leaves the link what it was.
  defp merge_or(_instance, [], values), do: {:ok, values}

  defp merge_or(instance, names, values) do
    with {:error, _gone} <- merge(instance, names), do: {:ok, values}
  end

  defp full?(table, name), do: :ets.info(table, :size) >= @most and not :ets.member(table, name)

  defp check(name), do: Input.check_name(:configuration, name)
end
