defmodule Exosuit.App.Writes do
  @moduledoc """
  The writes of a member to the lattice's store, for the actions of `Exosuit.App.Machine`. Each function blocks the
  calling process on the store, and returns the result that the machine expects: `{:ok, revision}`, `:conflict` if
  others wrote meanwhile, or an error.

  | write | how | a key that was deleted |
  |---|---|---|
  | a record | compare-and-set | conflict: the deletion counts |
  | a record that the store lost | create only | is created, unless it was deleted since the store lacked it |
  | slots, leases | compare-and-set | is created, if the member knows of none |
  | a status | last write wins: only this host writes it | is created |
  | the generation | compare-and-set | is created, if the old one was `nil` |

  A deletion has a revision, too, and the next compare-and-set must name it. A watch does not show it, so that the
  machine says 0, and the revision is read before the write (`present/3`).

  After an error, the write may have happened all the same: the answer was lost. The watch shows it then, and the
  machine's next write finds the key changed.
  """

  alias Exosuit.{Error, Instance}
  alias Exosuit.App.{Keys, Record, Status}
  alias Exosuit.App.Machine.{Lease, Records, Slots}
  alias Exosuit.Host.Leases
  alias Exosuit.Lattice.Store

  @typedoc "The result of a write: the new revision, or the new generation."
  @type result :: {:ok, term()} | :conflict | {:error, Error.t()}

  @bucket :applications

  @doc """
  Writes a record, if the store still holds this revision of it. The error `:limit` if it is above 64 KiB. Writes a
  record of a newer schema unchanged.
  """
  @spec record(Instance.t(), String.t(), Record.t() | Records.newer(), non_neg_integer()) ::
          result()
  def record(instance, name, record, revision) do
    with {:ok, text} <- text(record),
         do: compare_and_set(instance, {:record, name}, text, revision)
  end

  @doc """
  Writes a record, if the store lacks it, and nobody deleted it after this position. Writes a record of a newer schema
  unchanged.
  """
  @spec put_back(Instance.t(), String.t(), Record.t() | Records.newer(), non_neg_integer()) ::
          result()
  def put_back(instance, name, record, position) do
    key = {:record, name}

    with {:ok, text} <- text(record),
         {:ok, {nil, revision}} when revision <= position <- read(instance, key) do
      compare_and_set(instance, key, text, revision)
    else
      {:ok, _there_or_deleted_since} -> :conflict
      error -> error
    end
  end

  defp text({:newer, _schema, text}), do: {:ok, text}
  defp text(record), do: Record.encode(record)

  @doc "Writes this host's status of an application, or deletes it (`nil`). No other host writes it."
  @spec status(Instance.t(), String.t(), Status.t() | nil) :: result()
  def status(instance, app, nil) do
    key = Keys.encode({:status, instance.source, app})
    with :ok <- Store.delete(instance.lattice, @bucket, key), do: {:ok, 0}
  end

  def status(instance, app, status) do
    key = Keys.encode({:status, instance.source, app})

    with {:ok, text} <- Status.encode(status),
         {:ok, {_text, revision}} <-
           Store.write(instance.lattice, @bucket, key, fn _old -> {:put, text} end),
         do: {:ok, revision}
  end

  @doc "Writes the slots: the members that are being updated."
  @spec slots(Instance.t(), String.t(), Slots.t(), non_neg_integer()) :: result()
  def slots(instance, app, slots, revision) do
    with {:ok, text} <- Slots.encode(slots),
         do: write_present(instance, {:slots, app}, text, revision)
  end

  @doc """
  Writes a lease. A lease without a holder is written when the singleton has ended on this host. The result of a
  conflict has the value and the revision in the store.

  The wait for the end of the singleton is bounded by its lease: `Exosuit.Host.Leases` kills it then. If the singleton
  cannot be ended, nothing is written, and the lease expires by itself.
  """
  @spec lease(Instance.t(), String.t(), String.t(), Lease.value(), non_neg_integer()) ::
          result() | {:conflict, Lease.value() | nil, non_neg_integer()}
  def lease(instance, app, workload, value, revision) do
    key = {:lease, app, workload}

    with :ok <- end_singleton(instance, {app, workload}, value),
         {:ok, text} <- Lease.encode(value),
         :conflict <- write_present(instance, key, text, revision),
         do: read_lease(instance, key)
  end

  defp write_present(instance, key, text, revision) do
    with {:ok, revision} <- present(instance, key, revision),
         do: compare_and_set(instance, key, text, revision)
  end

  defp read_lease(instance, key) do
    case read(instance, key) do
      {:ok, {nil, _revision}} -> {:conflict, nil, 0}
      {:ok, {text, revision}} -> {:conflict, Lease.read(text), revision}
      error -> error
    end
  end

  defp end_singleton(instance, lease, %{holder: nil}), do: Leases.end_singleton(instance, lease)
  defp end_singleton(_instance, _lease, _held), do: :ok

  # A deleted key has the revision of its deletion, which watches do not show.
  defp present(instance, key, 0) do
    case read(instance, key) do
      {:ok, {nil, revision}} -> {:ok, revision}
      {:ok, _there} -> :conflict
      error -> error
    end
  end

  defp present(_instance, _key, revision), do: {:ok, revision}

  @doc """
  Gives the store a new generation, if it still has the old one. The result has the new one: 128 random bits, so that no
  two stores ever have the same. Of several members that try, one wins, and the others follow it.
  """
  @spec generation(Instance.t(), String.t() | nil) :: result()
  def generation(instance, old) do
    new = Base.encode16(:crypto.strong_rand_bytes(16), case: :lower)

    with {:ok, {^old, revision}} <- read(instance, :generation),
         {:ok, _revision} <- compare_and_set(instance, :generation, new, revision) do
      {:ok, new}
    else
      {:ok, _another} -> :conflict
      conflict_or_error -> conflict_or_error
    end
  end

  defp read(instance, key), do: Store.read(instance.lattice, @bucket, Keys.encode(key))

  defp compare_and_set(instance, key, text, revision) do
    Store.compare_and_set(instance.lattice, @bucket, Keys.encode(key), text, revision)
  end
end
