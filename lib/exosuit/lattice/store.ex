defmodule Exosuit.Lattice.Store do
  @moduledoc """
  What the hosts of a lattice share over NATS: keys and values in two buckets of JetStream, `:data`
  (links, claims, references) and `:configurations`. Each function blocks the calling process on a
  server; without a connection it is an error at once. A key that is none is refused before it is sent:
  it becomes a part of a subject, and could steer the connection.

  ## Messages

  A watch sends its process `{:exosuit_lattice, reference, change}`, one at a time, the next once
  `Exosuit.Lattice.Bus.next/1` has asked for it. First comes all that there is. A change is

  - `{:put, key, value, revision}` or `{:deleted, key}`
  - `{:dropped, key}`: there is no room for this key, which is passed over
  - `:current`: all has been told, at the beginning and after each interruption
  - `{:lost, keys}`: the bucket is another one, and lacks these
  - `{:interrupted, {:error, {code, detail}}}`: it cannot be read now; told once
  """

  alias Exosuit.{Error, Input, Native}
  alias Exosuit.Lattice.Bus
  alias Exosuit.Native.Answer

  @type bucket :: :data | :configurations

  # What a server takes to answer, at the most.
  @timeout 30_000

  # How often a value is tried that others change at the same time.
  @attempts 64

  @doc "Makes what is not there yet, and brings over what hosts before 0.60 left."
  @spec prepare(reference()) :: {:ok, non_neg_integer()} | {:error, Error.t()}
  def prepare(lattice), do: Answer.await(&Native.lattice_prepare(lattice, &1), @timeout)

  @doc "What a key holds, or `nil`."
  @spec get(reference(), bucket(), String.t()) :: {:ok, binary() | nil} | {:error, Error.t()}
  def get(lattice, bucket, key) do
    with {:ok, {value, _revision}} <- read(lattice, bucket, key), do: {:ok, value}
  end

  @doc "What a key holds, or `nil`, and the revision that came with: 0 for what never was."
  @spec read(reference(), bucket(), String.t()) ::
          {:ok, {binary() | nil, non_neg_integer()}} | {:error, Error.t()}
  def read(lattice, bucket, key) do
    with :ok <- Input.check_name(:key, key),
         do: Answer.await(&Native.lattice_get(lattice, bucket, key, &1), @timeout)
  end

  @doc """
  Writes what `change` makes of a value, again for as long as others come between, so that nothing
  of theirs is lost. `change` leaves all as it is with `:keep`.
  """
  @spec update(
          reference(),
          bucket(),
          String.t(),
          (binary() | nil -> {:put, binary()} | :keep | {:error, Error.t()})
        ) :: :ok | {:error, Error.t()}
  def update(lattice, bucket, key, change) do
    with {:ok, _written} <- write(lattice, bucket, key, change), do: :ok
  end

  @doc "The same; gives what was written and its revision, or `nil` where all was left as it is."
  @spec write(
          reference(),
          bucket(),
          String.t(),
          (binary() | nil -> {:put, binary()} | :keep | {:error, Error.t()})
        ) :: {:ok, {binary(), pos_integer()} | nil} | {:error, Error.t()}
  def write(lattice, bucket, key, change), do: write(lattice, bucket, key, change, @attempts)

  @doc "Deletes a key; that there is nothing is no error."
  @spec delete(reference(), bucket(), String.t()) :: :ok | {:error, Error.t()}
  def delete(lattice, bucket, key) do
    delete = &Native.lattice_delete(lattice, bucket, key, &1)

    with :ok <- Input.check_name(:key, key),
         {:ok, _done} <- Answer.await(delete, @timeout),
         do: :ok
  end

  @doc "Deletes a key where this revision still holds, and says whether it did."
  @spec remove(reference(), bucket(), String.t(), non_neg_integer()) ::
          {:ok, boolean()} | {:error, Error.t()}
  def remove(lattice, bucket, key, revision) do
    with :ok <- Input.check_name(:key, key),
         do: Answer.await(&Native.lattice_remove(lattice, bucket, key, revision, &1), @timeout)
  end

  @doc "Watches a bucket for the calling process. It lasts through every outage."
  @spec watch(reference(), bucket()) :: {:ok, Bus.t()} | {:error, Error.t()}
  def watch(lattice, bucket) do
    reference = make_ref()
    watch = &Native.lattice_watch(lattice, bucket, reference, &1)

    with {:ok, inlet} <- Answer.await(watch, @timeout),
         do: {:ok, %Bus{inlet: inlet, reference: reference}}
  end

  defp write(_lattice, _bucket, key, _change, 0) do
    {:error,
     Error.new(
       :conflict,
       "#{key} was not written, because other hosts changed it at each attempt: try again"
     )}
  end

  defp write(lattice, bucket, key, change, attempts) do
    with {:ok, {old, revision}} <- read(lattice, bucket, key),
         {:put, new} <- change.(old),
         {:ok, nil} <- compare_and_set(lattice, bucket, key, new, revision) do
      write(lattice, bucket, key, change, attempts - 1)
    else
      {:ok, {new, revision}} -> {:ok, {new, revision}}
      :keep -> {:ok, nil}
      {:error, error} -> {:error, error}
    end
  end

  defp compare_and_set(lattice, bucket, key, value, revision) do
    set = &Native.lattice_update(lattice, bucket, key, value, revision, &1)

    case Answer.await(set, @timeout) do
      {:ok, nil} -> {:ok, nil}
      {:ok, written} -> {:ok, {value, written}}
      {:error, error} -> look(lattice, bucket, key, value, revision, error)
    end
  end

  # The answer may be lost, not the write: read the value to find out. If that fails too, return the error. If
  # the value was written after all, every host follows it, including this one.
  defp look(lattice, bucket, key, value, before, error) do
    case read(lattice, bucket, key) do
      {:ok, {^value, revision}} when revision > before -> {:ok, {value, revision}}
      _unchanged_or_unknown -> {:error, error}
    end
  end
end
