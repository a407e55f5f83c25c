defmodule Exosuit.App.Manifests do
  @moduledoc """
  Stores manifests as versions of their applications: the text, the model and the files as objects, and a version in
  the record. Each function blocks the calling process.

  ## The order of the writes

  1. The manifest is parsed. Configurations that it names must be stored already, or a diagnostic says which is missing.
  2. The files that it names are put as objects, then the model, which names their digests, then the text.
  3. The record is written by compare-and-set, with the check of `if_version` and of `from_here` inside.
  4. The store is asked whether it has all objects. If a sweep deleted one in the meantime, they are put again.

  Objects come first, so that no host ever reads a record whose objects were not there. If the caller ends between two
  steps, unnamed objects are left, and the sweep removes them (`Exosuit.App.Sweep`).

  ## Where files come from

  | function | files are |
  |---|---|
  | `apply/3`, `store/4` | read from this machine |
  | `apply_object/5` | objects already: the client has put them |
  | `serve_alone/2` | read from this machine, and kept on this host alone |

  ## A manifest in the options of a host

  A host applies the manifests of its options at each start (`from_here`). If people changed the application in the
  meantime, the option is outdated, and a restart must not undo their change. The record's `origin` tells: it names the
  host whose option was applied last. A version that is applied or stored in another way removes it. A host that is not
  the origin leaves the record as it is, and the result has a warning. A host without NATS has nobody else to respect.
  """

  import Kernel, except: [apply: 3]

  alias Exosuit.{App, Error, Instance, Lattice, Manifest}
  alias Exosuit.App.{Labels, Model, Objects, Progress, Record, RecordStore, Shares}
  alias Exosuit.Host.Share
  alias Exosuit.Lattice.{Bus, Session}
  alias Exosuit.Model.Digest

  # Modules have to be fetched and compiled.
  @timeout 310_000

  @doc """
  Stores the manifest of a file, and deploys it. Waits for the host's first connection before. If the version is
  deployed already (`changed: false`), failed parts of this host's share are tried again.
  """
  @spec apply(Instance.t(), Path.t(), [App.option()]) ::
          {:ok, App.stored()} | {:error, [Manifest.diagnostic()]}
  def apply(instance, path, options) do
    with {:ok, parsed} <- Manifest.parse(path, modules(instance)),
         :ok <- Lattice.await_first(instance),
         do: stored(instance, path, put(instance, parsed, &read_files/2, options))
  end

  @doc """
  Applies a manifest as `apply/3` does, and waits until this host has made its share, for 310 s at most. A version that
  is superseded in that time is a diagnostic, too.
  """
  @spec apply_and_wait(Instance.t(), Path.t(), [App.option()]) ::
          {:ok, [Progress.step()], [Manifest.diagnostic()]} | {:error, [Manifest.diagnostic()]}
  def apply_and_wait(instance, path, options) do
    with {:ok, stored} <- apply(instance, path, options),
         {:ok, steps} <- Shares.await(instance, stored.app, stored.version, @timeout) do
      {:ok, steps, stored.warnings}
    else
      {:error, %Error{} = error} -> {:error, [Manifest.diagnostic(path, error)]}
      error -> error
    end
  end

  @doc """
  Runs the application of a manifest on this host alone, while the lattice cannot be reached. Returns no steps if there
  is a connection by now.
  """
  @spec serve_alone(Instance.t(), Path.t()) ::
          {:ok, [Progress.step()]} | {:error, [Manifest.diagnostic()]}
  def serve_alone(instance, path) do
    Lattice.await_first(instance)

    if Bus.connected?(instance.lattice),
      do: {:ok, []},
      else: stored(instance, path, run_alone(instance, path))
  end

  @doc """
  Applies a manifest as `apply/3` does. A client has already stored the objects. A digest in `files` that the store
  lacks is an error before anything is written.
  """
  @spec apply_object(
          Instance.t(),
          Digest.t(),
          Path.t(),
          %{optional(Path.t()) => Digest.t()},
          [App.option()]
        ) :: {:ok, App.stored()} | {:error, [Manifest.diagnostic()]}
  def apply_object(instance, manifest, path, files, options) do
    with {:ok, parsed} <- parse_object(instance, manifest, path) do
      given = fn instance, _paths ->
        with :ok <- Objects.check_there(instance, Map.values(files)), do: {:ok, files}
      end

      stored(instance, path, put(instance, parsed, given, options))
    end
  end

  @doc "The paths of the files that a manifest names, as its text has them. `manifest` is the digest of the text."
  @spec files(Instance.t(), Digest.t(), Path.t()) ::
          {:ok, [Path.t()]} | {:error, [Manifest.diagnostic()]}
  def files(instance, manifest, path) do
    with {:ok, parsed} <- parse_object(instance, manifest, path),
         do: {:ok, Model.files(parsed.manifest)}
  end

  @doc """
  Stores a manifest without deploying it, see `Exosuit.App.store/4`. The first version of an application makes a record
  that is undeployed.
  """
  @spec store(Instance.t(), String.t(), Path.t(), keyword()) ::
          {:ok, Record.t()} | {:error, [Manifest.diagnostic()]}
  def store(instance, text, path, options) do
    with {:ok, parsed} <- Manifest.parse(text, path, modules(instance)),
         {:ok, record} <- store_parsed(instance, parsed, options) do
      {:ok, record}
    else
      {:error, %Error{} = error} -> {:error, [Manifest.diagnostic(path, error)]}
      error -> error
    end
  end

  @doc "The text of the manifest of a version."
  @spec text(Instance.t(), Record.version()) :: {:ok, String.t()} | {:error, Error.t()}
  def text(instance, version), do: Objects.fetch(instance, version.manifest)

  # On a host without NATS, a missing provider module is a mistake in the manifest: no other host can have it.
  defp modules(instance) do
    unless Session.has?(instance.lattice, :others), do: Map.keys(instance.config.providers)
  end

  defp run_alone(instance, path) do
    with {:ok, parsed} <- Manifest.parse(path, modules(instance)),
         {:ok, kept} <- keep_files(instance, Model.files(parsed.manifest)),
         digests = Map.new(kept, fn {path, {digest, _source}} -> {path, digest} end),
         {:ok, model} <- Model.new(parsed.manifest, digests) do
      Shares.serve_alone(instance, parsed.manifest["name"], model, Map.new(Map.values(kept)))
    end
  end

  defp keep_files(instance, paths) do
    each_file(paths, fn bytes -> Objects.keep_here(instance, bytes) end)
  end

  defp parse_object(instance, manifest, path) do
    with {:ok, text} <- Objects.fetch(instance, manifest),
         {:ok, parsed} <- Manifest.parse(text, path, modules(instance)) do
      {:ok, parsed}
    else
      {:error, %Error{} = error} -> {:error, [Manifest.diagnostic(path, error)]}
      error -> error
    end
  end

  defp put(instance, %{manifest: manifest, warnings: warnings} = parsed, files, options) do
    with [] <- Share.missing(instance, Manifest.stored(manifest)),
         {:ok, applied} <- put_objects(instance, parsed, files, options),
         {:ok, stored} <- write(instance, manifest["name"], applied, options),
         :ok <- put_again(instance, parsed, files, applied) do
      {origin, stored} = Map.pop!(stored, :origin)
      passed_over = passed_over(instance, manifest["name"], origin, options)
      {:ok, Map.put(stored, :warnings, warnings ++ passed_over)}
    else
      [_ | _] = missing -> {:error, missing}
      error -> error
    end
  end

  defp store_parsed(instance, %{manifest: manifest, text: text}, options) do
    check_files = options[:check_files] || fn _files -> :ok end
    app = manifest["name"]

    with [] <- Share.missing(instance, Manifest.stored(manifest)),
         :ok <- check_files.(Model.files(manifest)),
         {:ok, digests} <- read_files(instance, Model.files(manifest)),
         {:ok, model} <- Model.new(manifest, digests),
         {:ok, applied} <- objects(instance, model, text, options),
         applied = Map.update!(applied, :label, &(&1 || options[:label])),
         {:ok, written} <- RecordStore.write(instance, app, &store_version(app, &1, applied)) do
      {:ok, written}
    else
      [_ | _] = missing -> {:error, missing}
      error -> error
    end
  end

  defp store_version(app, nil, applied), do: Record.new(app, applied, state: :undeployed)

  defp store_version(app, record, applied) do
    if applied.label != nil and Labels.find(record, applied.label) != nil do
      detail = "Manifest version #{applied.label} already exists"
      {:error, Error.new(:conflict, "#{detail} in application #{app}; give it another version")}
    else
      Record.store_version(record, applied)
    end
  end

  # If nothing is new, the failed parts of this host's share are tried again.
  defp stored(instance, _path, {:ok, %{changed: false, app: app} = stored}) do
    :ok = Shares.retry(instance, app)
    {:ok, stored}
  end

  defp stored(_instance, path, {:error, %Error{} = error}) do
    {:error, [Manifest.diagnostic(path, error)]}
  end

  defp stored(_instance, _path, result), do: result

  defp read_files(instance, paths),
    do: each_file(paths, fn bytes -> Objects.put(instance, bytes) end)

  defp each_file(paths, keep) do
    Enum.reduce_while(paths, {:ok, %{}}, fn path, {:ok, kept} ->
      with {:ok, bytes} <- Exosuit.Artifact.read({:file, path, nil}),
           {:ok, it} <- keep.(bytes) do
        {:cont, {:ok, Map.put(kept, path, it)}}
      else
        error -> {:halt, error}
      end
    end)
  end

  defp put_objects(instance, %{manifest: manifest, text: text}, files, options) do
    with {:ok, digests} <- files.(instance, Model.files(manifest)),
         {:ok, model} <- Model.new(manifest, digests),
         do: objects(instance, model, text, options)
  end

  # A sweep may have deleted an old object that this version uses again before the record named it
  # (`Exosuit.App.Sweep`).
  defp put_again(instance, parsed, files, applied) do
    needed = [applied.model, applied.manifest | applied.objects]

    with {:error, %Error{reason: :not_found}} <- Objects.check_there(instance, needed),
         {:ok, _applied} <- put_objects(instance, parsed, files, []),
         do: Objects.check_there(instance, needed)
  end

  defp objects(instance, model, text, options) do
    with {:ok, json} <- Model.encode(model),
         {:ok, model_digest} <- Objects.put(instance, json),
         {:ok, manifest_digest} <- Objects.put(instance, text) do
      {:ok,
       %{
         model: model_digest,
         manifest: manifest_digest,
         objects: Model.objects(model),
         label: Model.label(model),
         description: Model.description(model),
         at: System.system_time(:millisecond),
         by: options[:by] || instance.friendly_name,
         issuer_change: options[:allow_issuer_change] == true
       }}
    end
  end

  defp write(instance, app, applied, options) do
    origin = if options[:from_here], do: instance.source

    RecordStore.update(instance, app, fn record ->
      with :ok <- check_version(app, record, options[:if_version]) do
        apply_version(instance, app, record, applied, origin)
      end
    end)
  end

  defp apply_version(_instance, app, nil, applied, origin) do
    Record.new(app, applied, origin: origin)
  end

  # Another host or command changed the application since, so this host's option is outdated.
  defp apply_version(instance, _app, record, applied, origin) do
    if origin != nil and record.origin != origin and Session.has?(instance.lattice, :others) do
      :unchanged
    else
      with {:ok, changed} <- Record.apply_version(record, applied),
           do: {:ok, %{changed | origin: origin}}
    end
  end

  # Warns the user that a manifest of the host's options was not applied.
  defp passed_over(instance, app, origin, options) do
    if options[:from_here] && origin != instance.source && Session.has?(instance.lattice, :others) do
      text =
        "#{app} was changed by another host or command since this host applied it, and stays as it is; " <>
          "`exosuit apply` changes it"

      [%{text: text, severity: :warning, line: 1}]
    else
      []
    end
  end

  defp check_version(_app, _record, nil), do: :ok
  defp check_version(_app, nil, 0), do: :ok
  defp check_version(_app, %{version: version}, version), do: :ok

  defp check_version(app, record, expected) do
    found = if record, do: "version #{record.version}", else: "no such application"

    {:error,
     Error.new(:conflict, "expected version #{expected} of #{app} to be deployed, found #{found}")}
  end
end
