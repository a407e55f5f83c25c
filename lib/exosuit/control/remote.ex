defmodule Exosuit.Control.Remote do
  @moduledoc """
  Opens the VM for `exosuit remote`, when the socket asks for it.

  Unless the VM has Erlang distribution already, the first request starts it (`Exosuit.Distribution`), and it stays open
  until the VM ends. The cookie is in a file that only its owner can read, in a directory that only its owner can open:
  whoever may read it may run any code on the host, as may whoever can open the control socket.

  The file is removed when the host ends.
  """

  use Exosuit.Server

  alias Exosuit.{Directory, Distribution, Error, Instance}

  @enforce_keys [:directory]
  defstruct [:directory]

  # More than enough, because the VM's kernel only opens a socket.
  @timeout 30_000

  @doc """
  Opens the VM of this host. Returns the name of its node, its port, the path of the cookie's file, and the versions
  that must fit. Blocks the calling process, for 30 s at most. `:io` if the file cannot be written.
  """
  @spec open(Instance.t()) :: {:ok, map()} | {:error, Error.t()}
  def open(instance),
    do: GenServer.call(Directory.via(instance.name, __MODULE__), :open, @timeout)

  @spec start_link(Instance.t()) :: GenServer.on_start()
  def start_link(instance) do
    state = %__MODULE__{directory: Path.join(instance.config.data_dir, "exosuit.remote")}
    GenServer.start_link(__MODULE__, state, name: Directory.via(instance.name, __MODULE__))
  end

  @impl GenServer
  def init(state) do
    Process.flag(:trap_exit, true)
    {:ok, state}
  end

  @impl GenServer
  def handle_call(:open, _from, state) do
    with {:ok, door} <- Distribution.open(),
         :ok <- write(state.directory, Atom.to_string(door.cookie)) do
      {:reply, {:ok, way(door, state.directory)}, state}
    else
      error -> {:reply, error, state}
    end
  end

  @impl GenServer
  def terminate(_reason, state) do
    File.rm(cookie_file(state.directory))
    File.rmdir(state.directory)
  end

  defp way(door, directory) do
    %{
      node: Atom.to_string(door.node),
      port: door.port,
      cookie_file: cookie_file(directory),
      version: to_string(Application.spec(:exosuit, :vsn)),
      elixir: System.version()
    }
  end

  defp cookie_file(directory), do: Path.join(directory, "cookie")

  # A new file is readable by all until its mode is set, so the directory is closed to others before.
  defp write(directory, cookie) do
    path = cookie_file(directory)

    with :ok <- make_private(directory),
         :ok <- File.write(path <> ".new", cookie),
         :ok <- File.chmod(path <> ".new", 0o600),
         :ok <- File.rename(path <> ".new", path) do
      :ok
    else
      {:error, reason} ->
        {:error, Error.new(:io, "#{path} cannot be written: #{:file.format_error(reason)}")}
    end
  end

  # The mode of another user's directory cannot be changed.
  defp make_private(directory) do
    with made when made in [:ok, {:error, :eexist}] <- File.mkdir(directory),
         {:ok, %{type: :directory}} <- File.lstat(directory) do
      File.chmod(directory, 0o700)
    else
      {:ok, _something} -> {:error, :enotdir}
      error -> error
    end
  end
end
