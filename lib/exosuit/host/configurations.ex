defmodule Exosuit.Host.Configurations do
  @moduledoc """
  Named configurations, which all hosts of a lattice share. Links, actors and providers refer to them by name.

  Each function blocks the calling process: on the lattice's store, and for `put/3` and `delete/2` also until this host
  has applied the change to its own links (`Exosuit.Host.Replica.write/4`). If the lattice cannot be reached, the
  functions return its error, and nothing is changed.

  Only links follow a change while they are in force. Actors and providers get a copy of the values when they are
  specified (`Exosuit.Host.Share`).

  A link that names several configurations has their merged values, and later names win. If one of the names is
  missing, the link is not in force, and the inventory shows it as refused with `:not_found`.
  """

  alias Exosuit.{Error, Event, Input, Instance, Lattice, Options, Router}
  alias Exosuit.Host.{Links, Replica}
  alias Exosuit.Lattice.{Ledger, Records}

  @doc """
  Stores a configuration under a name; links that name it use it from now on.

  Before the write, this host checks its own links that name the configuration with the new values. If one would be
  refused, nothing is changed, and its error is returned. Another host may still refuse the values: it then keeps the
  old ones, and emits `linkdef_set_failed`. An equal configuration emits no event.

  Returns `:invalid_input` for a name of another form. Raises `ArgumentError` unless the values are a map from strings
  to strings.
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

  @doc """
  The configuration that is stored under a name. Reads the lattice's store each time. `:not_found` if there is none.
  """
  @spec fetch(Instance.t(), String.t()) :: {:ok, Records.values()} | {:error, Error.t()}
  def fetch(instance, name) do
    with :ok <- check(name), do: Ledger.fetch_configuration(instance.lattice, name)
  end

  @doc """
  Deletes a configuration. Links that name it are then not in force. If there is none, returns `:ok` without an event.
  """
  @spec delete(Instance.t(), String.t()) :: :ok | {:error, Error.t()}
  def delete(instance, name) do
    with :ok <- check(name), {:ok, changed?} <- write(instance, name, nil) do
      if changed?,
        do: Lattice.announce(instance, %Event.ConfigDeleted{config_name: name}),
        else: :ok
    end
  end

  @doc """
  Merges the configurations of these names; later ones take precedence. `known` has configurations that need not be
  read. Returns the error of the first one that cannot be read.
  """
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
