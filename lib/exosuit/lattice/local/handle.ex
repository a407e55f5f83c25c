defmodule Exosuit.Lattice.Local.Handle do
  @moduledoc false
  # What the functions of the local lattice need of their host: its name, its public key (`source`), its data
  # directory, the name of the one process that writes, and the table that it writes. The table is owned by the host's top supervisor, so that what is
  # stored outlives the writer.
  #
  # Rows of the table:
  #
  # - `{{bucket, key}, value | nil, revision}`: a key, or a deleted one
  # - `{{:object, digest}, bytes, at}`: an object, where there is no directory for them
  # - `{:identity, text}`, `{{:revision, bucket}, revision}`: see `Exosuit.Lattice.Store.position/2`
  # - `{:directory, path | nil}`: where the files are
  # - `{{:trouble, type}, event}`: what the writer found before the host could announce events
  # - `{:started, true}`: it is now

  alias Exosuit.{Config, Error}

  @enforce_keys [:name, :source, :data_dir, :writer, :table]
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          name: atom(),
          source: String.t(),
          data_dir: Path.t() | nil,
          writer: GenServer.name(),
          table: :ets.tid()
        }

  @doc "A handle with an empty table, owned by the calling process."
  @spec new(Config.t(), String.t(), GenServer.name()) :: t()
  def new(config, source, writer) do
    table = :ets.new(:exosuit_local, [:ordered_set, :public, read_concurrency: true])

    %__MODULE__{
      name: config.name,
      source: source,
      data_dir: config.data_dir,
      writer: writer,
      table: table
    }
  end

  @doc "What a row that has one value says, or `nil`."
  @spec get(t(), term()) :: term()
  def get(handle, key) do
    case :ets.lookup(handle.table, key) do
      [{_key, value}] -> value
      [] -> nil
    end
  end

  @doc "Asks the writer; an error where it does not run now. Blocks the calling process."
  @spec call(t(), term()) :: term()
  def call(handle, request) do
    GenServer.call(handle.writer, request, :infinity)
  catch
    :exit, {reason, {GenServer, :call, _arguments}} when reason != :timeout ->
      {:error, Error.new(:unavailable, "the store of this host is being restarted: try again")}
  end
end
