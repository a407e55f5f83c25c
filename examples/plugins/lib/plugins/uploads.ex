defmodule Plugins.Uploads do
  @moduledoc """
  The uploaded components, on disk: `uploads/NAME/SHA256.wasm`, and `uploads/NAME/current` with the name of the file
  that runs.

  A new file becomes current when it runs. If the app is killed before that, the old file is still current.
  """

  @doc "The directory of everything that the app keeps."
  @spec data_dir() :: Path.t()
  def data_dir, do: :plugins |> Application.fetch_env!(:data_dir) |> Path.expand()

  @doc "The names of all plugins, with their current files."
  @spec list() :: [{String.t(), Path.t()}]
  def list do
    for marker <- Path.wildcard(directory("*/current")), {:ok, file} <- [File.read(marker)] do
      directory = Path.dirname(marker)
      {Path.basename(directory), Path.join(directory, file)}
    end
  end

  @doc "Stores a new file, which is not current yet."
  @spec write!(String.t(), binary()) :: Path.t()
  def write!(name, wasm) do
    digest = Base.encode16(:crypto.hash(:sha256, wasm), case: :lower)
    path = directory("#{name}/#{digest}.wasm")
    File.mkdir_p!(Path.dirname(path))
    replace!(path, wasm)
    path
  end

  @doc "Makes a file current, and deletes the others of the plugin."
  @spec accept!(String.t(), Path.t()) :: :ok
  def accept!(name, path) do
    replace!(directory("#{name}/current"), Path.basename(path))
    tidy(name)
  end

  @doc "Deletes the files of a plugin that are not current."
  @spec tidy(String.t()) :: :ok
  def tidy(name) do
    case File.read(directory("#{name}/current")) do
      {:ok, current} ->
        kept = ["current", current]

        for file <- File.ls!(directory(name)),
            file not in kept,
            do: File.rm!(directory("#{name}/#{file}"))

        :ok

      {:error, _none} ->
        delete(name)
    end
  end

  @doc "Deletes all files of a plugin."
  @spec delete(String.t()) :: :ok
  def delete(name) do
    _ = File.rm_rf!(directory(name))
    :ok
  end

  # A file has its name only when it is complete.
  defp replace!(path, bytes) do
    File.write!(path <> ".new", bytes)
    File.rename!(path <> ".new", path)
  end

  defp directory(path), do: Path.join([data_dir(), "uploads", path])
end
