defmodule Exosuit.Lattice.Peers do
  @moduledoc false
  # The other hosts of a lattice, as far as they are heard of: a table with one writer, read by all.
  # Pure but for the table: whoever writes says what time it is.
  #
  # Anybody on the bus can announce hosts. Therefore the table is bounded in number and bytes, and so is each
  # host. When it is full, known hosts stay and are still updated, and new ones are not added.

  alias Exosuit.Instance
  alias Exosuit.Protocol.Events

  @type peer :: %{
          host_id: String.t(),
          friendly_name: String.t() | nil,
          labels: map(),
          version: String.t() | nil,
          uptime_seconds: non_neg_integer() | nil,
          actors: non_neg_integer() | nil,
          providers: non_neg_integer() | nil,
          seen: integer(),
          interval: pos_integer() | nil,
          mac: 1 | nil
        }

  # More than lattices have: past it, no further ones are kept in mind.
  @most 16_384

  # What they may take together, and each of them: 16 384 hosts with ten labels take a quarter of it.
  @most_bytes 33_554_432
  @most_bytes_each 16_384

  # What hosts that do not say so keep to.
  @usual_interval 30_000

  # Where the bytes of all are counted; rows of hosts have another length.
  @bytes :bytes

  @doc "An empty table. Public, as its owner is not its writer, who may be restarted."
  @spec table() :: :ets.table()
  def table do
    table = :ets.new(:exosuit_peers, [:set, :public, read_concurrency: true])
    true = :ets.insert(table, {@bytes, 0})
    table
  end

  @doc "How many are kept in mind at the most."
  @spec most() :: pos_integer()
  def most, do: @most

  @doc "How many bytes they may take together."
  @spec most_bytes() :: pos_integer()
  def most_bytes, do: @most_bytes

  @doc "How many bytes they take together."
  @spec bytes(Instance.t()) :: non_neg_integer()
  def bytes(instance), do: :ets.lookup_element(instance.tables.peers, @bytes, 2)

  @doc "Notes what a host said of itself, now; `:full` where there was no room for that."
  @spec hear(Instance.t(), String.t(), Events.heartbeat(), integer()) :: :ok | :full
  def hear(instance, host_id, heartbeat, now) do
    table = instance.tables.peers

    case :ets.lookup(table, host_id) do
      [{_id, _kind, _macs?, size, known}] ->
        note(table, Map.merge(known, heartbeat), size, known, now)

      [] ->
        # One row counts the bytes.
        if :ets.info(table, :size) <= @most,
          do: note(table, Map.merge(new(host_id), heartbeat), 0, nil, now),
          else: :full
    end
  end

  @doc "Forgets a host."
  @spec forget(Instance.t(), String.t()) :: :ok
  def forget(instance, host_id) do
    table = instance.tables.peers

    for {_id, _kind, _macs?, size, _peer} <- :ets.take(table, host_id),
        do: :ets.update_counter(table, @bytes, -size)

    :ok
  end

  @doc "All of them."
  @spec list(Instance.t()) :: [peer()]
  def list(instance),
    do: :ets.select(instance.tables.peers, [{{:_, :_, :_, :_, :"$1"}, [], [:"$1"]}])

  @doc "What is known of a host, or `nil`."
  @spec get(Instance.t(), String.t()) :: peer() | nil
  def get(instance, host_id) do
    case :ets.lookup(instance.tables.peers, host_id) do
      [{_id, _kind, _macs?, _size, peer}] -> peer
      [] -> nil
    end
  end

  @doc "Whether any of them takes calls with a MAC, as far as they say."
  @spec macs?(Instance.t()) :: boolean()
  def macs?(instance) do
    match = [{{:_, :_, true, :_, :_}, [], [true]}]
    :ets.select(instance.tables.peers, match, 1) != :"$end_of_table"
  end

  @doc "Those that have missed two heartbeats."
  @spec overdue(Instance.t(), integer()) :: [peer()]
  def overdue(instance, now) do
    Enum.filter(list(instance), fn peer ->
      interval = peer.interval || @usual_interval
      now - peer.seen > 2 * interval + div(interval, 2)
    end)
  end

  @doc """
  Whether this host is the first by its id of those that are made as it is: it does what one of them
  has to do.
  """
  @spec first?(Instance.t()) :: boolean()
  def first?(instance) do
    match = [{{:"$1", :own, :_, :_, :_}, [{:<, :"$1", instance.source}], [true]}]
    :ets.select(instance.tables.peers, match, 1) == :"$end_of_table"
  end

  defp note(table, peer, before, known, now) do
    size = :erlang.external_size(peer)
    total = :ets.lookup_element(table, @bytes, 2) - before + size

    cond do
      size > @most_bytes_each -> note(table, %{peer | labels: %{}}, before, known, now)
      total <= @most_bytes -> insert(table, peer, size, total, now)
      known -> keep(table, known, before, total - size + before, now)
      true -> :full
    end
  end

  defp keep(table, known, size, total, now) do
    :ok = insert(table, known, size, total, now)
    :full
  end

  defp insert(table, peer, size, total, now) do
    # Others say nothing of how often they are heard.
    kind = if peer.interval, do: :own, else: :other
    row = {peer.host_id, kind, peer.mac == 1, size, %{peer | seen: now}}
    true = :ets.insert(table, [row, {@bytes, total}])
    :ok
  end

  defp new(host_id) do
    %{
      host_id: host_id,
      friendly_name: nil,
      labels: %{},
      version: nil,
      uptime_seconds: nil,
      actors: nil,
      providers: nil,
      seen: 0,
      interval: nil,
      mac: nil
    }
  end
end
