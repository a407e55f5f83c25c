defmodule Exosuit.Lattice.Local.Handle do
  @moduledoc """
  The handle of the local lattice: the host's name, its public key (`source`), its data directory, the name of the
  writer process, and the table that it writes.

  The host's topmost supervisor owns the table, so that its content outlives the writer. Readers read the table; only
  `call/2` needs the writer. Before `adopt/1`, a handle has no table.

  | row of the table | |
  |---|---|
  | `{{bucket, key}, value \\| nil, revision}` | a key, or a deleted one |
  | `{{:object, digest}, bytes, at}` | an object, on a host without a data directory |
  | `{:identity, text}`, `{{:revision, bucket}, revision}` | see `Exosuit.Lattice.Store.position/2` |
  | `{:memory, text}` | the identity of the bucket that is kept in memory only |
  | `{:directory, path \\| nil}` | the directory of the files |
  | `{{:trouble, type}, event}` | a problem that the writer found before the host could announce events |
  | `{:started, true}` | the host can announce events now |
  """

  alias Exosuit.{Config, Error}
  alias Exosuit.Lattice.Backend

  @enforce_keys [:name, :source, :data_dir, :writer, :table]
  defstruct @enforce_keys

  @typedoc "A handle. `data_dir` is `nil` on a host that keeps its state in memory only."
  @type t :: %__MODULE__{
          name: atom(),
          source: String.t(),
          data_dir: Path.t() | nil,
          writer: GenServer.name(),
          table: :ets.tid() | nil
        }

  @doc "A handle that has no table yet."
  @spec new(Config.t(), String.t(), GenServer.name()) :: t()
  def new(config, source, writer) do
    %__MODULE__{
      name: config.name,
      source: source,
      data_dir: config.data_dir,
      writer: writer,
      table: nil
    }
  end

  @doc "The handle with an empty table, owned by the calling process."
  @spec adopt(t()) :: t()
  def adopt(handle) do
    table = :ets.new(:exosuit_local, [:ordered_set, :public, read_concurrency: true])
    true = :ets.insert(table, {:memory, new_identity()})
    %{handle | table: table}
  end

  @doc "The value of a row with one value, or `nil`."
  @spec get(t(), term()) :: term()
  def get(handle, key) do
    case :ets.lookup(handle.table, key) do
      [{_key, value}] -> value
      [] -> nil
    end
  end

  @doc "The identity of a bucket, see `Exosuit.Lattice.Store.position/2`."
  @spec identity(t(), Backend.bucket()) :: String.t()
  def identity(handle, :data), do: get(handle, :memory)
  def identity(handle, _bucket), do: get(handle, :identity)

  @doc "A new identity: a text that no other bucket has."
  @spec new_identity() :: String.t()
  def new_identity, do: Base.encode16(:crypto.strong_rand_bytes(16), case: :lower)

  @doc """
  Whether a bucket is kept on disk: all but that of links.

      iex> Enum.map([:data, :configurations, :applications], &Exosuit.Lattice.Local.Handle.durable?/1)
      [false, true, true]
  """
  @spec durable?(Backend.bucket()) :: boolean()
  def durable?(bucket), do: bucket != :data

  @doc """
  Calls the writer. If the writer does not run, returns `:unavailable`; a write may have happened nevertheless. Blocks
  the calling process until the disk has the change.
  """
  @spec call(t(), term()) :: term()
  def call(handle, request) do
    GenServer.call(handle.writer, request, :infinity)
  catch
    :exit, {reason, {GenServer, :call, _arguments}} when reason != :timeout ->
      {:error, Error.new(:unavailable, "the store of this host is being restarted: try again")}
  end
end
