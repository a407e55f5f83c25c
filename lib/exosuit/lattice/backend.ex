defmodule Exosuit.Lattice.Backend do
  @moduledoc """
  The behaviour of what carries a lattice: a bus for messages, and a store for keys and objects.

  `Exosuit.Lattice.Bus` and `Exosuit.Lattice.Store` document what the functions promise, and check names and
  sizes before they call a backend. `test/exosuit/lattice/contract_test.exs` runs on every backend.

  An inlet is where messages or changes arrive for one process, which gets
  `{:exosuit_lattice, reference, item}`. It ends with that process.
  """

  alias Exosuit.{Config, Error}

  @type handle :: term()
  @type inlet :: term()
  @type bucket :: :data | :configurations | :applications
  @type revision :: non_neg_integer()
  @type position :: %{identity: String.t(), revision: revision()}
  @type object :: %{digest: String.t(), size: non_neg_integer(), at: non_neg_integer()}

  @typedoc "Connected, closed for good, or being made; with the error of the last attempt, if one has failed."
  @type connection :: :connected | :closed | {:connecting, Error.t() | nil}

  @doc "The handle, with tables that the calling process owns."
  @callback adopt(handle()) :: handle()

  @doc "The children of a host that this needs; they start before all that use it."
  @callback children(handle()) :: [Supervisor.child_spec()]

  @doc "The host has started: announces what was found wrong before anybody could hear of it."
  @callback started(handle()) :: :ok

  @doc "Whether there can be no other host, and no caller outside of this VM, in a lattice of this kind."
  @callback alone?() :: boolean()

  @doc "Waits for the outcome of the first attempt to connect, and no longer than that may take."
  @callback await_first(handle(), Config.t()) :: :ok

  @doc "How the connection is."
  @callback connection(handle()) :: connection()

  @doc "How each of the connections is, by its name."
  @callback connections(handle()) :: %{optional(atom()) => connection()}

  @doc "How many calls from other hosts were refused, by the kind of reason."
  @callback refused_calls(handle()) :: %{optional(String.t()) => non_neg_integer()}

  @doc "Says whether any other host takes calls with a MAC. Blocks nobody."
  @callback take_macs(handle(), others_do? :: boolean()) :: :ok

  @doc "Whether messages can be sent and keys be read now."
  @callback connected?(handle()) :: boolean()

  @doc "How many bytes a message may have."
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

  @doc "Makes what is missing, and takes over what older hosts left; gives how many records that were."
  @callback prepare(handle()) :: {:ok, non_neg_integer()} | {:error, Error.t()}

  @doc "A key's value, or `nil`, and its revision: 0 for a key that never was."
  @callback read(handle(), bucket(), key :: String.t()) ::
              {:ok, {binary() | nil, revision()}} | {:error, Error.t()}

  @doc "Writes a value if the key still has this revision; gives the new one, or `nil`."
  @callback compare_and_set(handle(), bucket(), key :: String.t(), binary(), revision()) ::
              {:ok, revision() | nil} | {:error, Error.t()}

  @doc "Deletes a key."
  @callback delete(handle(), bucket(), key :: String.t()) :: :ok | {:error, Error.t()}

  @doc "Deletes a key if it still has this revision."
  @callback remove(handle(), bucket(), key :: String.t(), revision()) ::
              {:ok, boolean()} | {:error, Error.t()}

  @doc "Opens an inlet of changes for the calling process."
  @callback watch(handle(), bucket(), reference()) :: {:ok, inlet()} | {:error, Error.t()}

  @doc "Which bucket there is now, and its last revision."
  @callback position(handle(), bucket()) :: {:ok, position()} | {:error, Error.t()}

  @doc "Stores bytes, and gives their digest."
  @callback put_object(handle(), binary()) :: {:ok, String.t()} | {:error, Error.t()}

  @doc "The bytes of a digest, or `nil`. Bytes that do not match the digest are an error."
  @callback get_object(handle(), digest :: String.t()) ::
              {:ok, binary() | nil} | {:error, Error.t()}

  @doc "Deletes the bytes of a digest."
  @callback delete_object(handle(), digest :: String.t()) :: :ok | {:error, Error.t()}

  @doc "All objects."
  @callback objects(handle()) :: {:ok, [object()]} | {:error, Error.t()}
end
