defmodule Exosuit.Control.Reference do
  @moduledoc """
  References to the code of actors and providers in commands of the lattice. Pure, but for the look at symbolic links.

  A reference is `file://PATH`, if the host may read that file for others (`:allow_file_load`), or a provider that the
  host has already. Images of registries are refused: the host does not fetch them.

  The senders of these commands may be anybody on the lattice. A file's content gets to them only if it is valid Wasm,
  but errors could tell whether a file exists. Therefore the host reads no file for the lattice by default. With a list
  of directories, it reads only files below them; a path that leads out of them by a symbolic link is refused.
  """

  alias Exosuit.{Artifact, Error, Input}

  @typedoc "The allowed files: none, all, or those below some directories."
  @type files :: boolean() | [Path.t()]

  @forms "wasmcloud+builtin://NAME or exosuit+module://NAME"

  @doc """
  The path of a Wasm file. `:denied` if the host does not read it for the lattice, and `:invalid_input` for a relative
  path or another kind of reference.

      iex> Exosuit.Control.Reference.actor("file:///srv/shop.wasm", true)
      {:ok, "/srv/shop.wasm"}
      iex> {:error, error} = Exosuit.Control.Reference.actor("file:///srv/shop.wasm", false)
      iex> error.reason
      :denied
  """
  @spec actor(String.t(), files()) :: {:ok, Path.t()} | {:error, Error.t()}
  def actor(reference, files) do
    case Input.parse_reference(reference) do
      {:ok, {:file, path}} ->
        file(path, files)

      {:ok, {:registry, image}} ->
        Input.refuse_registry(image)

      {:ok, {kind, _name}} ->
        refuse("a Wasm file (file://PATH)", reference, "a provider (#{kind})")

      {:error, error} ->
        {:error, error}
    end
  end

  @doc "The name of a provider that needs no file, as `Exosuit.start_provider/3` takes it."
  @spec provider(String.t(), files()) :: {:ok, String.t()} | {:error, Error.t()}
  def provider(reference, files) do
    case Input.parse_reference(reference) do
      {:ok, {kind, _name}} when kind in [:builtin, :module] -> {:ok, reference}
      {:ok, {:file, path}} -> with {:ok, _path} <- file(path, files), do: archive(reference)
      {:ok, {:registry, image}} -> Input.refuse_registry(image)
      {:error, error} -> {:error, error}
    end
  end

  @doc """
  The reference as the inventory shows it, so that the two can be compared.

      iex> Exosuit.Control.Reference.normalize("file:///srv/../srv/shop.wasm")
      "file:///srv/shop.wasm"
  """
  @spec normalize(String.t()) :: String.t()
  def normalize("file://" <> path), do: "file://" <> Path.expand(path)
  def normalize(reference), do: reference

  @doc """
  The name of a provider in its reference.

      iex> Exosuit.Control.Reference.name("wasmcloud+builtin://keyvalue")
      "keyvalue"
  """
  @spec name(String.t()) :: String.t()
  def name(reference), do: reference |> String.split("://", parts: 2) |> List.last()

  defp file(_path, false) do
    denied("this host does not read files for the lattice")
  end

  defp file(path, files) do
    if Path.type(path) == :absolute and not String.contains?(path, <<0>>) do
      below(Path.expand(path), files)
    else
      {:error,
       Error.new(
         :invalid_input,
         "expected file:// and an absolute path, got: #{inspect(path, printable_limit: 200)}"
       )}
    end
  end

  defp below(path, true), do: {:ok, path}

  defp below(path, directories) do
    if Enum.any?(directories, &Artifact.below?(path, &1)) do
      {:ok, path}
    else
      denied("this host reads files for the lattice only below #{Enum.join(directories, ", ")}")
    end
  end

  defp denied(what) do
    allow = "start it with `allow_file_load: true` (WASMCLOUD_ALLOW_FILE_LOAD=true) to allow all"
    {:error, Error.new(:denied, "#{what}; #{allow}")}
  end

  defp archive(reference), do: refuse(@forms, reference, "an archive")

  defp refuse(expected, reference, what) do
    detail = "expected #{expected}, got #{quoted(reference)}, which is #{what}"
    {:error, Error.new(:invalid_input, detail)}
  end

  # The reference comes from outside: only the beginning of a long one is shown.
  defp quoted(reference), do: inspect(reference, printable_limit: 200)
end
