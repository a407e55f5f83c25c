defmodule Exosuit.Lattice.Store do
  @moduledoc """
  The store that the hosts of a lattice share: keys and values in three buckets, and objects, which are bytes known by
  their digest. Every function takes the host's session, and blocks the calling process on the store. Over NATS, it
  returns an error at once while there is no connection.

  | bucket | holds |
  |---|---|
  | `:data` | links, claims and references, in the form that all wasmCloud hosts read |
  | `:configurations` | named configurations, in the form that all wasmCloud hosts read |
  | `:applications` | applications: records, status, rollout; only Exosuit hosts read them |

  A key is checked before it is sent, because it becomes a part of a subject. The largest value has 1 MiB; over
  NATS, the server sets the limit. The largest object has 256 MiB. Its digest is `sha256:` and 64 lower-case
  hexadecimal digits; bytes that do not match the digest are never returned.

  Over NATS, everybody who can connect to the servers can write. A reader trusts no value, and bounds its memory itself.

  ## Changing a value

  Two hosts may change a key at the same time. `update/4` and `write/4` read the value, compute the new one, and write
  it if nobody was faster, else begin again:

      Store.update(session, :applications, key, fn
        nil -> {:put, "1"}
        old -> {:put, increment(old)}
      end)

  The function may therefore run up to 64 times, and must have no effects. After that, the error is `:conflict`.

  ## Errors

  | reason | |
  |---|---|
  | `:unavailable` | there is no connection, or the store restarts. A write may have happened nevertheless |
  | `:deadline` | the server did not answer in time. The same holds for a write |
  | `:invalid_input` | a key, a digest or a size of another form |
  | `:limit` | the store of a host without NATS is full |
  | `:io` | an object is damaged, or a disk cannot be written |

  ## Messages

  A watch sends its process `{:exosuit_lattice, reference, change}`, one at a time, the next one after a call of
  `Exosuit.Lattice.Bus.next/1`. The existing keys come first, in the order of revisions. A change is

  - `{:put, key, value, revision}` or `{:deleted, key}`; if several changes of a key wait, only the last one
  - `{:dropped, key}`: there is no room for this key, which is ignored
  - `:current`: all keys have been sent; at the beginning and after each interruption
  - `{:lost, keys}`: the bucket was replaced by another one, which lacks these keys
  - `{:interrupted, {:error, {code, detail}}}`: the bucket cannot be read now; sent once
  """

  alias Exosuit.{Error, Input, Native}
  alias Exosuit.Lattice.{Backend, Bus, Session}

  @typedoc "One of the three buckets."
  @type bucket :: Backend.bucket()
  @typedoc "The number of a write in its bucket; 0 for a key that was never written."
  @type revision :: Backend.revision()
  @typedoc "`sha256:` and 64 lower-case hexadecimal digits."
  @type digest :: String.t()

  @typedoc """
  The identity of a bucket, which changes if the bucket is lost and made anew, and its last revision.
  """
  @type position :: Backend.position()

  @typedoc "An object: its digest, its bytes, and when it was stored, in milliseconds since 1970."
  @type object :: Backend.object()

  @typep change :: change(Error.t())
  @typep change(reason) :: (binary() | nil -> {:put, binary()} | :keep | {:error, reason})

  # The number of tries of a write while others change the value at the same time.
  @attempts 64

  # The longest pause between two keys of a bucket that is read as a whole.
  @timeout 10_000

  @digest ~r/\Asha256:[0-9a-f]{64}\z/

  @max_object 268_435_456

  @doc "Makes missing buckets, and copies the records of hosts before 0.60 into them."
  @spec prepare(Session.t()) :: {:ok, non_neg_integer()} | {:error, Error.t()}
  def prepare(%Session{} = session), do: session.backend.prepare(session.handle)

  @doc "The value of a key, or `nil`."
  @spec get(Session.t(), bucket(), String.t()) :: {:ok, binary() | nil} | {:error, Error.t()}
  def get(session, bucket, key) do
    with {:ok, {value, _revision}} <- read(session, bucket, key), do: {:ok, value}
  end

  @doc "The value of a key, or `nil`, and its revision: 0 for a key that was never written."
  @spec read(Session.t(), bucket(), String.t()) ::
          {:ok, {binary() | nil, revision()}} | {:error, Error.t()}
  def read(%Session{} = session, bucket, key) do
    with :ok <- Input.check_name(:key, key),
         do: session.backend.read(session.handle, bucket, key)
  end

  @doc """
  Writes a value if the key still has this revision (from `read/3`), and returns the new revision. If others changed
  the key since, returns `:conflict`.

  After an error `:unavailable`, the value may have been written nevertheless.
  """
  @spec compare_and_set(Session.t(), bucket(), String.t(), binary(), revision()) ::
          {:ok, revision()} | :conflict | {:error, Error.t()}
  def compare_and_set(%Session{} = session, bucket, key, value, revision) do
    with :ok <- Input.check_name(:key, key) do
      case session.backend.compare_and_set(session.handle, bucket, key, value, revision) do
        {:ok, nil} -> :conflict
        {:ok, written} -> {:ok, written}
        {:error, error} -> look(session, bucket, key, value, revision, error)
      end
    end
  end

  @doc """
  Writes the result of `change` for the present value. Tries again while others write in between, so that none of
  their changes is lost. If `change` returns `:keep`, nothing is written.
  """
  @spec update(Session.t(), bucket(), String.t(), change()) :: :ok | {:error, Error.t()}
  def update(session, bucket, key, change) do
    with {:ok, _written} <- write(session, bucket, key, change), do: :ok
  end

  @doc """
  Writes as `update/4` does. Returns the written value and its revision, or `nil` if nothing was written. An error of
  `change` is returned as it is.
  """
  @spec write(Session.t(), bucket(), String.t(), change(reason)) ::
          {:ok, {binary(), revision()} | nil} | {:error, Error.t() | reason}
        when reason: term()
  def write(session, bucket, key, change), do: write(session, bucket, key, change, @attempts)

  @doc "Deletes a key, if it exists."
  @spec delete(Session.t(), bucket(), String.t()) :: :ok | {:error, Error.t()}
  def delete(%Session{} = session, bucket, key) do
    with :ok <- Input.check_name(:key, key),
         do: session.backend.delete(session.handle, bucket, key)
  end

  @doc "Deletes a key if it still has this revision. Returns whether it did."
  @spec remove(Session.t(), bucket(), String.t(), revision()) ::
          {:ok, boolean()} | {:error, Error.t()}
  def remove(%Session{} = session, bucket, key, revision) do
    with :ok <- Input.check_name(:key, key),
         do: session.backend.remove(session.handle, bucket, key, revision)
  end

  @doc "Watches a bucket for the calling process. The watch survives outages."
  @spec watch(Session.t(), bucket()) :: {:ok, Bus.t()} | {:error, Error.t()}
  def watch(%Session{} = session, bucket),
    do: Bus.open(session, &session.backend.watch(session.handle, bucket, &1))

  @doc """
  All keys of a bucket with their values, as they are now. Meant for occasional requests of people: it reads the whole
  bucket into the memory of the calling process. If 10 s pass between two keys, returns `:deadline`.
  """
  @spec values(Session.t(), bucket()) :: {:ok, %{String.t() => binary()}} | {:error, Error.t()}
  def values(session, bucket) do
    with {:ok, watch} <- watch(session, bucket) do
      values = collect(watch, %{})
      :ok = Bus.unsubscribe(watch)
      values
    end
  end

  @doc "The identity of a bucket, and its last revision: 0 if nothing was written yet."
  @spec position(Session.t(), bucket()) :: {:ok, position()} | {:error, Error.t()}
  def position(%Session{} = session, bucket),
    do: session.backend.position(session.handle, bucket)

  @doc """
  Stores bytes, unless they are there already, and returns their digest. `:invalid_input` for more than 256 MiB, and
  `:limit` if a store without NATS has no room.
  """
  @spec put_object(Session.t(), binary()) :: {:ok, digest()} | {:error, Error.t()}
  def put_object(%Session{}, bytes) when byte_size(bytes) > @max_object do
    detail = "the object has #{byte_size(bytes)} bytes, at most #{@max_object} are allowed"
    {:error, Error.new(:invalid_input, detail)}
  end

  def put_object(%Session{} = session, bytes) when is_binary(bytes),
    do: session.backend.put_object(session.handle, bytes)

  @doc "The bytes of a digest. The error is `:not_found` if the store lacks them, and `:io` if they do not match."
  @spec fetch_object(Session.t(), digest()) :: {:ok, binary()} | {:error, Error.t()}
  def fetch_object(%Session{} = session, digest) do
    with :ok <- check_digest(digest),
         {:ok, nil} <- session.backend.get_object(session.handle, digest),
         do: {:error, Error.new(:not_found, "the lattice has no object #{digest}")}
  end

  @doc "Deletes the bytes of a digest, if they exist."
  @spec delete_object(Session.t(), digest()) :: :ok | {:error, Error.t()}
  def delete_object(%Session{} = session, digest) do
    with :ok <- check_digest(digest),
         do: session.backend.delete_object(session.handle, digest)
  end

  @doc "All objects, in the order of their digests."
  @spec objects(Session.t()) :: {:ok, [object()]} | {:error, Error.t()}
  def objects(%Session{} = session) do
    with {:ok, objects} <- session.backend.objects(session.handle),
         do: {:ok, Enum.sort_by(objects, & &1.digest)}
  end

  @doc """
  The digest of bytes, which names their object.

      iex> Exosuit.Lattice.Store.digest("")
      "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
  """
  @spec digest(binary()) :: digest()
  def digest(bytes), do: "sha256:" <> (bytes |> Native.digest() |> String.downcase())

  defp collect(%{reference: reference} = watch, values) do
    receive do
      {:exosuit_lattice, ^reference, :current} ->
        {:ok, values}

      {:exosuit_lattice, ^reference, {:interrupted, {:error, failure}}} ->
        {:error, Error.from_native(failure)}

      {:exosuit_lattice, ^reference, change} ->
        :ok = Bus.next(watch)
        collect(watch, changed(values, change))
    after
      @timeout ->
        {:error, Error.new(:deadline, "the store did not answer within #{@timeout} ms")}
    end
  end

  defp changed(values, {:put, key, value, _revision}), do: Map.put(values, key, value)
  defp changed(values, {:deleted, key}), do: Map.delete(values, key)
  defp changed(values, {:lost, keys}), do: Map.drop(values, keys)
  defp changed(values, {:dropped, _key}), do: values

  defp check_digest(digest) do
    if is_binary(digest) and digest =~ @digest,
      do: :ok,
      else: {:error, Error.new(:invalid_input, no_digest(digest))}
  end

  defp no_digest(digest) do
    "expected a digest, sha256: and 64 lower-case hexadecimal digits, got: " <>
      inspect(digest, printable_limit: 100)
  end

  defp write(_session, _bucket, key, _change, 0) do
    {:error,
     Error.new(
       :conflict,
       "#{key} was not written, because other hosts changed it at each attempt: try again"
     )}
  end

  defp write(session, bucket, key, change, attempts) do
    with {:ok, {old, revision}} <- read(session, bucket, key),
         {:put, new} <- change.(old) do
      case compare_and_set(session, bucket, key, new, revision) do
        :conflict -> write(session, bucket, key, change, attempts - 1)
        {:ok, written} -> {:ok, {new, written}}
        {:error, error} -> {:error, error}
      end
    else
      :keep -> {:ok, nil}
      {:error, error} -> {:error, error}
    end
  end

  # The answer may be lost although the write succeeded, so this reads the value to find out. If that fails too, it
  # returns the error. If the value was written after all, every host follows it, including this one.
  defp look(session, bucket, key, value, before, error) do
    case read(session, bucket, key) do
      {:ok, {^value, revision}} when revision > before -> {:ok, revision}
      _unchanged_or_unknown -> {:error, error}
    end
  end
end
