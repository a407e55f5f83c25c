defmodule Plugins.Uploads do
  @moduledoc """
  The uploaded components, on disk: `uploads/NAME/SHA256.wasm`, and `uploads/NAME/current` with the name of the file
  that runs.

  A new file becomes current when it runs; until then, `uploads/NAME/next` has its name. If the app is killed before, the
  old file is still current.
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
    file = Base.encode16(:crypto.hash(:sha256, wasm), case: :lower) <> ".wasm"
    path = directory("#{name}/#{file}")
    File.mkdir_p!(Path.dirname(path))
    # The file may run, so its name always leads to a complete one.
    File.write!(path <> ".new", wasm)
    File.rename!(path <> ".new", path)
    File.write!(directory("#{name}/next"), file)
    path
  end

  @doc "Makes the file that was stored last current, and deletes the others of the plugin."
  @spec accept!(String.t()) :: :ok
  def accept!(name) do
    File.rename!(directory("#{name}/next"), directory("#{name}/current"))
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

  defp directory(path), do: Path.join([data_dir(), "uploads", path])
end
