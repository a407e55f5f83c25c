defmodule Exosuit.Control.Reference do
  @moduledoc false
  # Where the code of an actor or a provider comes from, as the lattice writes it: `file://PATH`, if the
  # host was told to read files for strangers, or a provider that is here already.

  alias Exosuit.Error

  @schemes ~w(wasmcloud+builtin exosuit+module)

  @doc "The path of a Wasm file."
  @spec actor(String.t(), boolean()) :: {:ok, Path.t()} | {:error, Error.t()}
  def actor("file://" <> path, allow_files?), do: file(path, allow_files?)
  def actor(reference, _allow_files?), do: refuse(reference)

  @doc "The name of a provider that needs no file, as `Exosuit.start_provider/3` takes it."
  @spec provider(String.t(), boolean()) :: {:ok, String.t()} | {:error, Error.t()}
  def provider(reference, allow_files?) do
    case String.split(reference, "://", parts: 2) do
      [scheme, name] when scheme in @schemes and name != "" -> {:ok, reference}
      ["file", _path] when allow_files? -> {:error, archive(reference)}
      ["file", path] -> file(path, false)
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
    detail =
      "this host reads no files for the lattice: start it with `allow_file_load` " <>
        "(WASMCLOUD_ALLOW_FILE_LOAD) to have it take file:// references"

    {:error, Error.new(:denied, detail)}
  end

  defp file(path, true) do
    if Path.type(path) == :absolute and not String.contains?(path, <<0>>) do
      {:ok, Path.expand(path)}
    else
      {:error, Error.new(:invalid_input, "expected file:// and an absolute path")}
    end
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
