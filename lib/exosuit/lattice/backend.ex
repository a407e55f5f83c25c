defmodule Exosuit.Lattice.Backend do
  @moduledoc """
  The behaviour of a lattice's backend: a bus for messages, and a store for keys and objects.

  `Exosuit.Lattice.Bus` and `Exosuit.Lattice.Store` document what the functions promise, and check names and
  sizes before they call a backend. `test/exosuit/lattice/contract_test.exs` runs on every backend.

  An *inlet* (a subscription or a watch) delivers messages or changes to one process, as
  `{:exosuit_lattice, reference, item}`. It ends with that process.
  """

  alias Exosuit.{Config, Error}

  @typedoc "The backend's own data, as `c:adopt/1` returned it."
  @type handle :: term()
  @typedoc "A subscription or a watch. Ends with the process that opened it."
  @type inlet :: term()
  @typedoc "See `Exosuit.Lattice.Store`."
  @type bucket :: :data | :configurations | :applications

  @typedoc """
  The number of a write in its bucket. Later writes have greater numbers; 0 is a key that was never written.
  """
  @type revision :: non_neg_integer()

  @typedoc "See `t:Exosuit.Lattice.Store.position/0`."
  @type position :: %{identity: String.t(), revision: revision()}
  @typedoc "See `t:Exosuit.Lattice.Store.object/0`."
  @type object :: %{digest: String.t(), size: non_neg_integer(), at: non_neg_integer()}

  @typedoc "Connected, closed for good, or connecting, with the error of the last failed attempt."
  @type connection :: :connected | :closed | {:connecting, Error.t() | nil}

  @typedoc """
  - `:others`: other hosts can take part
  - `:commands`: commands arrive from outside of this VM
  - `:own_objects`: the store's objects are in the host's data directory, and nobody else deletes them there
  """
  @type capability :: :others | :commands | :own_objects

  @doc "The handle, with tables that the calling process owns."
  @callback adopt(handle()) :: handle()

  @doc """
  The processes that the backend needs on a host; they start before all processes that use it.
  """
  @callback children(handle()) :: [Supervisor.child_spec()]

  @doc "Called when the host has started: announces problems that were found before there were subscribers."
  @callback started(handle()) :: :ok

  @doc "The capabilities of a lattice of this kind."
  @callback capabilities() :: [capability()]

  @doc "Waits for the outcome of the first attempt to connect, for a bounded time."
  @callback await_first(handle(), Config.t()) :: :ok

  @doc "The state of the connection."
  @callback connection(handle()) :: connection()

  @doc "The state of each connection, by its name."
  @callback connections(handle()) :: %{optional(atom()) => connection()}

  @doc "The number of refused calls from other hosts, by the kind of reason."
  @callback refused_calls(handle()) :: %{optional(String.t()) => non_neg_integer()}

  @doc "Notes whether any other host accepts calls with a MAC. Does not wait."
  @callback take_macs(handle(), others_do? :: boolean()) :: :ok

  @doc "Whether messages can be sent and keys can be read now."
  @callback connected?(handle()) :: boolean()

  @doc "The maximum number of bytes of a message."
  @callback max_payload(handle()) :: non_neg_integer()

  @doc "Sends a message. Does not block."
  @callback publish(handle(), subject :: String.t(), payload :: binary()) ::
              :ok | {:error, Error.t()}

  @doc "Sends a message and waits for the first answer."
  @callback request(handle(), subject :: String.t(), payload :: binary(), timeout_ms :: integer()) ::
              {:ok, binary()} | {:error, Error.t()}

  @doc "Sends a message and collects the answers."
  @callback gather(
              handle(),
              subject :: String.t(),
              payload :: binary(),
              within_ms :: non_neg_integer(),
              max :: non_neg_integer()
            ) :: {:ok, [binary()]} | {:error, Error.t()}

  @doc "Opens an inlet of messages for the calling process."
  @callback subscribe(handle(), subject :: String.t(), group :: String.t() | nil, reference()) ::
              {:ok, inlet()} | {:error, Error.t()}

  @doc "Asks an inlet for its next item."
  @callback next(inlet()) :: :ok

  @doc "Closes an inlet."
  @callback cancel(inlet()) :: :ok

  @doc """
  Makes missing buckets, and copies the records of older hosts into them. Returns the number of copied records.
  """
  @callback prepare(handle()) :: {:ok, non_neg_integer()} | {:error, Error.t()}

  @doc "A key's value, or `nil`, and its revision: 0 for a key that was never written."
  @callback read(handle(), bucket(), key :: String.t()) ::
              {:ok, {binary() | nil, revision()}} | {:error, Error.t()}

  @doc "Writes a value if the key still has this revision. Returns the new revision, or `nil`."
  @callback compare_and_set(handle(), bucket(), key :: String.t(), binary(), revision()) ::
              {:ok, revision() | nil} | {:error, Error.t()}

  @doc "Deletes a key."
  @callback delete(handle(), bucket(), key :: String.t()) :: :ok | {:error, Error.t()}

  @doc "Deletes a key if it still has this revision."
  @callback remove(handle(), bucket(), key :: String.t(), revision()) ::
              {:ok, boolean()} | {:error, Error.t()}

  @doc "Opens an inlet of changes for the calling process."
  @callback watch(handle(), bucket(), reference()) :: {:ok, inlet()} | {:error, Error.t()}

  @doc "The identity of the bucket, and its last revision."
  @callback position(handle(), bucket()) :: {:ok, position()} | {:error, Error.t()}

  @doc "Stores bytes, and returns their digest."
  @callback put_object(handle(), binary()) :: {:ok, String.t()} | {:error, Error.t()}

  @doc "The bytes of a digest, or `nil`. Bytes that do not match the digest are an error."
  @callback get_object(handle(), digest :: String.t()) ::
              {:ok, binary() | nil} | {:error, Error.t()}

  @doc "Deletes the bytes of a digest."
  @callback delete_object(handle(), digest :: String.t()) :: :ok | {:error, Error.t()}

  @doc "All objects."
  @callback objects(handle()) :: {:ok, [object()]} | {:error, Error.t()}
end
