defmodule Exosuit.Host.Identity do
  @moduledoc """
  The identity of a host: its key pair, and its name for people.

  `Exosuit.Tree` fetches it before it starts any process. With a data directory, both parts are kept, so that a
  restarted host is the same one for links, labels, dashboards and orchestrators:

  | file | content | mode |
  |---|---|---|
  | `host.nk` | the seed of the key pair | `0600` |
  | `host.name` | the name for people | `0600` |

  Without a data directory, or with `identity: :new`, each start makes a new identity. The option `host_seed` takes
  precedence over `host.nk`.

  A file that cannot be read or written does not stop the start. The host runs with a new identity, and the event
  `identity_not_kept` has the reason. A damaged file is left as it is, because an operator may be able to restore it.

  No process keeps the seed, because nothing signs with it. When a new seed is made, it is text in a process of its own,
  which ends at once; its memory is freed with it.

  Each file is written under another name and then renamed, so that a crash in between leaves no half of a seed.
  """

  alias Exosuit.{Claims, Config, Error, Secret}
  alias Exosuit.Host.FriendlyName

  @typedoc "`public_key` begins with `N`, and is the host's id in the lattice."
  @type t :: %{public_key: String.t(), friendly_name: String.t()}

  # The form of the names that Exosuit makes; any other text in the file is not used.
  @name ~r/\A[\w.-]{1,128}\z/

  @doc """
  Returns the identity of a host that is about to start. Makes a new identity if none is stored.

  The third element is the reason why the identity could not be read or stored, or `nil`. In that case the host starts
  with a new identity. `{:error, error}` is for an unusable `host_seed`, for example of another kind of key.
  """
  @spec fetch(Config.t()) :: {:ok, t(), Error.t() | nil} | {:error, Error.t()}
  def fetch(config) do
    with {:ok, key, unkept} <- key(config.nats, path(config, "host.nk")) do
      {name, unnamed} = name(path(config, "host.name"))
      {:ok, %{public_key: key, friendly_name: name}, unkept || unnamed}
    end
  end

  defp path(%Config{data_dir: nil}, _file), do: nil
  defp path(%Config{identity: :new}, _file), do: nil
  defp path(%Config{data_dir: data_dir}, file), do: Path.join(data_dir, file)

  # An option takes precedence over the kept seed.
  defp key(%{host_seed: %Secret{} = seed}, _path) do
    with {:ok, key} <- Secret.public_key(seed, "server"), do: {:ok, key, nil}
  end

  defp key(_no_seed, nil), do: new_key(nil)

  defp key(_no_seed, path) do
    case File.lstat(path) do
      {:error, :enoent} -> make_key(path)
      _there -> read_key(path)
    end
  end

  defp new_key(unkept) do
    with {:ok, {key, _seed}} <- Secret.generate("server"), do: {:ok, key, unkept}
  end

  defp read_key(path) do
    with {:ok, seed} <- Secret.new({:file, path}),
         {:ok, key} <- Secret.public_key(seed, "server") do
      {:ok, key, nil}
    else
      {:error, _damaged} -> new_key(damaged(path))
    end
  end

  # Runs in a process of its own, because the seed is text there: its memory is freed when the process ends.
  defp make_key(path) do
    Task.await(
      Task.async(fn ->
        with {:ok, {key, seed}} <- Claims.generate_key("server") do
          {:ok, key, unkept(path, write(path, seed))}
        end
      end),
      :infinity
    )
  end

  defp name(nil), do: {FriendlyName.generate(), nil}

  defp name(path) do
    case File.read(path) do
      {:ok, text} -> parse_name(path, String.trim(text))
      {:error, :enoent} -> make_name(path)
      {:error, _reason} -> {FriendlyName.generate(), damaged(path)}
    end
  end

  defp parse_name(path, text) do
    if String.valid?(text) and text =~ @name,
      do: {text, nil},
      else: {FriendlyName.generate(), damaged(path)}
  end

  defp make_name(path) do
    name = FriendlyName.generate()
    {name, unkept(path, write(path, name))}
  end

  defp damaged(path) do
    Error.new(
      :io,
      "#{path} cannot be read, or is damaged: restore it from a copy, or remove it for a new identity"
    )
  end

  defp unkept(_path, :ok), do: nil

  defp unkept(path, {:error, reason}) do
    Error.new(:io, "#{path} cannot be written: #{:file.format_error(reason)}")
  end

  # A new file is readable by all until its mode is set, so the content is written after that.
  defp write(path, text) do
    new = path <> ".new"

    with :ok <- File.mkdir_p(Path.dirname(path)),
         :ok <- File.write(new, ""),
         :ok <- File.chmod(new, 0o600),
         :ok <- File.write(new, text <> "\n", [:sync]),
         do: File.rename(new, path)
  end
end
