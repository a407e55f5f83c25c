defmodule Exosuit.Settings do
  @moduledoc """
  The settings that may change while a host runs: its labels, its credentials for registries, and whether it is
  stopping.

  Each is a row of a table that the topmost supervisor owns, so that no process is needed for reads and writes. A
  restart of the host begins again with the labels of its options.

  | row | written by |
  |---|---|
  | `{{:label, key}, value}` | `Exosuit.Host.Labels`, which announces the change |
  | `{{:registry, server}, credentials}` | commands of the lattice; nothing returns them to people |
  | `{{:host, :stopping}, true}` | `Exosuit.Drain`: no commands from now on |
  | `{{:host, :leaving}, true}` | `Exosuit.Drain`: no heartbeats from now on |

  There are 1 000 rows at most, with names of 256 bytes at most. All labels together have 8 KiB
  (`Exosuit.Model.Labels`), because the host's beat has them. Two writers at the same time may exceed these bounds by
  one row.
  """

  alias Exosuit.{Config, Error, Instance}
  alias Exosuit.Model.Labels

  # Far above real use, and little memory.
  @max_entries 1_000
  @longest_key 256

  # The prefix of the labels of the machine, which decide placements. They cannot be changed.
  @reserved "hostcore."

  @doc "A table with the host's first labels. It is public because its owner is not its writer."
  @spec table(Config.t()) :: :ets.tid()
  def table(config) do
    table = :ets.new(:exosuit_settings, [:set, :public, read_concurrency: true])
    :ets.insert(table, for({key, value} <- config.labels, do: {{:label, key}, value}))
    table
  end

  @doc "The labels of the host, as they are now."
  @spec labels(Instance.t()) :: %{optional(String.t()) => String.t()}
  def labels(instance), do: all(instance, :label)

  @doc """
  Sets a label. `:denied` for labels of `hostcore.*`, `:invalid_input` for other than UTF-8, and `:limit` if there is no
  room.
  """
  @spec put_label(Instance.t(), String.t(), String.t()) :: :ok | {:error, Error.t()}
  def put_label(instance, key, value) do
    with :ok <- check_label(key),
         :ok <- check_text(key, "the name of a label"),
         :ok <- check_text(value, "the value of label #{inspect(key)}"),
         :ok <- check_room(instance, key, value),
         do: put(instance, {:label, key}, value)
  end

  @doc "Removes a label, if it is there."
  @spec delete_label(Instance.t(), String.t()) :: :ok | {:error, Error.t()}
  def delete_label(instance, key) do
    with :ok <- check_label(key), do: delete(instance, {:label, key})
  end

  @doc "Notes that the host is being stopped: it accepts no commands from then on."
  @spec stop(Instance.t()) :: :ok
  def stop(instance) do
    write(instance.tables.settings, {:host, :stopping}, true)
  end

  @doc "Notes that the host is about to announce its end: it sends no heartbeat from then on."
  @spec leave(Instance.t()) :: :ok
  def leave(instance), do: write(instance.tables.settings, {:host, :leaving}, true)

  @doc "Whether the host sends no heartbeats any more."
  @spec leaving?(Instance.t()) :: boolean()
  def leaving?(instance), do: :ets.member(instance.tables.settings, {:host, :leaving})

  @doc "Whether the host is being stopped."
  @spec stopping?(Instance.t()) :: boolean()
  def stopping?(instance), do: :ets.member(instance.tables.settings, {:host, :stopping})

  @doc """
  Stores the credentials for these registries. No function for people returns them. `:limit` if there is no room: those
  before it are stored then.
  """
  @spec put_registries(Instance.t(), %{String.t() => struct()}) :: :ok | {:error, Error.t()}
  def put_registries(instance, registries) do
    Enum.reduce_while(registries, :ok, fn {server, credentials}, :ok ->
      case put(instance, {:registry, server}, credentials) do
        :ok -> {:cont, :ok}
        error -> {:halt, error}
      end
    end)
  end

  defp check_label(@reserved <> _rest = key) do
    {:error, Error.new(:denied, "labels of #{@reserved}* are the host's own: #{inspect(key)}")}
  end

  defp check_label(_key), do: :ok

  # Labels are sent as JSON, so they must be text.
  defp check_text(text, what) do
    if is_binary(text) and String.valid?(text),
      do: :ok,
      else: {:error, Error.new(:invalid_input, "expected #{what} to be a text in UTF-8")}
  end

  # The host's beat has all its labels, every two seconds.
  defp check_room(instance, key, value) do
    with {:error, detail} <- instance |> labels() |> Map.put(key, value) |> Labels.check(),
         do: refuse(detail)
  end

  defp all(instance, kind) do
    Map.new(
      :ets.select(instance.tables.settings, [{{{kind, :"$1"}, :"$2"}, [], [{{:"$1", :"$2"}}]}])
    )
  end

  defp put(instance, {_kind, name} = key, value) do
    cond do
      byte_size(name) > @longest_key -> refuse("a name has more than #{@longest_key} bytes")
      full?(instance.tables.settings, key) -> refuse("there are #{@max_entries} of them already")
      true -> write(instance.tables.settings, key, value)
    end
  end

  defp full?(table, key),
    do: :ets.info(table, :size) >= @max_entries and not :ets.member(table, key)

  defp write(table, key, value) do
    true = :ets.insert(table, {key, value})
    :ok
  end

  defp delete(instance, key) do
    true = :ets.delete(instance.tables.settings, key)
    :ok
  end

  defp refuse(detail), do: {:error, Error.new(:limit, detail)}
end
