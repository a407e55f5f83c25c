defmodule Exosuit.App do
  @moduledoc """
  Applies manifests, and shows, updates and deletes the applications that they describe.

      {:ok, %{version: 1}} = Exosuit.App.apply(MyApp.Host, "app.yaml")
      {:ok, %{status: :running}} = Exosuit.App.status(MyApp.Host, "counter")
      {:ok, %{version: 1}} = Exosuit.App.rollback(MyApp.Host, "counter")

  An application is a record in the lattice's store. `apply/3` stores the record, the manifest and the Wasm files that
  the manifest names. Every host of the lattice knows all records and all hosts, computes its own share with
  `Exosuit.App.Placement`, and runs that share. If hosts join or leave, the shares change without a command. A host
  without NATS is a lattice of one host.

  The functions take the name of a host, and block the calling process.

  ## The life of an apply

  1. `apply/3` parses the manifest, and reports all of its mistakes at once. Nothing is stored before that.
  2. It stores the files, the model and the text as objects, which are known by their digests.
  3. It adds a version to the record by compare-and-set, and returns.
  4. Each host hears of the record by its watch. It fetches the model and the objects of its share.
  5. A host that runs an older version waits for its turn, then updates. By default one host updates at a time.
  6. When all of its share runs, the host writes that into its status, and gives its turn to the next host.
  7. If a host cannot run the version, the record goes back to the version before it. `status/2` has the reason.

  The caller may die after step 3 without an effect. Before it, nothing but unnamed objects is left, which
  `Exosuit.App.Sweep` removes after a day.

  ## Where to read on

  | question | module |
  |---|---|
  | which host runs what | `Exosuit.App.Placement` |
  | which version should run, and its history | `Exosuit.App.Record` |
  | when a host updates, moves, rolls back or waits | `Exosuit.App.Machine` |
  | the processes of a host | `Exosuit.App.Supervisor` |
  | the keys in the store, and who writes them | `Exosuit.App.Keys` |
  | what happens while the lattice is away | `Exosuit.App.Copy`, `serve_alone/2` |

  ## Errors

  The error of a function that reads a manifest is a list of diagnostics, each with a text, a severity and a line. Any
  other error is an `Exosuit.Error`. Its `reason` is

  - `:not_found`: there is no such application or version
  - `:conflict`: somebody changed the application meanwhile, or a version does not allow what was asked for
  - `:unavailable`: the store cannot be reached, the processes of applications restart, or a newer Exosuit wrote the
    record. The same call may succeed later
  - `:deadline`: the host did not finish in time; it goes on all the same
  - `:limit`: a record, a model or a list is too large

  A host that does not run in this VM raises `ArgumentError`.
  """

  import Kernel, except: [apply: 2, apply: 3]

  alias Exosuit.{Directory, Error, Manifest}
  alias Exosuit.App.{Manifests, Progress, Reader, Record, RecordStore, Shares, Versions}
  alias Exosuit.Model.Digest

  @typedoc "The name of a host that runs in this VM: its option `:name`."
  @type host :: atom()

  @typedoc """
  The result of a change: the application's name, the version that should run, the edition of the record, whether
  anything is new, and warnings of the manifest.
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
  - `if_version`: refuse the change if another version should run (0: if the application exists)
  - `by`: the person or tool that applies the manifest, for the history
  - `from_here`: this host names the manifest in its options. In a lattice of several hosts, if another host or a
    command has changed the application since this host applied it, nothing is changed, and a warning says so
  """
  @type option ::
          {:allow_issuer_change, boolean()}
          | {:if_version, non_neg_integer() | nil}
          | {:by, String.t()}
          | {:from_here, boolean()}

  @doc """
  Stores the manifest of a file as a new version of its application, and deploys it. Files that the manifest names
  are read from this machine. Returns when everything is stored; `await/4` waits until the version runs on this host.

  If the version is deployed already, nothing is changed, but parts that failed on this host are tried again.
  `{:error, diagnostics}` means that nothing was changed.

      {:ok, %{changed: true, version: 2}} = Exosuit.App.apply(MyApp.Host, "app.yaml", by: "ci", if_version: 1)
      {:error, [%{line: 12, severity: :error}]} = Exosuit.App.apply(MyApp.Host, "broken.yaml")

  `if_version` protects a deployer against another one: it compares the version under the same compare-and-set that
  writes the record, so no change slips in between.
  """
  @spec apply(host(), Path.t(), [option()]) :: {:ok, stored()} | {:error, [Manifest.diagnostic()]}
  def apply(host, path, options \\ []), do: Manifests.apply(instance!(host), path, options)

  @doc """
  Applies a manifest as `apply/3` does, and waits until this host has applied its share. Returns the steps that it took,
  and their results.

  A step that failed is in the list, and the result is `{:ok, …}` all the same: the other steps were taken. The wait
  ends after 310 seconds with a diagnostic, and the host goes on.
  """
  @spec apply_and_wait(host(), Path.t(), [option()]) ::
          {:ok, [Progress.step()], [Manifest.diagnostic()]} | {:error, [Manifest.diagnostic()]}
  def apply_and_wait(host, path, options \\ []) do
    Manifests.apply_and_wait(instance!(host), path, options)
  end

  @doc """
  Runs an application on this host alone, while the lattice is unreachable and this host has no record of the
  application. Does nothing if this host knows the state of the lattice. Apply the manifest when the lattice is
  reachable.

  Singletons are left out, because they need a lease from the store. When the lattice is back and has no such
  application, the host goes on with it until the manifest is applied. If the lattice has the application, and this
  host has no part in it, the host stops it.
  """
  @spec serve_alone(host(), Path.t()) ::
          {:ok, [Progress.step()]} | {:error, [Manifest.diagnostic()]}
  def serve_alone(host, path), do: Manifests.serve_alone(instance!(host), path)

  @doc """
  Applies a manifest as `apply/3` does, for a client on another machine. `manifest` is the digest of the object that
  holds the text, and `path` the path of the manifest on that machine. `files` maps the path of each file that the
  manifest names to the digest of its object.

  The client puts the objects first. If the store lacks one of them, the diagnostic names its digest.
  """
  @spec apply_object(host(), Digest.t(), Path.t(), %{optional(Path.t()) => Digest.t()}, [option()]) ::
          {:ok, stored()} | {:error, [Manifest.diagnostic()]}
  def apply_object(host, manifest, path, files, options \\ []) do
    Manifests.apply_object(instance!(host), manifest, path, files, options)
  end

  @doc "Returns the paths of the files that a manifest names, for `apply_object/5`."
  @spec files(host(), Digest.t(), Path.t()) ::
          {:ok, [Path.t()]} | {:error, [Manifest.diagnostic()]}
  def files(host, manifest, path), do: Manifests.files(instance!(host), manifest, path)

  @doc """
  Stores a manifest as a new version of its application, without deploying it; see `deploy/3`. Returns the record.

  `text` is the manifest, and `path` its name in messages. The options are

  - `by`: the person or tool that stores the manifest, for the history
  - `label`: the label of the version, if the manifest has none. The default label is the number of the version
  - `check_files`: a function that allows the host to read the files that the manifest names, or returns an error

  If the application has a version of the same label, the error is `:conflict`.
  """
  @spec store(host(), String.t(), Path.t(), keyword()) ::
          {:ok, Record.t()} | {:error, [Manifest.diagnostic()]}
  def store(host, text, path, options \\ []) do
    Manifests.store(instance!(host), text, path, options)
  end

  @doc """
  Deletes a version of an application. If it is the version that should run, it is undeployed. The application is
  deleted with its last version.
  """
  @spec delete_version(host(), String.t(), pos_integer()) :: :ok | {:error, Error.t()}
  def delete_version(host, app, version),
    do: Versions.delete_version(instance!(host), app, version)

  @doc """
  Reads the record of an application from the store, and not from this host's memory. `:not_found` if there is none,
  `:unavailable` if a newer Exosuit wrote it.
  """
  @spec fetch_record(host(), String.t()) :: {:ok, Record.t()} | {:error, Error.t()}
  def fetch_record(host, app), do: RecordStore.fetch(instance!(host), app)

  @doc "Reads the records of all applications from the store, sorted by name. Leaves out those that cannot be read."
  @spec records(host()) :: {:ok, [Record.t()]} | {:error, Error.t()}
  def records(host), do: RecordStore.list(instance!(host))

  @doc "Returns the text of the manifest of a version."
  @spec manifest(host(), Record.version()) :: {:ok, String.t()} | {:error, Error.t()}
  def manifest(host, version), do: Manifests.text(instance!(host), version)

  @doc """
  Waits until this host has applied its share of a version. Returns the steps that it took, and their results.
  `status/2` shows the shares of other hosts.

  The list is empty if this host has no share of the version. `:conflict` if another version took its place, with the
  reason if this one failed. `:deadline` after `timeout` milliseconds; its text says what is still missing.
  """
  @spec await(host(), String.t(), pos_integer() | :deleted, timeout()) ::
          {:ok, [Progress.step()]} | {:error, Error.t()}
  def await(host, app, version, timeout), do: Shares.await(instance!(host), app, version, timeout)

  @doc "Waits until this host has stopped its share of a deleted application."
  @spec await_deleted(host(), String.t()) :: {:ok, [Progress.step()]} | {:error, Error.t()}
  def await_deleted(host, app), do: Versions.await_deleted(instance!(host), app)

  @doc """
  Undeploys the applications that this host applied from its own options before (`from_here`), except those in `names`.
  Returns the names of the undeployed applications.
  """
  @spec undeploy_others(host(), [String.t()]) :: [String.t()]
  def undeploy_others(host, names), do: Versions.undeploy_others(instance!(host), names)

  @doc "Lists all applications: `app`, `state`, `version`, `label`, `status` (see `Exosuit.App.Overview`)."
  @spec list(host()) :: [map()]
  def list(host), do: Reader.list(instance!(host))

  @doc """
  Shows an application: for each component, what should run, and on which hosts it runs in which version. `missing`
  lists the parts that do not run, with the reasons. `Exosuit.App.Overview.status/1` has the fields. The answer is this
  host's view; while the lattice cannot be reached, it is the last known one.
  """
  @spec status(host(), String.t()) :: {:ok, map()} | {:error, Error.t()}
  def status(host, app), do: Reader.status(instance!(host), app)

  @doc """
  Lists the versions of an application, at most 16, oldest first, and says which of them should run. Each has its
  `version`, `label`, `by`, `at` (ISO 8601) and `failed` (the reason, or `nil`).
  """
  @spec history(host(), String.t()) :: {:ok, map()} | {:error, Error.t()}
  def history(host, app), do: Versions.history(instance!(host), app)

  @doc "Deploys a version. Without a number, deploys the newest version that did not fail."
  @spec deploy(host(), String.t(), pos_integer() | nil) :: {:ok, stored()} | {:error, Error.t()}
  def deploy(host, app, version \\ nil), do: Versions.deploy(instance!(host), app, version)

  @doc "Stops an application on all hosts. Its versions stay."
  @spec undeploy(host(), String.t()) :: {:ok, stored()} | {:error, Error.t()}
  def undeploy(host, app), do: Versions.undeploy(instance!(host), app)

  @doc "Deploys the last version before the current one that did not fail."
  @spec rollback(host(), String.t()) :: {:ok, stored()} | {:error, Error.t()}
  def rollback(host, app), do: Versions.rollback(instance!(host), app)

  @doc """
  Stops an application on all hosts, and deletes its versions. Returns when the record is gone; `await_deleted/2` waits
  until this host has stopped it. A record that cannot be read is deleted, too.
  """
  @spec delete(host(), String.t()) :: :ok | {:error, Error.t()}
  def delete(host, app), do: Versions.delete(instance!(host), app)

  defp instance!(host), do: Directory.fetch!(host, :instance)
end
