defmodule Exosuit.Lattice.Peers do
  @moduledoc """
  The other hosts of a lattice, known by their heartbeats: a table that all processes read.

  `Exosuit.Edge.PeerMonitor` is its only writer. Apart from the table, the functions are pure: the writer passes the
  time, in milliseconds of the monotonic clock.

  Anybody on the bus can announce hosts. Therefore the table is bounded: 16 384 hosts, 32 MiB together, and 16 KiB for
  each host. A host whose labels make it too large is kept without its labels. When the table is full, known hosts
  stay and are still updated, and new ones are not added, so that a flood of invented hosts does not push out real ones.

  | row | |
  |---|---|
  | `{host_id, kind, macs?, bytes, peer}` | a host, with the size of `peer` in the external term format |
  | `{:bytes, total}` | the sum of these sizes |

  `kind` is `:own` for an Exosuit host, which names the interval of its heartbeats, and else `:other`.
  """

  alias Exosuit.Instance
  alias Exosuit.Protocol.Events

  @typedoc """
  A host as its last heartbeat described it. Fields that no heartbeat has named are `nil`.

  - `seen`: when the last heartbeat came
  - `interval`: the milliseconds between its heartbeats
  - `mac`: 1 if it accepts calls that are authenticated by a MAC
  """
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

  # More hosts than lattices have. Above this number, new hosts are ignored.
  @max_hosts 16_384

  # The bytes of all hosts together, and of each host: 16 384 hosts with ten labels take a quarter of it.
  @max_bytes 33_554_432
  @max_bytes_each 16_384

  # The interval of hosts whose heartbeats do not name one.
  @usual_interval 30_000

  # The key of the row with the bytes of all hosts; rows of hosts have another length.
  @bytes :bytes

  @doc "An empty table. It is public because its owner is not its writer, which may be restarted."
  @spec table() :: :ets.table()
  def table do
    table = :ets.new(:exosuit_peers, [:set, :public, read_concurrency: true])
    true = :ets.insert(table, {@bytes, 0})
    table
  end

  @doc "The maximum number of hosts in the table."
  @spec max() :: pos_integer()
  def max, do: @max_hosts

  @doc "The maximum number of bytes of all hosts together."
  @spec max_bytes() :: pos_integer()
  def max_bytes, do: @max_bytes

  @doc "The number of bytes of all hosts together."
  @spec bytes(Instance.t()) :: non_neg_integer()
  def bytes(instance), do: :ets.lookup_element(instance.tables.peers, @bytes, 2)

  @doc """
  Stores the heartbeat of a host. Fields that the heartbeat does not have keep their values. Returns `:full` if there is
  no room: a new host is then not added, and a known one keeps its earlier facts with the new time.
  """
  @spec hear(Instance.t(), String.t(), Events.heartbeat(), integer()) :: :ok | :full
  def hear(instance, host_id, heartbeat, now) do
    table = instance.tables.peers

    case :ets.lookup(table, host_id) do
      [{_id, _kind, _macs?, size, known}] ->
        note(table, Map.merge(known, heartbeat), size, known, now)

      [] ->
        # One row of the table counts the bytes.
        if :ets.info(table, :size) <= @max_hosts,
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

  @doc "All known hosts."
  @spec list(Instance.t()) :: [peer()]
  def list(instance),
    do: :ets.select(instance.tables.peers, [{{:_, :_, :_, :_, :"$1"}, [], [:"$1"]}])

  @doc "A known host, or `nil`."
  @spec get(Instance.t(), String.t()) :: peer() | nil
  def get(instance, host_id) do
    case :ets.lookup(instance.tables.peers, host_id) do
      [{_id, _kind, _macs?, _size, peer}] -> peer
      [] -> nil
    end
  end

  @doc "Whether the heartbeat of any host says that it accepts calls with a MAC."
  @spec macs?(Instance.t()) :: boolean()
  def macs?(instance) do
    match = [{{:_, :_, true, :_, :_}, [], [true]}]
    :ets.select(instance.tables.peers, match, 1) != :"$end_of_table"
  end

  @doc """
  The hosts that have missed two heartbeats: two and a half intervals have passed. The interval of hosts that name none
  is 30 s.
  """
  @spec overdue(Instance.t(), integer()) :: [peer()]
  def overdue(instance, now) do
    Enum.filter(list(instance), fn peer ->
      interval = peer.interval || @usual_interval
      now - peer.seen > 2 * interval + div(interval, 2)
    end)
  end

  @doc """
  Whether this host has the lowest id of all Exosuit hosts: it does the work that one of them must do. Two hosts may
  both be first while they have not heard of each other, so the work must be harmless if it is done twice.
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
      size > @max_bytes_each -> note(table, %{peer | labels: %{}}, before, known, now)
      total <= @max_bytes -> insert(table, peer, size, total, now)
      known -> keep(table, known, before, total - size + before, now)
      true -> :full
    end
  end

  defp keep(table, known, size, total, now) do
    :ok = insert(table, known, size, total, now)
    :full
  end

  defp insert(table, peer, size, total, now) do
    # The heartbeats of other kinds of hosts name no interval.
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
