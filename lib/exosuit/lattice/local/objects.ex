defmodule Exosuit.Lattice.Local.Objects do
  @moduledoc """
  The objects of a host without NATS: files named by their digest, in `objects/` of the data directory, or rows of
  the table without a data directory.

  A file gets its name once it is complete and on the disk, and is verified at each read. The calling processes read
  and write the files themselves, so that a large object delays no other write of the store: concurrent writers of one
  digest write the same bytes. Rows are written by the writer, which alone may write the table.

  Limits: 256 MiB for each object, 16 GiB for all files together, and 512 MiB for all rows together. Objects that no
  application names are deleted by the sweep of applications (`Exosuit.App.Sweep`).
  """

  alias Exosuit.{Error, Native}
  alias Exosuit.Lattice.Backend
  alias Exosuit.Lattice.Local.{Handle, Log}

  # The bytes of all objects in memory together.
  @max_memory 536_870_912

  # The bytes of all files together. Objects that no application names are deleted after a day.
  @max_files 17_179_869_184

  @max_object 268_435_456

  @name ~r/\A[0-9a-f]{64}\z/

  @doc """
  Stores bytes and gives their digest. A damaged file of this digest is replaced. `:limit` if there is no room, and
  `:io` if the disk cannot be written. Blocks the calling process. `max` is for tests.
  """
  @spec put(Handle.t(), binary(), pos_integer()) :: {:ok, String.t()} | {:error, Error.t()}
  def put(handle, bytes, max \\ @max_files) do
    digest = digest(bytes)

    case directory(handle) do
      nil -> Handle.call(handle, {:put_object, digest, bytes})
      directory -> put_file(directory, digest, bytes, max)
    end
  end

  @doc """
  The bytes of a digest, or `nil`. `:io` if the file has other bytes than its name says. Blocks the calling process.
  """
  @spec get(Handle.t(), String.t()) :: {:ok, binary() | nil} | {:error, Error.t()}
  def get(handle, digest) do
    case directory(handle) do
      nil -> {:ok, in_memory(handle, digest)}
      directory -> get_file(path(directory, digest), digest)
    end
  end

  @doc "Deletes the bytes of a digest. Blocks the calling process."
  @spec delete(Handle.t(), String.t()) :: :ok | {:error, Error.t()}
  def delete(handle, digest) do
    case directory(handle) do
      nil -> Handle.call(handle, {:delete_object, digest})
      directory -> delete_file(path(directory, digest))
    end
  end

  @doc "All objects. Blocks the calling process."
  @spec list(Handle.t()) :: {:ok, [Backend.object()]} | {:error, Error.t()}
  def list(handle) do
    case directory(handle) do
      nil -> {:ok, list_memory(handle)}
      directory -> list_files(directory)
    end
  end

  @doc "Keeps bytes in the table. For the writer."
  @spec keep(Handle.t(), String.t(), binary()) :: {:ok, String.t()} | {:error, Error.t()}
  def keep(handle, digest, bytes) do
    others = for %{size: size, digest: other} <- list_memory(handle), other != digest, do: size

    if Enum.sum(others) + byte_size(bytes) > @max_memory do
      {:error, Error.new(:limit, no_room())}
    else
      true = :ets.insert(handle.table, {{:object, digest}, whole(bytes), now()})
      {:ok, digest}
    end
  end

  @doc "Takes bytes out of the table. For the writer."
  @spec drop(Handle.t(), String.t()) :: :ok
  def drop(handle, digest) do
    true = :ets.delete(handle.table, {:object, digest})
    :ok
  end

  @doc """
  Deletes the files of interrupted writes. For the writer at its start, when nobody else writes.
  """
  @spec clean(Handle.t()) :: :ok
  def clean(handle) do
    directory = directory(handle)

    with {:ok, names} <- File.ls(directory) do
      for name <- names, String.ends_with?(name, ".new"), do: File.rm(Path.join(directory, name))
    end

    :ok
  end

  defp directory(handle) do
    with path when path != nil <- Handle.get(handle, :directory), do: Path.join(path, "objects")
  end

  defp in_memory(handle, digest) do
    case :ets.lookup(handle.table, {:object, digest}) do
      [{_key, bytes, _at}] -> bytes
      [] -> nil
    end
  end

  defp list_memory(handle) do
    for {digest, bytes, at} <-
          :ets.select(handle.table, [
            {{{:object, :"$1"}, :"$2", :"$3"}, [], [{{:"$1", :"$2", :"$3"}}]}
          ]),
        do: %{digest: digest, size: byte_size(bytes), at: at}
  end

  # A damaged file is replaced.
  defp put_file(directory, digest, bytes, max) do
    path = path(directory, digest)

    with {:ok, nil} <- good_file(path, digest),
         :ok <- check_room(directory, byte_size(bytes), max),
         do: write(directory, path, digest, bytes)
  end

  defp good_file(path, digest) do
    case get_file(path, digest) do
      {:ok, bytes} when bytes != nil -> {:ok, digest}
      _absent_or_damaged -> {:ok, nil}
    end
  end

  defp check_room(directory, size, max) do
    with {:ok, objects} <- list_files(directory) do
      used = objects |> Enum.map(& &1.size) |> Enum.sum()

      if used + size <= max,
        do: :ok,
        else: {:error, Error.new(:limit, full(directory, used, max))}
    end
  end

  defp full(directory, used, max) do
    "there is no room for the object in #{directory}: #{used} of at most #{max} bytes are in use; " <>
      "delete applications; their objects are deleted within two days"
  end

  defp write(directory, path, digest, bytes) do
    new = "#{path}.#{System.unique_integer([:positive])}.new"

    with :ok <- File.mkdir_p(directory),
         :ok <- File.write(new, bytes, [:raw, :sync]),
         :ok <- File.rename(new, path),
         :ok <- Log.sync_directory(path) do
      {:ok, digest}
    else
      {:error, reason} ->
        _absent = File.rm(new)
        {:error, failed(path, "written", reason)}
    end
  end

  defp get_file(path, digest) do
    with {:ok, %{size: size}} when size <= @max_object <- File.stat(path),
         {:ok, bytes} <- File.read(path),
         ^digest <- digest(bytes) do
      {:ok, bytes}
    else
      {:error, :enoent} -> {:ok, nil}
      {:error, reason} -> {:error, failed(path, "read", reason)}
      {:ok, %{size: size}} -> {:error, wrong(path, digest, "#{size} bytes")}
      other -> {:error, wrong(path, digest, "bytes with the digest #{other}")}
    end
  end

  defp delete_file(path) do
    case File.rm(path) do
      :ok -> :ok
      {:error, :enoent} -> :ok
      {:error, reason} -> {:error, failed(path, "deleted", reason)}
    end
  end

  defp list_files(directory) do
    case File.ls(directory) do
      {:ok, names} ->
        {:ok, for(name <- names, name =~ @name, it = object(directory, name), do: it)}

      {:error, :enoent} ->
        {:ok, []}

      {:error, reason} ->
        {:error, failed(directory, "read", reason)}
    end
  end

  defp object(directory, name) do
    with {:ok, %{size: size, mtime: at}} <- File.stat(Path.join(directory, name), time: :posix),
         do: %{digest: "sha256:" <> name, size: size, at: at * 1_000},
         else: (_deleted_since -> nil)
  end

  defp path(directory, "sha256:" <> name), do: Path.join(directory, name)

  defp digest(bytes), do: "sha256:" <> (bytes |> Native.digest() |> String.downcase())

  # Copies the bytes if they are a part of a larger binary, which they would keep in memory.
  defp whole(bytes) do
    if :binary.referenced_byte_size(bytes) > byte_size(bytes),
      do: :binary.copy(bytes),
      else: bytes
  end

  defp no_room do
    "there is no room in memory for the object: all objects together have at most #{@max_memory} bytes; " <>
      "give the host a data directory (`data_dir`)"
  end

  defp wrong(path, digest, what) do
    Error.new(:io, "#{path} is damaged: it has #{what}, and #{digest} was asked for")
  end

  defp failed(path, what, reason) do
    Error.new(:io, "#{path} cannot be #{what}: #{:file.format_error(reason)}")
  end

  defp now, do: System.system_time(:millisecond)
end
