defmodule Exosuit.Lattice.Peers do
  @moduledoc false
  # The other hosts of a lattice, as far as they are heard of: a table with one writer, read by all.
  # Pure but for the table: whoever writes says what time it is.

  alias Exosuit.Config

  @type peer :: %{
          host_id: String.t(),
          friendly_name: String.t() | nil,
          labels: map(),
          version: String.t() | nil,
          uptime_seconds: non_neg_integer() | nil,
          actors: non_neg_integer() | nil,
          providers: non_neg_integer() | nil,
          seen: integer(),
          interval: pos_integer() | nil
        }

  # More than lattices have: past it, no further ones are kept in mind.
  @most 16_384

  # What hosts that do not say so keep to.
  @usual_interval 30_000

  # Of a label, a name, a version; what is longer is not worth its memory.
  @longest 1_024
  @most_labels 64

  @doc "An empty table. Public, as its owner is not its writer, who may be restarted."
  @spec table() :: :ets.tid()
  def table, do: :ets.new(:exosuit_peers, [:set, :public, read_concurrency: true])

  @doc "How many are kept in mind at the most."
  @spec most() :: pos_integer()
  def most, do: @most

  @doc "Notes what a host said of itself, now."
  @spec hear(Config.t(), String.t(), map(), integer()) :: :ok | :full
  def hear(config, host_id, data, now) do
    table = config.tables.peers

    case :ets.lookup(table, host_id) do
      [{_id, _kind, known}] ->
        note(table, Map.merge(known, read(data)), now)

      [] ->
        if :ets.info(table, :size) < @most, do: note(table, new(host_id, data), now), else: :full
    end
  end

  @doc "Forgets a host."
  @spec forget(Config.t(), String.t()) :: :ok
  def forget(config, host_id) do
    :ets.delete(config.tables.peers, host_id)
    :ok
  end

  @doc "All of them."
  @spec list(Config.t()) :: [peer()]
  def list(config), do: for({_id, _kind, peer} <- :ets.tab2list(config.tables.peers), do: peer)

  @doc "Those that have missed two heartbeats."
  @spec overdue(Config.t(), integer()) :: [peer()]
  def overdue(config, now) do
    Enum.filter(list(config), fn peer ->
      interval = peer.interval || @usual_interval
      now - peer.seen > 2 * interval + div(interval, 2)
    end)
  end

  @doc """
  Whether this host is the first by its id of those that are made as it is: it does what one of them
  has to do.
  """
  @spec first?(Config.t()) :: boolean()
  def first?(config) do
    match = [{{:"$1", :own, :_}, [{:<, :"$1", config.source}], [true]}]
    :ets.select(config.tables.peers, match, 1) == :"$end_of_table"
  end

  defp note(table, peer, now) do
    # Others say nothing of how often they are heard.
    kind = if peer.interval, do: :own, else: :other
    :ets.insert(table, {peer.host_id, kind, %{peer | seen: now}})
    :ok
  end

  defp new(host_id, data) do
    Map.merge(
      %{
        host_id: host_id,
        friendly_name: nil,
        labels: %{},
        version: nil,
        uptime_seconds: nil,
        actors: nil,
        providers: nil,
        seen: 0,
        interval: nil
      },
      read(data)
    )
  end

  # Of what it says, what is of the right kind.
  defp read(data) do
    %{
      friendly_name: text(data["friendly_name"]),
      version: text(data["version"]),
      labels: labels(data["labels"]),
      uptime_seconds: number(data["uptime_seconds"]),
      actors: count(data["actors"] || data["components"]),
      providers: count(data["providers"]),
      interval: interval(data["heartbeat_interval_ms"])
    }
    |> Map.reject(fn {_key, value} -> is_nil(value) end)
  end

  # Copied: as part of what was decoded it would keep all of that.
  defp text(text) when is_binary(text) and byte_size(text) <= @longest, do: :binary.copy(text)
  defp text(_other), do: nil

  defp labels(%{} = labels) when map_size(labels) <= @most_labels do
    for {key, value} <- labels, key = text(key), value = text(value), into: %{}, do: {key, value}
  end

  defp labels(_other), do: nil

  defp number(number) when is_integer(number) and number >= 0, do: number
  defp number(_other), do: nil

  defp count(list) when is_list(list), do: length(list)
  defp count(%{} = map), do: map_size(map)
  defp count(_other), do: nil

  # A host that is asked to be waited for half a day is not waited for.
  defp interval(interval) when is_integer(interval) and interval in 1..600_000, do: interval
  defp interval(_other), do: nil
end
