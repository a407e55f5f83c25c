defmodule Exosuit.Lattice.Local.Log do
  @moduledoc """
  The file that keeps the store of a host without NATS: a log of changes, `lattice.log`.

  When most of the log is outdated, a copy of the present state replaces it. A change counts once it is on the disk, so
  a crash at any moment loses nothing that was acknowledged. Before a new file replaces one with unreadable data, the
  whole file is copied to another name.

  ## Format

  A file begins with the line `exosuit lattice 1`. Then follow records:

  | bytes | |
  |---|---|
  | 4 | the size of the payload, big-endian |
  | 4 | the CRC-32 of these four bytes |
  | 4 | the CRC-32 of the payload |
  | size | the payload: an Erlang term, see `t:record/0` |

  The checksum of the size distinguishes a record that was cut off from a record whose size is damaged. A damaged
  payload costs one record: the size leads to the next one. A damaged size costs all that follows, because nothing says
  where the next record begins. A payload is decoded with `:safe`, so that a damaged file makes no atoms.

      iex> alias Exosuit.Lattice.Local.Log
      iex> records = [{:identity, "a1"}, {:put, :applications, "shop", 7, "{}"}]
      iex> file = IO.iodata_to_binary([Log.format() | Enum.map(records, &Log.encode/1)])
      iex> Log.decode(file) == {records, nil}
      true
      iex> {[{:identity, "a1"}], damage} = Log.decode(binary_part(file, 0, byte_size(file) - 1))
      iex> damage =~ "is cut off"
      true

  ## Failures

  | failure | effect |
  |---|---|
  | the file is missing | an empty store |
  | the file cannot be read | an error of `read/1` |
  | some bytes are damaged | the readable records, and a description of the damage |
  | a write fails, because the disk is full for example | an error; the file is cut back to its former length |
  | the file cannot be cut back | the writer crashes; its successor finds a record that is cut off |
  """

  alias Exosuit.Error

  @format "exosuit lattice 1\n"

  # A value and a key, with room for the encoding of the term.
  @max_record 2_097_152

  @max_revision 0xFFFF_FFFF_FFFF_FFFF

  @buckets [:data, :configurations, :applications]

  @type bucket :: Exosuit.Lattice.Backend.bucket()

  @typedoc """
  A change as the log has it. `:identity` names the store, and `:revision` is the last revision of a bucket whose latest
  keys are gone.
  """
  @type record ::
          {:identity, String.t()}
          | {:revision, bucket(), non_neg_integer()}
          | {:put, bucket(), key :: String.t(), non_neg_integer(), value :: binary()}
          | {:deleted, bucket(), key :: String.t(), non_neg_integer()}

  @enforce_keys [:path, :device, :size]
  defstruct [:path, :device, :size]

  @typedoc "An open file, and its length in bytes."
  @type t :: %__MODULE__{path: Path.t(), device: :file.fd(), size: non_neg_integer()}

  @doc """
  Reads a file: its records in order, and a description of the damage, or `nil`. A missing file has no records. The
  whole file is read into memory.
  """
  @spec read(Path.t()) :: {:ok, [record()], String.t() | nil} | {:error, Error.t()}
  def read(path) do
    case File.read(path) do
      {:ok, bytes} ->
        {records, wrong} = decode(bytes)
        {:ok, records, wrong}

      {:error, :enoent} ->
        {:ok, [], nil}

      {:error, reason} ->
        {:error, failed(path, "read", reason)}
    end
  end

  @doc "Copies a file to `<path>.damaged-<milliseconds>`, syncs the copy, and returns its path."
  @spec set_aside(Path.t()) :: {:ok, Path.t()} | {:error, Error.t()}
  def set_aside(path) do
    aside = "#{path}.damaged-#{System.system_time(:millisecond)}"

    with {:ok, _bytes} <- File.copy(path, aside),
         :ok <- sync(aside),
         :ok <- sync_directory(path) do
      {:ok, aside}
    else
      {:error, reason} -> {:error, failed(aside, "written", reason)}
    end
  end

  @doc """
  Replaces a file with one that has these records, and opens it. The new file is written and synced under another name,
  and then renamed: at any moment, the name leads to a complete file. Its mode is `0600`, because values may be secrets.
  """
  @spec replace(Path.t(), [record()]) :: {:ok, t()} | {:error, Error.t()}
  def replace(path, records) do
    new = path <> ".new"
    bytes = [@format | Enum.map(records, &encode/1)]

    with :ok <- File.write(new, ""),
         # The file may hold secrets, so its mode is set before it is filled.
         :ok <- File.chmod(new, 0o600),
         :ok <- File.write(new, bytes, [:sync]),
         :ok <- File.rename(new, path),
         :ok <- sync_directory(path),
         {:ok, device} <- :file.open(path, [:raw, :binary, :append]) do
      {:ok, %__MODULE__{path: path, device: device, size: IO.iodata_length(bytes)}}
    else
      {:error, reason} -> {:error, failed(path, "written", reason)}
    end
  end

  @doc """
  Adds records. When this returns `:ok`, they are on the disk. After an error, none of them is.
  """
  @spec append(t(), [record()]) :: {:ok, t()} | {:error, Error.t()}
  def append(log, records) do
    bytes = Enum.map(records, &encode/1)

    with :ok <- :file.write(log.device, bytes),
         :ok <- :file.datasync(log.device) do
      {:ok, %{log | size: log.size + IO.iodata_length(bytes)}}
    else
      {:error, reason} ->
        :ok = cut(log)
        {:error, failed(log.path, "written", reason)}
    end
  end

  @doc "Closes the file."
  @spec close(t()) :: :ok
  def close(log) do
    _late = :file.close(log.device)
    :ok
  end

  @doc "Syncs the directory of a file: without that, a new name may be lost in a power failure."
  @spec sync_directory(Path.t()) :: :ok | {:error, File.posix()}
  def sync_directory(path) do
    with {:ok, device} <- :file.open(Path.dirname(path), [:raw, :read, :directory]) do
      _unsupported_by_some = :file.sync(device)
      :file.close(device)
    end
  end

  @doc "The approximate number of bytes of a record."
  @spec size(key :: String.t(), value :: binary() | nil) :: pos_integer()
  def size(key, value), do: byte_size(key) + byte_size(value || "") + 64

  @doc "The first line of a file."
  @spec format() :: String.t()
  def format, do: @format

  @doc "The bytes of a record."
  @spec encode(record()) :: iodata()
  def encode(record) do
    payload = :erlang.term_to_binary(record)
    size = <<byte_size(payload)::32>>
    [size, <<:erlang.crc32(size)::32, :erlang.crc32(payload)::32>>, payload]
  end

  @doc "The records of a file, and a description of the damage, or `nil`."
  @spec decode(binary()) :: {[record()], String.t() | nil}
  def decode(@format <> records), do: decode(records, byte_size(@format), [], nil)
  def decode(<<>>), do: {[], "the file is empty"}
  def decode(_other), do: {[], "it does not begin with #{inspect(@format)}"}

  defp decode(<<>>, _offset, records, wrong), do: {Enum.reverse(records), wrong}

  defp decode(<<size::binary-4, check::32, crc::32, rest::binary>>, offset, records, wrong) do
    <<length::32>> = size

    cond do
      :erlang.crc32(size) != check or length > @max_record ->
        stop(
          records,
          wrong,
          "a record at byte #{offset} is damaged, and with it all that follows"
        )

      byte_size(rest) < length ->
        stop(records, wrong, "the record at byte #{offset}, the last one, is cut off")

      true ->
        <<payload::binary-size(length), rest::binary>> = rest

        case term(payload, crc) do
          {:ok, record} -> decode(rest, offset + 12 + length, [record | records], wrong)
          :error -> decode(rest, offset + 12 + length, records, wrong || damaged(offset))
        end
    end
  end

  defp decode(_short, offset, records, wrong),
    do: stop(records, wrong, "the record at byte #{offset}, the last one, is cut off")

  defp stop(records, wrong, why), do: {Enum.reverse(records), wrong || why}

  defp damaged(offset), do: "the record at byte #{offset} is damaged"

  defp term(payload, crc) do
    if :erlang.crc32(payload) == crc,
      do: payload |> :erlang.binary_to_term([:safe]) |> checked(),
      else: :error
  rescue
    # The payload is not an Erlang term.
    ArgumentError -> :error
  end

  defp checked({:identity, text} = record) when is_binary(text), do: {:ok, record}

  defp checked({:revision, bucket, revision} = record)
       when bucket in @buckets and revision in 0..@max_revision,
       do: {:ok, record}

  defp checked({:put, bucket, key, revision, value} = record)
       when bucket in @buckets and is_binary(key) and revision in 0..@max_revision and
              is_binary(value),
       do: {:ok, record}

  defp checked({:deleted, bucket, key, revision} = record)
       when bucket in @buckets and is_binary(key) and revision in 0..@max_revision,
       do: {:ok, record}

  defp checked(_other), do: :error

  # Removes a partly written record, which would count as damage.
  defp cut(log) do
    with {:ok, device} <- :file.open(log.path, [:raw, :read, :write]) do
      {:ok, _position} = :file.position(device, log.size)
      cut = :file.truncate(device)
      _synced = :file.datasync(device)
      _closed = :file.close(device)
      cut
    end
  end

  defp sync(path) do
    with {:ok, device} <- :file.open(path, [:raw, :read, :append]) do
      synced = :file.sync(device)
      _closed = :file.close(device)
      synced
    end
  end

  defp failed(path, what, reason) do
    Error.new(:io, "#{path} cannot be #{what}: #{:file.format_error(reason)}")
  end
end
