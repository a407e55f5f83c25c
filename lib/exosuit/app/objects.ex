defmodule Exosuit.App.Objects do
  @moduledoc """
  The objects of applications on this host: fetched from the lattice's store, verified, and kept in the data directory
  (`objects/`, a file per digest) or, without a directory that can be written, in memory (`Exosuit.App.KeptObjects`).

  Each function blocks the calling process. Tasks of the member and of `Exosuit.App.Shares` call them.

  ## Where bytes are looked for

      data directory, if the file has the digest ──► memory ──► the lattice's store
                                                                   │
                            then kept in the data directory, or in memory if it cannot be written

  The digest of a file is computed at each look, because somebody may have changed the file. A file that does not match
  is fetched again and replaced. A file gets its name by a rename, so that a crash never leaves half an object under a
  digest.

  Two tasks may fetch one object at the same time. Both write the same bytes, and the last rename stays.
  """

  alias Exosuit.App.KeptObjects
  alias Exosuit.{Error, Instance}
  alias Exosuit.Host.Specifications
  alias Exosuit.Lattice.Store
  alias Exosuit.Model.{Artifact, Digest}

  # No apply takes this long, so older files do not belong to an apply that is under way.
  @age 86_400

  @doc """
  Brings objects to this host, one after the other. Stops at the first error, with those before it already here:
  `:not_found` if the store lacks the object, `:io` if its bytes do not match, `:unavailable` if the store cannot be
  reached.
  """
  @spec ensure(Instance.t(), [Digest.t()]) :: :ok | {:error, Error.t()}
  def ensure(instance, digests) do
    Enum.reduce_while(digests, :ok, fn digest, :ok ->
      case source(instance, digest) do
        {:ok, _source} -> {:cont, :ok}
        error -> {:halt, error}
      end
    end)
  end

  @doc "The place of an object's bytes on this host. Fetches the object if it is not here; errors as of `ensure/2`."
  @spec source(Instance.t(), Digest.t()) :: {:ok, Artifact.source()} | {:error, Error.t()}
  def source(instance, digest) do
    with nil <- kept(instance, digest),
         {:ok, bytes} <- fetch(instance, digest) do
      {:ok, keep(instance, digest, bytes)}
    else
      {:error, error} -> {:error, error}
      source -> {:ok, source}
    end
  end

  @doc "The bytes of an object from the lattice's store, checked against the digest. Not kept on this host."
  @spec fetch(Instance.t(), Digest.t()) :: {:ok, binary()} | {:error, Error.t()}
  def fetch(instance, digest), do: Store.fetch_object(instance.lattice, digest)

  @doc "Checks that the lattice's store has all of these objects. The error `:not_found` names the missing ones."
  @spec check_there(Instance.t(), [Digest.t()]) :: :ok | {:error, Error.t()}
  def check_there(instance, digests) do
    with {:ok, objects} <- Store.objects(instance.lattice) do
      there = MapSet.new(objects, & &1.digest)

      case Enum.reject(Enum.uniq(digests), &(&1 in there)) do
        [] -> :ok
        missing -> {:error, missing(missing)}
      end
    end
  end

  defp missing(digests) do
    shown = digests |> Enum.take(3) |> Enum.join(", ")

    Error.new(
      :not_found,
      "the lattice lacks #{length(digests)} objects of the application (#{shown}): apply it again"
    )
  end

  @doc "Keeps bytes on this host alone, while the lattice cannot be reached. Returns their digest and place."
  @spec keep_here(Instance.t(), binary()) :: {:ok, {Digest.t(), Artifact.source()}}
  def keep_here(instance, bytes) do
    digest = Digest.of(bytes)
    {:ok, {digest, keep(instance, digest, bytes)}}
  end

  @doc """
  Deletes files of the data directory that are older than a day, if no record names them (`named`) and nothing on
  this host uses them. Only for hosts with NATS: a host without NATS has its store in the same directory. `now` is
  in seconds since 1970.
  """
  @spec prune(Instance.t(), MapSet.t(Digest.t()), integer()) :: :ok
  def prune(%Instance{config: %{data_dir: nil}}, _named, _now), do: :ok

  def prune(instance, named, now) do
    directory = Path.join(instance.config.data_dir, "objects")
    used = MapSet.union(named, used(instance))

    for name <- list(directory),
        ("sha256:" <> name) not in used,
        path = Path.join(directory, name),
        {:ok, %{mtime: at}} when at <= now - @age <- [File.stat(path, time: :posix)],
        do: File.rm(path)

    :ok
  end

  @doc """
  Puts an object into the lattice's store, unless the store has it already. Returns its digest. An object above 256 MiB
  is refused with `:invalid_input`.
  """
  @spec put(Instance.t(), binary()) :: {:ok, Digest.t()} | {:error, Error.t()}
  def put(instance, bytes), do: Store.put_object(instance.lattice, bytes)

  defp list(directory) do
    with {:error, _absent} <- File.ls(directory), do: [], else: ({:ok, names} -> names)
  end

  defp used(instance) do
    for %{artifact: {:object, _path, digest, _source}} <- Specifications.list(instance),
        into: MapSet.new(),
        do: digest
  end

  defp kept(%Instance{config: %{data_dir: nil}} = instance, digest),
    do: kept_bytes(instance, digest)

  defp kept(instance, digest) do
    path = path(instance, digest)
    if good_file?(path, digest), do: {:path, path}, else: kept_bytes(instance, digest)
  end

  defp kept_bytes(instance, digest) do
    bytes = KeptObjects.get(KeptObjects.server(instance), digest)
    if bytes, do: {:bytes, bytes}
  end

  # Somebody may have changed the file.
  defp good_file?(path, digest) do
    case File.read(path) do
      {:ok, bytes} -> Digest.of(bytes) == digest
      {:error, _absent} -> false
    end
  end

  defp keep(%Instance{config: %{data_dir: nil}} = instance, digest, bytes),
    do: keep_bytes(instance, digest, bytes)

  # An application runs even if the disk is full or the data directory cannot be written.
  defp keep(instance, digest, bytes) do
    path = path(instance, digest)
    if write(path, bytes) == :ok, do: {:path, path}, else: keep_bytes(instance, digest, bytes)
  end

  defp keep_bytes(instance, digest, bytes) do
    KeptObjects.put(KeptObjects.server(instance), digest, bytes)
    {:bytes, bytes}
  end

  defp write(path, bytes) do
    new = "#{path}.#{System.unique_integer([:positive])}.new"

    with :ok <- File.mkdir_p(Path.dirname(path)),
         :ok <- File.write(new, bytes, [:sync]),
         :ok <- File.rename(new, path) do
      :ok
    else
      {:error, _reason} ->
        _absent = File.rm(new)
        :error
    end
  end

  defp path(instance, "sha256:" <> hex), do: Path.join([instance.config.data_dir, "objects", hex])
end
