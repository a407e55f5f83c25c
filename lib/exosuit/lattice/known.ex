defmodule Exosuit.Lattice.Known do
  @moduledoc """
  The table of the claims of a lattice's actors and providers.

  `Exosuit.Host.Replica` is its only writer, and the inventory reads it. `Exosuit.Protocol.Otp.Claims` decodes the
  records that hosts write for each other. For the actors that run here, the inventory shows the claims that the host
  has checked itself.

  Anybody on the bus can write such records. Therefore the table is bounded: 65 536 claims and 32 MiB together, as is
  the router's copy. If there is no room, claims that this host's links need replace claims that nothing on this host
  needs; other claims are dropped. At most 64 claims are examined to find an unneeded one, so that a flood of records
  cannot make each write slow.

  | row | |
  |---|---|
  | `{public_key, bytes, claims}` | the claims, and their size in the external term format |
  | `{:bytes, total}` | the sum of these sizes |
  """

  alias Exosuit.Instance
  alias Exosuit.Protocol.Otp.Claims

  @type claims :: Claims.t()

  # The bounds of the router's own copy: the number of claims, and their bytes together.
  @max_entries 65_536
  @max_bytes 33_554_432

  # The number of claims that are examined to find an unneeded one.
  @looked_at 64

  # The key of the row with the bytes of all claims; rows of claims have another length.
  @bytes :bytes

  @doc "An empty table. It is public because its owner is not its writer, which may be restarted."
  @spec table() :: :ets.table()
  def table do
    table = :ets.new(:exosuit_known, [:set, :public, read_concurrency: true])
    true = :ets.insert(table, {@bytes, 0})
    table
  end

  @doc """
  Stores claims in place of earlier ones of the same key. Returns the keys whose claims were removed to make room.
  `needed?` decides whether this host needs given claims. `:full` if there is no room.
  """
  @spec put(Instance.t(), claims(), (claims() -> boolean())) :: {:ok, [String.t()]} | :full
  def put(instance, claims, needed?) do
    delete(instance, claims.subject)
    put(instance.tables.known, claims, :erlang.external_size(claims), needed?, [])
  end

  @doc "The maximum number of bytes of all claims together."
  @spec max_bytes() :: pos_integer()
  def max_bytes, do: @max_bytes

  @doc "The number of bytes of all claims together."
  @spec bytes(Instance.t()) :: non_neg_integer()
  def bytes(instance), do: :ets.lookup_element(instance.tables.known, @bytes, 2)

  @doc "Forgets the claims of a key."
  @spec delete(Instance.t(), String.t()) :: :ok
  def delete(instance, key) do
    for row <- :ets.take(instance.tables.known, key), do: left(instance.tables.known, row)
    :ok
  end

  @doc "The claims of a key, or `nil`."
  @spec get(Instance.t(), String.t()) :: claims() | nil
  def get(instance, key) do
    case :ets.lookup(instance.tables.known, key) do
      [{_key, _size, claims}] -> claims
      [] -> nil
    end
  end

  @doc "All claims."
  @spec list(Instance.t()) :: [claims()]
  def list(instance), do: :ets.select(instance.tables.known, [{{:_, :_, :"$1"}, [], [:"$1"]}])

  defp put(table, claims, size, needed?, gone) do
    cond do
      room?(table, size) ->
        :ets.update_counter(table, @bytes, size)
        true = :ets.insert(table, {claims.subject, size, claims})
        {:ok, gone}

      key = needed?.(claims) && spare(table, needed?) ->
        for row <- :ets.take(table, key), do: left(table, row)
        put(table, claims, size, needed?, [key | gone])

      true ->
        :full
    end
  end

  # One row of the table counts the bytes.
  defp room?(table, size) do
    :ets.info(table, :size) <= @max_entries and
      :ets.lookup_element(table, @bytes, 2) + size <= @max_bytes
  end

  defp spare(table, needed?) do
    case :ets.select(table, [{{:_, :_, :"$1"}, [], [:"$1"]}], @looked_at) do
      {some, _further} -> Enum.find_value(some, &(not needed?.(&1) && &1.subject))
      :"$end_of_table" -> nil
    end
  end

  defp left(table, {_key, size, _claims}), do: :ets.update_counter(table, @bytes, -size)
end
