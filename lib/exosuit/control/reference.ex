defmodule Exosuit.Control.Reference do
  @moduledoc false
  # Where the code of an actor or a provider comes from, as the lattice writes it: `file://PATH`, if the
  # host may read that file for others (`:allow_file_load`), or a provider that is here already.

  alias Exosuit.Error

  @typedoc "Which files: none, all, or those below some directories."
  @type files :: boolean() | [Path.t()]

  @schemes ~w(wasmcloud+builtin exosuit+module)

  @doc "The path of a Wasm file."
  @spec actor(String.t(), files()) :: {:ok, Path.t()} | {:error, Error.t()}
  def actor("file://" <> path, files), do: file(path, files)
  def actor(reference, _files), do: refuse(reference)

  @doc "The name of a provider that needs no file, as `Exosuit.start_provider/3` takes it."
  @spec provider(String.t(), files()) :: {:ok, String.t()} | {:error, Error.t()}
  def provider(reference, files) do
    case String.split(reference, "://", parts: 2) do
      [scheme, name] when scheme in @schemes and name != "" -> {:ok, reference}
      ["file", path] -> with {:ok, _path} <- file(path, files), do: {:error, archive(reference)}
      _other -> refuse(reference)
    end
  end

  @doc "The reference as the inventory shows it, so that the two can be compared."
  @spec normalize(String.t()) :: String.t()
  def normalize("file://" <> path), do: "file://" <> Path.expand(path)
  def normalize(reference), do: reference

  @doc "What a provider is called by its reference: `keyvalue`."
  @spec name(String.t()) :: String.t()
  def name(reference), do: reference |> String.split("://", parts: 2) |> List.last()

  defp file(_path, false) do
    denied("this host reads no files for the lattice")
  end

  defp file(path, files) do
    if Path.type(path) == :absolute and not String.contains?(path, <<0>>) do
      below(Path.expand(path), files)
    else
      {:error, Error.new(:invalid_input, "expected file:// and an absolute path")}
    end
  end

  defp below(path, true), do: {:ok, path}

  defp below(path, directories) do
    if Enum.any?(directories, &String.starts_with?(path, String.trim_trailing(&1, "/") <> "/")) do
      {:ok, path}
    else
      denied("this host reads files for the lattice only below #{Enum.join(directories, ", ")}")
    end
  end

  defp denied(what) do
    allow = "start it with `allow_file_load: true` (WASMCLOUD_ALLOW_FILE_LOAD=true) to allow all"
    {:error, Error.new(:denied, "#{what}; #{allow}")}
  end

  defp archive(reference) do
    Error.new(:invalid_input, "provider archives are not served yet: #{quoted(reference)}")
  end

  defp refuse(reference) do
    {:error, Error.new(:invalid_input, "registries are not served yet: #{quoted(reference)}")}
  end

  # It comes from outside: of what is long, the head says enough.
  defp quoted(reference), do: inspect(reference, printable_limit: 200)
end
