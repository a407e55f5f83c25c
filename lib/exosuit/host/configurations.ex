defmodule Exosuit.Host.Configurations do
  @moduledoc false
  # Named configurations, which all hosts of a lattice share. Links, actors and providers refer to them by name. If
  # the lattice cannot be reached, nothing is changed. Each function blocks the calling process.

  alias Exosuit.{Error, Event, Input, Instance, Lattice, Options, Router}
  alias Exosuit.Host.{Links, Replica}
  alias Exosuit.Lattice.{Ledger, Records}

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

  @doc "The configuration that is stored under a name."
  @spec fetch(Instance.t(), String.t()) :: {:ok, Records.values()} | {:error, Error.t()}
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

  @doc "Merges configurations; later ones take precedence. `known` has configurations that need not be read."
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

  # If another configuration of the link is missing, the link is not in force, so it need not be checked.
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

  # Returns whether anything changed.
  defp write(instance, name, values) do
    Lattice.await_first(instance)

    Replica.write(instance, {:configuration, name}, :keep, fn ->
      with {:ok, written} <- record(instance.lattice, name, values),
           do: {:ok, written, written != []}
    end)
  end

  defp record(session, name, nil), do: Ledger.delete_configuration(session, name)
  defp record(session, name, values), do: Ledger.put_configuration(session, name, values)

  defp check(name), do: Input.check_name(:configuration, name)
end
