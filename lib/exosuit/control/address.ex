defmodule Exosuit.Control.Address do
  @moduledoc """
  The file of the control socket: finds out whether a host answers there, and opens it so that only its owner can
  ever connect.

  A process that may connect may run any code on the host. Three steps keep others out:

  1. The data directory gets the mode `0700`, unless it has the sticky bit, as `/tmp` has: then others use it as well.
  2. The socket is bound under another name, and its mode set to `0600` there.
  3. Then it is renamed to its final name. At no moment can anybody connect to a socket that is open to others.

  A file that a dead host left is replaced. A file that is no socket is not touched.
  """

  import Bitwise

  alias Exosuit.Error

  # The kernel's limit of an address, less one byte and the suffix of `listen/1`.
  @max_path 103

  @probe_timeout 1_000
  @send_timeout 5_000

  @doc """
  Whether a living host answers there. A host that is too busy to accept within a second counts as living: its file must
  not be replaced.
  """
  @spec taken?(Path.t()) :: boolean()
  def taken?(path) do
    byte_size(path) <= @max_path and probe(path) == :living
  end

  @doc """
  Opens the socket. Replaces the file of a dead host. Returns `:conflict` if a living host answers, and `:io` if the
  path is longer than 103 bytes (a limit of the kernel), is another kind of file, or cannot be made.
  """
  @spec listen(Path.t()) :: {:ok, :gen_tcp.socket()} | {:error, Error.t()}
  def listen(path) do
    with :ok <- check_length(path),
         :ok <- make_private(Path.dirname(path)),
         :ok <- check_free(path),
         do: bind(path, path <> ".new")
  end

  defp check_length(path) when byte_size(path) <= @max_path, do: :ok

  defp check_length(path) do
    detail =
      "#{path} has #{byte_size(path)} bytes, and the path of a socket at most #{@max_path}: use a shorter data directory"

    {:error, Error.new(:io, detail)}
  end

  defp check_free(path) do
    case {probe(path), File.lstat(path)} do
      {:living, _file} ->
        {:error, Error.new(:conflict, "another host answers at #{path}")}

      {_dead, {:ok, %{type: :other}}} ->
        :ok

      {_dead, {:error, :enoent}} ->
        :ok

      {_dead, _something} ->
        {:error, Error.new(:io, "#{path} exists and is not a socket: remove it")}
    end
  end

  # A socket whose process has ended refuses connections.
  defp probe(path) do
    case :gen_tcp.connect({:local, path}, 0, [], @probe_timeout) do
      {:ok, socket} ->
        :ok = :gen_tcp.close(socket)
        :living

      {:error, reason} when reason in [:enoent, :econnrefused, :enotdir] ->
        :dead

      {:error, _busy} ->
        :living
    end
  end

  # Bound under another name, so that nobody can connect before the file has its mode.
  defp bind(path, new) do
    options = [
      :binary,
      ifaddr: {:local, new},
      active: false,
      backlog: 64,
      send_timeout: @send_timeout,
      send_timeout_close: true
    ]

    _left_over = File.rm(new)

    with {:ok, socket} <- :gen_tcp.listen(0, options),
         :ok <- File.chmod(new, 0o600),
         :ok <- File.rename(new, path) do
      {:ok, socket}
    else
      {:error, reason} ->
        {:error, Error.new(:io, "#{path} cannot be opened: #{:inet.format_error(reason)}")}
    end
  end

  defp make_private(directory) do
    with :ok <- File.mkdir_p(directory),
         {:ok, %{mode: mode}} <- File.stat(directory) do
      # A directory with the sticky bit is shared, like /tmp: there the mode of the socket protects it.
      if (mode &&& 0o1077) in 1..0o77, do: File.chmod(directory, 0o700), else: :ok
    else
      {:error, reason} ->
        {:error, Error.new(:io, "#{directory} cannot be used: #{:file.format_error(reason)}")}
    end
  end
end
