defmodule Exosuit.App.Sweep do
  @moduledoc """
  Removes objects that no kept version of an application names.

  A sweep deletes an object that is older than a day, if no record named it in two sweeps in a row. Only the member
  with the lowest id sweeps.

  An apply may use an old object again at any moment, and name it in a record just when a sweep deletes it.
  Therefore both check again. After its deletions, a sweep reads the records again, and puts back the objects that
  they name by then. After it has written its record, an apply looks for its objects (`Exosuit.App.Manifests`). The
  later of the two finds missing objects.

      sweep                                        apply
      reads records: A is not named
                                                   A is in the store: not put again
      deletes A
                                                   writes the record that names A
      reads records again: A is named
      puts A back                                  looks for A; puts it again if it is missing

  ## Bounds

  To put objects back, a sweep holds them in memory from before their deletion until the records were read again.
  Therefore it deletes in batches of at most 100 objects and 64 MiB. A single object above that is a batch of its own.

  ## Failures

  | failure | effect |
  |---|---|
  | a record cannot be read, or is of a newer schema | nothing is deleted: it may name any object |
  | the store is interrupted while records are read | the error `:unavailable`; nothing more is deleted |
  | no record comes for 30 s | the error `:deadline`, with the same effect |
  | the records cannot be read after a batch was deleted | all of the batch is put back |
  | an object cannot be read before its deletion | it stays, because it could not be put back |
  | the task is killed after a deletion | nothing is put back; an apply that named the object puts it again |

  After an error, the next sweep begins with the same list of unnamed objects.
  """

  alias Exosuit.App.Record
  alias Exosuit.Error
  alias Exosuit.Lattice.{Bus, Session, Store}
  alias Exosuit.Model.Digest

  @bucket :applications
  @age 86_400_000

  # Objects that are deleted together stay in memory until the records were read again.
  @batch 100
  @batch_bytes 67_108_864

  # The timeout for the next record.
  @timeout 30_000

  @doc "The digests that records name: of models, manifests and files of all kept versions."
  @spec named([Record.t()]) :: MapSet.t(Digest.t())
  def named(records) do
    for record <- records,
        version <- record.versions,
        digest <- [version.model, version.manifest | version.objects],
        into: MapSet.new(),
        do: digest
  end

  @doc """
  Deletes the objects that the previous sweep found unnamed (`found`) and that no record names now. Returns the
  unnamed objects that this sweep left, for the next one. Blocks the calling process, and uses its mailbox for a watch
  of the store. `now` is in milliseconds since 1970.
  """
  @spec run(Session.t(), MapSet.t(Digest.t()), integer()) ::
          {:ok, MapSet.t(Digest.t())} | {:error, Error.t()}
  def run(session, found, now) do
    with {:ok, objects} <- Store.objects(session),
         {:ok, named} <- read_named(session) do
      unnamed =
        for %{digest: digest, at: at} = object <- objects,
            at <= now - @age and digest not in named,
            do: object

      {gone, left} = Enum.split_with(unnamed, &(&1.digest in found))
      with :ok <- delete(session, batches(gone)), do: {:ok, MapSet.new(left, & &1.digest)}
    end
  end

  # The digests that all records name by now. An unreadable record may name any object, so nothing is deleted then.
  defp read_named(session) do
    with {:ok, watch} <- Store.watch(session, @bucket) do
      named = read_named(watch, MapSet.new())
      :ok = Bus.unsubscribe(watch)
      forget(watch)
      named
    end
  end

  defp read_named(%{reference: reference} = watch, named) do
    receive do
      {:exosuit_lattice, ^reference, :current} -> {:ok, named}
      {:exosuit_lattice, ^reference, change} -> read_next(watch, name(change, named))
    after
      @timeout -> {:error, Error.new(:deadline, "the records could not be read in time")}
    end
  end

  defp read_next(_watch, {:error, error}), do: {:error, error}

  defp read_next(watch, {:ok, named}) do
    :ok = Bus.next(watch)
    read_named(watch, named)
  end

  defp name({:put, "app." <> name, text, _revision}, named) do
    case Record.decode(name, text) do
      {:ok, record} ->
        {:ok, MapSet.union(named, named([record]))}

      {:newer, schema} ->
        {:error, unreadable(name, "a newer Exosuit wrote it (schema #{schema})")}

      {:error, error} ->
        {:error, unreadable(name, Exception.message(error))}
    end
  end

  defp name({:dropped, key}, _named), do: {:error, unreadable(key, "there is no room for it")}
  defp name({:interrupted, {:error, _reason}}, _named), do: {:error, away()}
  defp name(_other, named), do: {:ok, named}

  defp unreadable(app, why),
    do: Error.new(:unavailable, "the record of application #{app} cannot be read: #{why}")

  defp away, do: Error.new(:unavailable, "the store of the lattice cannot be read now")

  # Removes late messages of the watch from the caller's mailbox.
  defp forget(%{reference: reference} = watch) do
    receive do
      {:exosuit_lattice, ^reference, _change} -> forget(watch)
    after
      0 -> :ok
    end
  end

  defp batches(objects) do
    Enum.chunk_while(
      objects,
      {[], 0, 0},
      fn object, {batch, count, bytes} ->
        if count > 0 and (count >= @batch or bytes + object.size > @batch_bytes),
          do: {:cont, batch, {[object], 1, object.size}},
          else: {:cont, {[object | batch], count + 1, bytes + object.size}}
      end,
      fn {batch, _count, _bytes} -> {:cont, batch, nil} end
    )
  end

  defp delete(session, batches) do
    Enum.reduce_while(batches, :ok, fn batch, :ok ->
      case delete_batch(session, batch) do
        :ok -> {:cont, :ok}
        error -> {:halt, error}
      end
    end)
  end

  defp delete_batch(_session, []), do: :ok

  defp delete_batch(session, batch) do
    kept = for %{digest: digest} <- batch, {:ok, it} <- [bytes(session, digest)], do: {digest, it}
    deleted = each(kept, fn {digest, _bytes} -> Store.delete_object(session, digest) end)

    # After an error it is unknown which objects are named, so all of them are put back.
    case read_named(session) do
      {:ok, named} ->
        with :ok <- put_back(session, for({digest, _} = it <- kept, digest in named, do: it)),
             do: deleted

      error ->
        with :ok <- put_back(session, kept), do: error
    end
  end

  # A damaged object is not put back. An object that cannot be read now is not deleted, because it could not be put
  # back.
  defp bytes(session, digest) do
    case Store.fetch_object(session, digest) do
      {:error, %Error{reason: reason}} when reason in [:unavailable, :deadline] -> :error
      {:error, _damaged_or_gone} -> {:ok, nil}
      found -> found
    end
  end

  defp put_back(session, kept) do
    each(kept, fn
      {_digest, nil} -> :ok
      {_digest, bytes} -> with({:ok, _digest} <- Store.put_object(session, bytes), do: :ok)
    end)
  end

  defp each(list, act) do
    Enum.reduce_while(list, :ok, fn item, :ok ->
      case act.(item) do
        :ok -> {:cont, :ok}
        error -> {:halt, error}
      end
    end)
  end
end
