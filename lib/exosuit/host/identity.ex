defmodule Exosuit.Host.Identity do
  @moduledoc false
  # The identity of a host: its key pair, and its name for people. Both are kept in the data directory, in `host.nk`
  # (the seed, readable by its owner only) and `host.name`, so that a restarted host is the same one for links,
  # labels, dashboards and orchestrators. Without a data directory, or with `identity: :new`, each start makes a new
  # identity.
  #
  # No process keeps the seed, because nothing signs with it yet.

  alias Exosuit.{Claims, Config, Error, Secret}
  alias Exosuit.Host.FriendlyName

  @type t :: %{public_key: String.t(), friendly_name: String.t()}

  # The form of the names that Exosuit makes; any other text in the file is not used.
  @name ~r/\A[\w.-]{1,128}\z/

  @doc """
  Returns the identity of a host that is about to start. Makes a new identity if none is stored. If it could not be
  stored or read, the error has the reason, and the host starts with a new identity.
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
