defmodule Exosuit.App do
  @moduledoc """
  Applications: what manifests describe, kept as records in the lattice's store and run by its hosts.

      {:ok, %{version: 1}} = Exosuit.App.apply(MyApp.Host, "app.yaml")
      {:ok, %{status: :running}} = Exosuit.App.status(MyApp.Host, "counter")
      {:ok, %{version: 1}} = Exosuit.App.rollback(MyApp.Host, "counter")

  Every host of a lattice knows all records and all members, computes with `Exosuit.App.Placement` what its own
  share is, and runs that. A host by itself is a lattice of one member. An apply stores the manifest, the Wasm that
  it names and the record; from then on the application stays as its manifest says while hosts come and
  go, without anybody's command.

  The functions take a host's name, and block the calling process.
  """

  import Kernel, except: [apply: 2, apply: 3]

  alias Exosuit.Model.Digest
  alias Exosuit.{Directory, Error, Lattice, Manifest}
  alias Exosuit.App.{Labels, Member, Model, Objects, Overview, Progress, Record, Shares}
  alias Exosuit.Host.Share
  alias Exosuit.Lattice.{Bus, Session, Store}

  @type host :: atom()

  @typedoc """
  What was stored: the application's name, the version that should run, the edition of the record, whether anything
  is new, and warnings of the manifest.
  """
  @type stored :: %{
          app: String.t(),
          version: pos_integer(),
          edition: pos_integer(),
          changed: boolean(),
          warnings: [Manifest.diagnostic()]
        }

  @typedoc """
  - `allow_issuer_change`: let code of another issuer replace running code
  - `if_version`: refuse unless this is the version that should run (0: there is no such application)
  - `by`: who applies it, for the history
  - `from_here`: this host names the manifest in its options. In a lattice of many hosts it changes nothing if the
    application was changed from elsewhere since this host applied it; a warning says so
  """
  @type option ::
          {:allow_issuer_change, boolean()}
          | {:if_version, non_neg_integer() | nil}
          | {:by, String.t()}
          | {:from_here, boolean()}

  @bucket :applications

  # Modules have to be fetched and compiled.
  @timeout 310_000

  @doc """
  Stores the manifest of a file as a new version of its application, and deploys it. Files that it names are read
  from this machine. Returns when it is stored; `await/4` waits until it runs here.

  An apply of what is deployed already changes nothing, but what of it failed on this host is tried again. After
  `{:error, diagnostics}`, nothing was changed.
  """
  @spec apply(host(), Path.t(), [option()]) :: {:ok, stored()} | {:error, [Manifest.diagnostic()]}
  def apply(host, path, options \\ []) do
    instance = Directory.fetch!(host, :instance)

    with {:ok, parsed} <- Manifest.parse(path, modules(instance)),
         :ok <- Lattice.await_first(instance),
         do: stored(instance, path, put(instance, parsed, &read_files/2, options))
  end

  @doc """
  As `apply/3`, and waits until this host has made its share: gives the steps that it took, and their results.
  """
  @spec apply_and_wait(host(), Path.t(), [option()]) ::
          {:ok, [Progress.step()], [Manifest.diagnostic()]} | {:error, [Manifest.diagnostic()]}
  def apply_and_wait(host, path, options \\ []) do
    instance = Directory.fetch!(host, :instance)

    with {:ok, stored} <- apply(host, path, options),
         {:ok, steps} <- Shares.await(instance, stored.app, stored.version, @timeout) do
      {:ok, steps, stored.warnings}
    else
      {:error, %Error{} = error} -> {:error, [Manifest.diagnostic(path, error)]}
      error -> error
    end
  end

  @doc """
  Runs an application on this host alone, for as long as the lattice is away and this host has no record of it. A
  host that knows the lattice does nothing. Apply the manifest once the lattice is there.
  """
  @spec serve_alone(host(), Path.t()) ::
          {:ok, [Progress.step()]} | {:error, [Manifest.diagnostic()]}
  def serve_alone(host, path) do
    instance = Directory.fetch!(host, :instance)
    Lattice.await_first(instance)

    if Bus.connected?(instance.lattice),
      do: {:ok, []},
      else: stored(instance, path, run_alone(instance, path))
  end

  @doc """
  As `apply/3`, for somebody on another machine: `manifest` is the digest of an object that holds the text, `path` is
  where it was there, and `files` has the digests of the objects of the files that it names, by their paths.
  """
  @spec apply_object(host(), Digest.t(), Path.t(), %{optional(Path.t()) => Digest.t()}, [option()]) ::
          {:ok, stored()} | {:error, [Manifest.diagnostic()]}
  def apply_object(host, manifest, path, files, options \\ []) do
    instance = Directory.fetch!(host, :instance)

    with {:ok, parsed} <- parse_object(instance, manifest, path) do
      given = fn instance, _paths ->
        with :ok <- Objects.check_there(instance, Map.values(files)), do: {:ok, files}
      end

      stored(instance, path, put(instance, parsed, given, options))
    end
  end

  @doc "The paths of the files that a manifest names, for `apply_object/5`."
  @spec files(host(), Digest.t(), Path.t()) ::
          {:ok, [Path.t()]} | {:error, [Manifest.diagnostic()]}
  def files(host, manifest, path) do
    instance = Directory.fetch!(host, :instance)

    with {:ok, parsed} <- parse_object(instance, manifest, path),
         do: {:ok, Model.files(parsed.manifest)}
  end

  @doc """
  Stores a manifest as a new version of its application, and does not deploy it: `deploy/3` does. Gives the record.

  `text` is the manifest, and `path` what it is called in messages. `options` are

  - `by`: who stores it, for the history
  - `label`: what the version is called if the manifest says nothing; otherwise it is known by its number
  - `check_files`: a function that allows the host to read files that the manifest names, or gives an error

  It is an error `:conflict` if the application has a version of the same label.
  """
  @spec store(host(), String.t(), Path.t(), keyword()) ::
          {:ok, Record.t()} | {:error, [Manifest.diagnostic()]}
  def store(host, text, path, options \\ []) do
    instance = Directory.fetch!(host, :instance)

    with {:ok, parsed} <- Manifest.parse(text, path, modules(instance)),
         {:ok, record} <- store_parsed(instance, parsed, options) do
      {:ok, record}
    else
      {:error, %Error{} = error} -> {:error, [Manifest.diagnostic(path, error)]}
      error -> error
    end
  end

  @doc """
  Forgets a version of an application, which is undeployed if it is the one that should run. The last version goes
  with its application.
  """
  @spec delete_version(host(), String.t(), pos_integer()) :: :ok | {:error, Error.t()}
  def delete_version(host, app, version) do
    changed =
      change(host, app, fn record ->
        with :last <- Record.delete_version(record, version), do: {:error, :last}
      end)

    case changed do
      {:ok, _stored} -> :ok
      {:error, :last} -> delete(host, app)
      error -> error
    end
  end

  @doc "The record of an application as the store has it now."
  @spec fetch_record(host(), String.t()) :: {:ok, Record.t()} | {:error, Error.t()}
  def fetch_record(host, app), do: host |> Directory.fetch!(:instance) |> fetch(app)

  @doc "The records of all applications as the store has them now, by name. Such that cannot be read are left out."
  @spec records(host()) :: {:ok, [Record.t()]} | {:error, Error.t()}
  def records(host) do
    instance = Directory.fetch!(host, :instance)

    with {:ok, values} <- Store.values(instance.lattice, @bucket) do
      {:ok,
       for {"app." <> app, text} <- Enum.sort(values),
           {:ok, %Record{} = record} <- [Record.decode(app, text)] do
         record
       end}
    end
  end

  @doc "The text of the manifest of a version."
  @spec manifest(host(), Record.version()) :: {:ok, String.t()} | {:error, Error.t()}
  def manifest(host, version) do
    host |> Directory.fetch!(:instance) |> Objects.fetch(version.manifest)
  end

  @doc """
  Waits until this host has made its share of a version. Gives the steps that it took, and their results. The share
  of other hosts is in `status/2`.
  """
  @spec await(host(), String.t(), pos_integer() | :deleted, timeout()) ::
          {:ok, [Progress.step()]} | {:error, Error.t()}
  def await(host, app, version, timeout) do
    host |> Directory.fetch!(:instance) |> Shares.await(app, version, timeout)
  end

  # One that cannot be read can be deleted all the same.
  defp check_there(instance, app) do
    with true <- Record.name?(app),
         {:ok, text} when text != nil <- Store.get(instance.lattice, @bucket, key(app)) do
      :ok
    else
      {:error, error} -> {:error, error}
      _absent -> {:error, Overview.absent(app)}
    end
  end

  @doc "Waits until this host runs nothing more of an application that was deleted."
  @spec await_deleted(host(), String.t()) :: {:ok, [Progress.step()]} | {:error, Error.t()}
  def await_deleted(host, app) do
    host |> Directory.fetch!(:instance) |> Shares.await(app, :deleted, @timeout)
  end

  @doc """
  Undeploys the applications that this host applied from its own options before (`from_here`), except those of these
  names. Gives the names of those that were undeployed.
  """
  @spec undeploy_others(host(), [String.t()]) :: [String.t()]
  def undeploy_others(host, names) do
    instance = Directory.fetch!(host, :instance)

    for %Record{state: :deployed, name: name, origin: origin} when origin == instance.source <-
          Shares.records(instance),
        name not in names,
        {:ok, _stored} <- [undeploy(host, name)],
        do: name
  end

  @doc "All applications: `app`, `state`, `version`, `label`, `status` (see `Exosuit.App.Overview`)."
  @spec list(host()) :: [map()]
  def list(host), do: host |> Directory.fetch!(:instance) |> Shares.list()

  @doc """
  An application: for each component what is wanted, where it runs in which version, and `missing`: what does not run
  and why.
  """
  @spec status(host(), String.t()) :: {:ok, map()} | {:error, Error.t()}
  def status(host, app), do: host |> Directory.fetch!(:instance) |> Shares.status(app)

  @doc "The versions of an application, at most 16, and which of them should run."
  @spec history(host(), String.t()) :: {:ok, map()} | {:error, Error.t()}
  def history(host, app) do
    with {:ok, record} <- host |> Directory.fetch!(:instance) |> fetch(app),
         do: {:ok, Overview.history(record)}
  end

  @doc "Deploys a version; without a number, the newest that did not fail."
  @spec deploy(host(), String.t(), pos_integer() | nil) :: {:ok, stored()} | {:error, Error.t()}
  def deploy(host, app, version \\ nil), do: change(host, app, &Record.deploy(&1, version))

  @doc "Stops an application on all hosts. Its versions stay."
  @spec undeploy(host(), String.t()) :: {:ok, stored()} | {:error, Error.t()}
  def undeploy(host, app), do: change(host, app, &{:ok, Record.undeploy(&1)})

  @doc "Deploys the version before the current one that did not fail."
  @spec rollback(host(), String.t()) :: {:ok, stored()} | {:error, Error.t()}
  def rollback(host, app), do: change(host, app, &Record.rollback/1)

  @doc "Stops an application on all hosts, and forgets its versions."
  @spec delete(host(), String.t()) :: :ok | {:error, Error.t()}
  def delete(host, app) do
    instance = Directory.fetch!(host, :instance)

    with :ok <- Lattice.await_first(instance),
         :ok <- check_there(instance, app),
         :ok <- Store.delete(instance.lattice, @bucket, key(app)) do
      # Members delete what they say of it; of those that are gone, and of an update, nobody does.
      for key <- Member.leftovers(instance, app), do: Store.delete(instance.lattice, @bucket, key)
      :ok
    end
  end

  # One host by itself is all that there is: a provider that it does not have is a mistake.
  defp modules(instance) do
    if Session.alone?(instance.lattice), do: Map.keys(instance.config.providers)
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
      {:ok, %{stored | warnings: warnings ++ passed_over}}
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
         {:ok, {written, _revision}} <-
           write_record(instance, app, &store_version(app, &1, applied)) do
      decode(app, written)
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

  # If nothing is new, what of this host's share had failed is tried again.
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

    update(instance, app, fn record ->
      with :ok <- check_version(app, record, options[:if_version]) do
        apply_version(instance, app, record, applied, origin)
      end
    end)
  end

  defp apply_version(_instance, app, nil, applied, origin) do
    Record.new(app, applied, origin: origin)
  end

  # Others have changed it since: this host's option is older than that.
  defp apply_version(instance, _app, record, applied, origin) do
    if origin != nil and record.origin != origin and not Session.alone?(instance.lattice) do
      :unchanged
    else
      with {:ok, changed} <- Record.apply_version(record, applied),
           do: {:ok, %{changed | origin: origin}}
    end
  end

  # What a user asked for must not be passed over in silence.
  defp passed_over(instance, app, origin, options) do
    if options[:from_here] && origin != instance.source && not Session.alone?(instance.lattice) do
      text =
        "#{app} was changed from elsewhere since this host applied it, and stays as it is; " <>
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

  defp change(host, app, change) do
    host
    |> Directory.fetch!(:instance)
    |> update(app, fn
      nil -> {:error, Overview.absent(app)}
      record -> change.(record)
    end)
    |> without_origin()
  end

  defp without_origin({:ok, stored}), do: {:ok, Map.delete(stored, :origin)}
  defp without_origin(error), do: error

  # Written again for as long as others write between.
  defp update(instance, app, change) do
    with {:ok, written} <- write_record(instance, app, change),
         {:ok, record} <- now(instance, app, written) do
      {:ok,
       %{
         app: app,
         version: record.version,
         edition: record.edition,
         origin: record.origin,
         changed: written != nil,
         warnings: []
       }}
    end
  end

  defp write_record(instance, app, change) do
    Store.write(instance.lattice, @bucket, key(app), fn text ->
      with {:ok, record} <- decode(app, text),
           {:ok, changed} <- change.(record),
           {:ok, text} <- Record.encode(changed) do
        {:put, text}
      else
        :unchanged -> :keep
        error -> error
      end
    end)
  end

  defp now(instance, app, nil), do: fetch(instance, app)
  defp now(_instance, app, {text, _revision}), do: decode(app, text)

  defp fetch(instance, app) do
    with true <- Record.name?(app),
         {:ok, text} <- Store.get(instance.lattice, @bucket, key(app)),
         {:ok, %Record{} = record} <- decode(app, text) do
      {:ok, record}
    else
      {:error, error} -> {:error, error}
      _absent -> {:error, Overview.absent(app)}
    end
  end

  defp decode(_app, nil), do: {:ok, nil}

  defp decode(app, text) do
    case Record.decode(app, text) do
      {:newer, schema} ->
        detail = "a newer Exosuit wrote application #{app} (schema #{schema}): update this host"
        {:error, Error.new(:unavailable, detail)}

      result ->
        result
    end
  end

  defp key(app), do: "app." <> app
end
