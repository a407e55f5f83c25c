defmodule Exosuit.Artifact do
  @moduledoc """
  Reads the code of actors, bounded, and checks its digest and its claims.

      a path, a reference, {:bytes, wasm}
          │ parse/1       which form is it? Reads nothing
          ▼
      Model.Artifact
          │ load/2        read, hash, check the digest and the token
          ▼
      Artifact.Loaded ──► compiled by the actor's process (`Exosuit.Actor.Compiled`)

  Code is read once for each start or update, and the result is passed on: the bytes that run are the bytes whose
  claims were checked, also if the file changes in between.

  A module has 1 GiB at most here; the engine's own limit is lower. A larger file is refused without being read.
  """

  alias Exosuit.{Claims, Config, Error, Input, Native}
  alias Exosuit.Artifact.Loaded
  alias Exosuit.Model

  # Far above the engine's default limit. A larger file is refused without being read.
  @max_bytes 1_073_741_824

  @doc """
  The artifact of a path, a reference, or `{:bytes, wasm}`. Reads nothing: a file need not exist yet.

  Returns `:invalid_input` for an image of a registry, for a provider and for another form of reference; the error says
  which form was expected. Any other term raises `ArgumentError`.

      iex> Exosuit.Artifact.parse("/srv/shop.wasm")
      {:ok, {:file, "/srv/shop.wasm", nil}}
      iex> {:error, error} = Exosuit.Artifact.parse("wasmcloud+builtin://keyvalue")
      iex> error.reason
      :invalid_input
  """
  @spec parse(Path.t() | {:bytes, binary()}) :: {:ok, Model.Artifact.t()} | {:error, Error.t()}
  def parse({:bytes, bytes}) when is_binary(bytes), do: {:ok, {:bytes, bytes, nil}}

  # Bytes without the `:bytes` tag may be megabytes: the error explains the tag, and shows none of them.
  def parse(<<0, "asm", _rest::binary>>) do
    raise ArgumentError,
          "expected the actor as a path or {:bytes, wasm}, got the bytes themselves"
  end

  def parse(text) when is_binary(text) do
    case Input.parse_reference(text) do
      {:ok, {:file, path}} -> {:ok, {:file, Path.expand(path), nil}}
      {:ok, {:registry, image}} -> Input.refuse_registry(image)
      {:ok, {kind, _name}} -> {:error, Error.new(:invalid_input, no_actor(kind, text))}
      {:error, error} -> {:error, error}
    end
  end

  def parse(other) do
    shown = inspect(other, limit: 5, printable_limit: 100)
    raise ArgumentError, "expected the actor as a path or {:bytes, wasm}, got: #{shown}"
  end

  @doc "The name of code for events. A text that is not a reference is shown unchanged, if it is printable."
  @spec reference(Path.t() | {:bytes, binary()} | Loaded.t()) :: String.t()
  def reference(%Loaded{artifact: artifact}), do: Model.Artifact.reference(artifact)

  def reference(code) do
    case parse(code) do
      {:ok, artifact} -> Model.Artifact.reference(artifact)
      {:error, _error} -> if String.valid?(code), do: code, else: inspect(code)
    end
  end

  @doc """
  Reads code and checks its claims by the rules of the host. Callers pass on the result, so that the code is read
  once. Blocks the calling process.

  Returns `:io` for a file that cannot be read, or an object whose bytes do not match its digest, `:invalid_module` for
  too many bytes, and `:invalid_claims` or `:expired_claims` for a token that is not accepted.
  """
  @spec load(Model.Artifact.t(), Config.t()) :: {:ok, Loaded.t()} | {:error, Error.t()}
  def load(artifact, config) do
    with {:ok, bytes} <- read(artifact),
         digest = Native.digest(bytes),
         {:ok, artifact} <- identify(artifact, digest),
         {:ok, claims} <- Claims.admit(bytes, config) do
      {:ok, %Loaded{artifact: artifact, bytes: bytes, digest: digest, claims: claims}}
    end
  end

  @doc "The bytes of Wasm, without any check but that of the size. Blocks the calling process."
  @spec read(Model.Artifact.t()) :: {:ok, binary()} | {:error, Error.t()}
  def read({:file, path, _digest}), do: read_path(path)
  def read({:object, _name, _digest, {:path, path}}), do: read_path(path)
  def read({:object, _name, _digest, {:bytes, bytes}}), do: {:ok, bytes}
  def read({:bytes, bytes, _digest}) when byte_size(bytes) <= @max_bytes, do: {:ok, bytes}
  def read({:bytes, bytes, _digest}), do: {:error, too_large("the module", byte_size(bytes))}

  @doc """
  Whether a path leads below a directory, after all symbolic links of both were followed. First compares the texts,
  so that a path outside of the directory is never touched. A file that does not exist counts as below; its absence is
  reported when it is read.
  """
  @spec below?(Path.t(), Path.t()) :: boolean()
  def below?(path, directory) do
    directory = Path.expand(directory)
    inside?(Path.expand(path), directory) and leads_inside?(path, directory)
  end

  defp no_actor(kind, text) do
    "expected a Wasm file as the actor, got #{inspect(text)}, which is a provider (#{kind})"
  end

  defp leads_inside?(path, directory) do
    case {Native.path_resolve(path), Native.path_resolve(directory)} do
      # A missing file is reported when it is read.
      {nil, _directory} -> true
      {_path, nil} -> false
      {path, directory} -> inside?(path, directory)
    end
  end

  defp inside?(path, directory) do
    String.starts_with?(path, String.trim_trailing(directory, "/") <> "/")
  end

  defp identify({kind, source, _digest}, digest), do: {:ok, {kind, source, digest}}

  defp identify({:object, _name, "sha256:" <> hex = object, _source} = artifact, digest) do
    if String.upcase(hex) == digest,
      do: {:ok, artifact},
      else: {:error, Error.new(:io, "the copy of object #{object} on this host is damaged")}
  end

  defp read_path(path) do
    case File.stat(path) do
      {:ok, %{type: :regular, size: size}} when size <= @max_bytes ->
        read_file(path)

      {:ok, %{type: :regular, size: size}} ->
        {:error, too_large(path, size)}

      {:ok, %{type: type}} ->
        {:error, Error.new(:io, "#{path} is a #{type}, expected a .wasm file")}

      {:error, reason} ->
        {:error, unreadable(path, reason)}
    end
  end

  defp read_file(path) do
    with {:error, reason} <- File.read(path), do: {:error, unreadable(path, reason)}
  end

  defp unreadable(path, reason) do
    Error.new(:io, "#{path} cannot be read: #{:file.format_error(reason)}")
  end

  defp too_large(what, size) do
    Error.new(:invalid_module, "#{what} has #{size} bytes, at most #{@max_bytes} are allowed")
  end
end
