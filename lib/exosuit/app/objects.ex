defmodule Exosuit.App.Objects do
  @moduledoc """
  The objects of applications on this host: fetched from the lattice's store, verified, and kept in the data directory
  (`objects/`, a file per digest) or, without one, in the specifications that use them.

  Each function blocks the calling process.
  """

  alias Exosuit.{Error, Instance}
  alias Exosuit.Lattice.Store
  alias Exosuit.Model.{Artifact, Digest}

  @doc "Brings objects to this host."
  @spec ensure(Instance.t(), [Digest.t()]) :: :ok | {:error, Error.t()}
  def ensure(instance, digests) do
    Enum.reduce_while(digests, :ok, fn digest, :ok ->
      case source(instance, digest) do
        {:ok, _source} -> {:cont, :ok}
        error -> {:halt, error}
      end
    end)
  end

  @doc "Where the bytes of an object are on this host. Fetches it if it is not here."
  @spec source(Instance.t(), Digest.t()) :: {:ok, Artifact.source()} | {:error, Error.t()}
  def source(%Instance{config: %{data_dir: nil}} = instance, digest) do
    with {:ok, bytes} <- fetch(instance, digest), do: {:ok, {:bytes, bytes}}
  end

  def source(instance, digest) do
    path = path(instance, digest)

    if kept?(path, digest) do
      {:ok, {:path, path}}
    else
      with {:ok, bytes} <- fetch(instance, digest),
           :ok <- keep(path, bytes),
           do: {:ok, {:path, path}}
    end
  end

  @doc "The bytes of an object."
  @spec fetch(Instance.t(), Digest.t()) :: {:ok, binary()} | {:error, Error.t()}
  def fetch(instance, digest), do: Store.fetch_object(instance.lattice, digest)

  @doc "Keeps bytes on this host alone, while the lattice is away."
  @spec keep_here(Instance.t(), binary()) ::
          {:ok, {Digest.t(), Artifact.source()}} | {:error, Error.t()}
  def keep_here(%Instance{config: %{data_dir: nil}}, bytes),
    do: {:ok, {Digest.of(bytes), {:bytes, bytes}}}

  def keep_here(instance, bytes) do
    digest = Digest.of(bytes)
    path = path(instance, digest)
    with :ok <- keep(path, bytes), do: {:ok, {digest, {:path, path}}}
  end

  @doc "Puts an object into the lattice's store, unless it is there, and gives its digest."
  @spec put(Instance.t(), binary()) :: {:ok, Digest.t()} | {:error, Error.t()}
  def put(instance, bytes), do: Store.put_object(instance.lattice, bytes)

  # Somebody may have changed the file.
  defp kept?(path, digest) do
    case File.read(path) do
      {:ok, bytes} -> Digest.of(bytes) == digest
      {:error, _absent} -> false
    end
  end

  defp keep(path, bytes) do
    new = "#{path}.#{System.unique_integer([:positive])}.new"

    with :ok <- File.mkdir_p(Path.dirname(path)),
         :ok <- File.write(new, bytes, [:sync]),
         :ok <- File.rename(new, path) do
      :ok
    else
      {:error, reason} ->
        {:error, Error.new(:io, "#{path} cannot be written: #{:file.format_error(reason)}")}
    end
  end

  defp path(instance, "sha256:" <> hex), do: Path.join([instance.config.data_dir, "objects", hex])
end
