defmodule Exosuit.App.Record do
  @moduledoc """
  The record of an application in the lattice's store: its versions, and the version that should run.

  Every host reads all records and writes them by compare-and-set. A record holds names and digests alone; the
  manifest's text, the model read from it, and the Wasm are objects. `edition` counts the writes of a record:
  if a host's copy and the store differ, the higher edition wins (`merge/2`).

  All functions that change a record return a new one with the next edition. The functions are pure.

      iex> digest = "sha256:" <> String.duplicate("0", 64)
      iex> version = %{model: digest, manifest: digest, objects: [], at: 0, by: "me"}
      iex> {:ok, record} = Exosuit.App.Record.new("shop", version)
      iex> {record.state, record.version, record.edition}
      {:deployed, 1, 1}

  ## The life of a record

                   apply_version, deploy, rollback
                  ┌──────────────────────────────┐
                  ▼                              │
      new ──► deployed ── undeploy ────────► undeployed
              │      ▲    delete_version         ▲
              └──────┘                           │
              fail: back to an older version     new with `state: :undeployed`

  A record is written by the process that changes the application (`Exosuit.App.RecordStore`), and by the member
  that reports a failed rollout (`Exosuit.App.Machine`). Apart from that, members write a record only to repair the
  store: if it lost the record, or holds an older edition. Every member derives from the record alone which version
  should run. Therefore a change takes effect on all hosts without a message to any of them.

  `version` names the target, and `versions` keeps the material for a rollback. A version is never changed after it
  was added, except for two marks: `failed` and `deployed`. A number may come again for another content: after the
  application was deleted and applied anew, or after its newest version was deleted. Code that compares versions must
  therefore compare the model as well (`target/1`).

  ## Bounds

  | item | bound |
  |---|---|
  | a record as JSON | 64 KiB |
  | versions | 16; the oldest are forgotten, but neither the newest nor the one that should run |
  | objects of one version | 256 |
  | objects of all versions | 512; older versions are forgotten for it, too |
  | texts: `by`, `label`, the value of an annotation | 1 024 bytes |
  | `failed` | 2 048 bytes; `fail/3` shortens a reason above 1 024 bytes |
  | `description` | 256 characters of it are kept |
  | annotations | 64 |
  | numbers | 2^53 - 1, which JSON readers of all languages can hold |

  Anybody with access to the store can write a record, so that `decode/2` checks all of this again.
  """

  alias Exosuit.Model.Digest
  alias Exosuit.{Error, Json}

  @typedoc """
  A version of an application.

  - `version`: its number, from 1
  - `label`: the name that the author of the manifest gave to it (`Exosuit.App.Labels`)
  - `model`, `manifest`: the digests of the model (`Exosuit.App.Model`) and of the manifest's text
  - `objects`: the digests of the Wasm that the model names
  - `at`: when it was added, in milliseconds since 1970 by the clock of the host that added it
  - `by`: who added it, for people
  - `failed`: the reason if its rollout failed. A rollback passes over such a version
  - `issuer_change`: whether its code may replace code of another issuer
  - `deployed`: whether the version was ever deployed. A version can be stored without that
  """
  @type version :: %{
          version: pos_integer(),
          label: String.t() | nil,
          description: String.t() | nil,
          model: Digest.t(),
          manifest: Digest.t(),
          objects: [Digest.t()],
          at: non_neg_integer(),
          by: String.t(),
          failed: String.t() | nil,
          issuer_change: boolean(),
          deployed: boolean()
        }

  @typedoc """
  The argument of an apply: a version without its number. Texts for people may be left out.
  """
  @type applied :: %{
          required(:model) => Digest.t(),
          required(:manifest) => Digest.t(),
          required(:objects) => [Digest.t()],
          required(:at) => non_neg_integer(),
          required(:by) => String.t(),
          optional(:label) => String.t() | nil,
          optional(:description) => String.t() | nil,
          optional(:issuer_change) => boolean()
        }

  @typedoc """
  - `state`: whether the application should run
  - `version`: the number of the version that should run
  - `versions`: oldest first, at most 16
  - `edition`: the number of times that the record was written
  - `origin`: the id of the host that applied it, if the host's own options name the manifest
  """
  @type t :: %__MODULE__{
          schema: pos_integer(),
          name: String.t(),
          state: :deployed | :undeployed,
          version: pos_integer(),
          versions: [version(), ...],
          edition: pos_integer(),
          origin: String.t() | nil,
          annotations: %{optional(String.t()) => String.t()}
        }

  @enforce_keys [:name, :version, :versions]
  defstruct [
    :name,
    :version,
    :versions,
    :origin,
    schema: 1,
    state: :deployed,
    edition: 1,
    annotations: %{}
  ]

  @schema 1
  @max_bytes 65_536
  @max_versions 16

  # 512 digests are 38 KiB of JSON: records with 16 versions of many files stay within the bound of a record.
  @max_objects 512
  @max_objects_of_version 256
  @max_text 1_024
  @max_description 256
  @max_number 9_007_199_254_740_991

  @doc "The schema that this host writes. Records of a newer schema are never changed."
  @spec schema() :: pos_integer()
  def schema, do: @schema

  @doc """
  The record of an application that is applied for the first time.

  Options: `:origin`, `:annotations`, and `:state` for a version that is stored and not deployed. The error
  `:invalid_input` shows the name or the version that is not valid.

      iex> {:error, error} = Exosuit.App.Record.new("no spaces", %{})
      iex> error.reason
      :invalid_input
  """
  @spec new(String.t(), applied(), keyword()) :: {:ok, t()} | {:error, Error.t()}
  def new(name, applied, options \\ []) do
    deployed? = options[:state] != :undeployed

    with :ok <- check_name(name), {:ok, version} <- version(applied, 1, deployed?) do
      record = %__MODULE__{name: name, version: 1, versions: [version]}
      checked(struct!(record, options))
    end
  end

  @doc """
  Whether a term is a name of an application: 1 to 255 characters of A-Z, a-z, 0-9, _ and -.

  A name is a part of keys and subjects of the store. Therefore it has neither dots nor wildcards.

      iex> Enum.map(["shop", "shop.eu", "", :shop], &Exosuit.App.Record.name?/1)
      [true, false, false, false]
  """
  @spec name?(term()) :: boolean()
  def name?(name), do: is_binary(name) and name =~ ~r/\A[A-Za-z0-9_-]{1,255}\z/

  @doc """
  Adds a version, deploys it, and forgets the oldest if there are more than 16.

  If the current version is deployed, did not fail, and has the same model, manifest and objects, the result is
  `:unchanged`. A repeated apply of a failed version adds it again, which is how a user tries it once more.

      iex> alias Exosuit.App.Record
      iex> digest = "sha256:" <> String.duplicate("0", 64)
      iex> version = %{model: digest, manifest: digest, objects: [], at: 0, by: "me"}
      iex> {:ok, record} = Record.new("shop", version)
      iex> Record.apply_version(record, %{version | at: 1})
      :unchanged
      iex> other = %{version | manifest: "sha256:" <> String.duplicate("1", 64)}
      iex> {:ok, record} = Record.apply_version(record, other)
      iex> {record.version, record.edition, length(record.versions)}
      {2, 2, 2}
  """
  @spec apply_version(t(), applied()) :: {:ok, t()} | :unchanged | {:error, Error.t()}
  def apply_version(%__MODULE__{} = record, applied) do
    current = current(record)

    with {:ok, version} <- version(applied, last_number(record) + 1, true) do
      if record.state == :deployed and current.failed == nil and same?(current, version),
        do: :unchanged,
        else: record |> append(version) |> deployed(version.version) |> checked()
    end
  end

  @doc """
  Adds a version that does not run until it is deployed. The version that should run, and the state, do not change.

  A host whose options name the manifest no longer changes the application by itself (`origin`). wadm's command `put`
  needs this function: wadm stores a model first, and deploys it by a second command.
  """
  @spec store_version(t(), applied()) :: {:ok, t()} | {:error, Error.t()}
  def store_version(%__MODULE__{} = record, applied) do
    with {:ok, version} <- version(applied, last_number(record) + 1, false) do
      %{record | origin: nil} |> append(version) |> written() |> checked()
    end
  end

  @doc """
  Forgets a version. If it is the version that should run, the application is undeployed, and `version` is the newest
  of those that are left. `:last` if it is the only one: delete the application instead. `:not_found` if the record has
  no version of this number.
  """
  @spec delete_version(t(), pos_integer()) :: {:ok, t()} | :last | {:error, Error.t()}
  def delete_version(%__MODULE__{} = record, number) do
    case Enum.reject(record.versions, &(&1.version == number)) do
      versions when versions == record.versions ->
        {:error, not_found(record, "version #{inspect(number)}")}

      [] ->
        :last

      versions ->
        record = %{record | versions: versions}
        {:ok, written(if record.version == number, do: without_current(record), else: record)}
    end
  end

  @doc """
  Makes a version the one that should run: by default the newest that did not fail.

  A failed version can be deployed by its number. Then it no longer counts as failed. `:not_found` if there is no
  version of this number, or all versions failed.
  """
  @spec deploy(t(), pos_integer() | nil) :: {:ok, t()} | {:error, Error.t()}
  def deploy(record, number \\ nil)

  def deploy(%__MODULE__{} = record, nil) do
    case newest(record, fn _version -> true end) do
      nil -> {:error, not_found(record, "a version that did not fail")}
      version -> {:ok, deployed(record, version.version)}
    end
  end

  def deploy(%__MODULE__{} = record, number) do
    if fetch(record, number),
      do: {:ok, record |> mark(number, nil) |> deployed(number)},
      else: {:error, not_found(record, "version #{inspect(number)}")}
  end

  @doc "Stops the application on all hosts. Its versions stay."
  @spec undeploy(t()) :: t()
  def undeploy(%__MODULE__{} = record), do: written(%{record | state: :undeployed})

  @doc """
  Goes back to the newest version before the current one that was deployed and did not fail. `:not_found` if there is
  none.
  """
  @spec rollback(t()) :: {:ok, t()} | {:error, Error.t()}
  def rollback(%__MODULE__{} = record) do
    case previous(record) do
      nil -> {:error, not_found(record, "an older version that did not fail")}
      version -> {:ok, deployed(record, version.version)}
    end
  end

  @doc """
  Marks the version that should run as failed, and goes back as `rollback/1` does.

  Returns the error `:conflict` if another version should run by now, and `:not_found` if there is no older version.
  Several members may report the same failure at once. The compare-and-set of the store lets one of them through, and
  the others get `:conflict` here when they have read the new record.

      iex> alias Exosuit.App.Record
      iex> digest = "sha256:" <> String.duplicate("0", 64)
      iex> version = %{model: digest, manifest: digest, objects: [], at: 0, by: "me"}
      iex> {:ok, record} = Record.new("shop", version)
      iex> {:ok, record} = Record.apply_version(record, %{version | objects: [digest]})
      iex> {:ok, record} = Record.fail(record, 2, "it traps")
      iex> {record.version, Record.fetch(record, 2).failed}
      {1, "it traps"}
      iex> {:error, error} = Record.fail(record, 2, "it traps")
      iex> error.reason
      :conflict
  """
  @spec fail(t(), pos_integer(), String.t()) :: {:ok, t()} | {:error, Error.t()}
  def fail(%__MODULE__{state: :deployed, version: number} = record, number, reason) do
    with {:ok, back} <- rollback(record), do: {:ok, mark(back, number, shorten(reason))}
  end

  def fail(%__MODULE__{} = record, number, _reason) do
    {:error,
     Error.new(
       :conflict,
       "application #{record.name} should not run version #{number} any more: " <>
         "it is #{record.state} with version #{record.version}"
     )}
  end

  @doc "The version of this number, or `nil`."
  @spec fetch(t(), pos_integer()) :: version() | nil
  def fetch(%__MODULE__{versions: versions}, number) do
    Enum.find(versions, &(&1.version == number))
  end

  @doc "The number of the version that was applied last."
  @spec newest(t()) :: pos_integer()
  def newest(%__MODULE__{} = record), do: last_number(record)

  @doc "The version that should run, or would if the application were deployed."
  @spec current(t()) :: version()
  def current(%__MODULE__{} = record), do: fetch(record, record.version)

  @doc """
  The version that should run, with the digest of its model. If an application was deleted and applied again, its
  versions have the same numbers as before, but other models. Compare targets, never numbers.
  """
  @spec target(t()) :: {pos_integer(), Digest.t()}
  def target(%__MODULE__{} = record), do: {record.version, current(record).model}

  @doc "The version that a rollback goes back to, or `nil`. A version that only was stored does not count."
  @spec previous(t()) :: version() | nil
  def previous(%__MODULE__{} = record) do
    newest(record, &(&1.deployed and &1.version < record.version))
  end

  @doc """
  Decides which record belongs in the store if a host's copy differs from it: the record of the higher edition.

  If a store was restored from a backup, somebody may have applied a version to a record of a lower edition.
  Versions of that record that are newer than all versions of the winner are added, and deployed if they were
  deployed there, so that no apply is lost. Of these, a version that was superseded in its own store is left out,
  because nobody wants it any more.

  The result does not depend on the order of the arguments. Hosts that merge the same two records therefore write the
  same one, and their compare-and-set does not alternate between two contents. Between equal editions, the record
  whose newest version is younger wins, then a hash of the content decides.

      iex> alias Exosuit.App.Record
      iex> digest = "sha256:" <> String.duplicate("0", 64)
      iex> version = %{model: digest, manifest: digest, objects: [], at: 0, by: "me"}
      iex> {:ok, backup} = Record.new("shop", version)
      iex> latest = Record.undeploy(backup)
      iex> Record.merge(backup, latest) == latest and Record.merge(latest, backup) == latest
      true
  """
  @spec merge(t(), t()) :: t()
  def merge(%__MODULE__{} = one, %__MODULE__{} = other) do
    [loser, winner] = Enum.sort_by([one, other], &rank/1)
    latest = winner.versions |> Enum.map(& &1.at) |> Enum.max()

    loser.versions
    |> Enum.filter(&(&1.at > latest and missed?(loser, &1) and not known?(winner, &1)))
    |> Enum.reduce(winner, &add_missed(&2, &1, loser.version))
  end

  # An older apply that was superseded in its own store is not wanted any more.
  defp missed?(record, version), do: version.version == record.version or not version.deployed

  defp add_missed(record, missed, current) do
    number = last_number(record) + 1
    added = append(record, %{missed | version: number})

    if missed.version == current and missed.deployed,
      do: deployed(added, number),
      else: written(added)
  end

  @doc "Fills in the fields that a record of an older Exosuit lacks."
  @spec upgrade(t()) :: t()
  def upgrade(%__MODULE__{} = record) do
    added = %{description: nil, deployed: true}
    %{record | versions: Enum.map(record.versions, &Map.merge(added, &1))}
  end

  @doc "Whether the code of a version may replace code of another issuer. False for an unknown version."
  @spec issuer_change?(t(), pos_integer()) :: boolean()
  def issuer_change?(record, number), do: match?(%{issuer_change: true}, fetch(record, number))

  @doc "As JSON, at most 64 KiB. Above that, the error is `:limit`."
  @spec encode(t()) :: {:ok, String.t()} | {:error, Error.t()}
  def encode(%__MODULE__{} = record) do
    with {:ok, text} <- record |> Map.from_struct() |> Json.encode() do
      if byte_size(text) <= @max_bytes,
        do: {:ok, text},
        else: {:error, too_large(record.name, byte_size(text))}
    end
  end

  @doc """
  Reads the record of `name`. If the record has a newer schema, returns `{:newer, schema}`: hosts leave such an
  application running as it is, and never rewrite its record.

  Any text may be given. The error is `:limit` for a text above 64 KiB, and `:invalid_input` for one that is not a
  record of this name. All fields are checked, because another program may have written them.

      iex> Exosuit.App.Record.decode("shop", ~s({"schema": 2, "name": "shop"}))
      {:newer, 2}
      iex> {:error, error} = Exosuit.App.Record.decode("shop", "{}")
      iex> error.reason
      :invalid_input
  """
  @spec decode(String.t(), binary()) ::
          {:ok, t()} | {:newer, pos_integer()} | {:error, Error.t()}
  def decode(name, text) when byte_size(text) <= @max_bytes do
    case Json.decode(text) do
      {:ok, %{"schema" => schema}} when is_integer(schema) and schema > @schema ->
        {:newer, schema}

      {:ok, %{"schema" => @schema, "name" => ^name} = fields} ->
        from_json(fields)

      {:ok, _other} ->
        {:error, invalid(name, "expected schema #{@schema} and this name")}

      {:error, error} ->
        {:error, invalid(name, error.detail)}
    end
  end

  def decode(name, text), do: {:error, too_large(name, byte_size(text))}

  defp from_json(%{"versions" => versions} = fields) when is_list(versions) do
    record = %__MODULE__{
      name: fields["name"],
      state: if(fields["state"] == "undeployed", do: :undeployed, else: :deployed),
      version: fields["version"],
      versions: Enum.map(versions, &version_from_json/1),
      edition: fields["edition"],
      origin: fields["origin"],
      annotations: fields["annotations"] || %{}
    }

    if fields["state"] in ["deployed", "undeployed"],
      do: checked(record),
      else: {:error, invalid(record.name, "expected deployed or undeployed as its state")}
  end

  defp from_json(fields), do: {:error, invalid(fields["name"], "expected a list of versions")}

  defp version_from_json(%{} = fields) do
    %{
      version: fields["version"],
      label: fields["label"],
      description: fields["description"],
      model: fields["model"],
      manifest: fields["manifest"],
      objects: fields["objects"],
      at: fields["at"],
      by: fields["by"],
      failed: fields["failed"],
      issuer_change: fields["issuer_change"] == true,
      deployed: fields["deployed"] != false
    }
  end

  defp version_from_json(_other), do: nil

  defp version(applied, number, deployed?) do
    version =
      %{label: nil, description: nil, failed: nil, issuer_change: false, deployed: deployed?}
      |> Map.merge(applied)
      |> Map.put(:version, number)
      |> Map.update!(:description, &shorten_description/1)

    if version?(version),
      do: {:ok, version},
      else:
        {:error,
         Error.new(
           :invalid_input,
           "expected a version with digests of its model, its manifest and at most " <>
             "#{@max_objects_of_version} objects, and who applied it when, got: #{inspect(version)}"
         )}
  end

  defp checked(%__MODULE__{} = record) do
    cond do
      not (is_list(record.versions) and record.versions != [] and
             length(record.versions) <= @max_versions and Enum.all?(record.versions, &version?/1)) ->
        {:error, invalid(record.name, "expected 1 to #{@max_versions} versions")}

      not rising?(Enum.map(record.versions, & &1.version)) ->
        {:error, invalid(record.name, "expected rising numbers of versions")}

      fetch(record, record.version) == nil ->
        {:error, invalid(record.name, "expected one of its versions as the one that should run")}

      not (number?(record.edition) and optional_text?(record.origin, 4_096) and
               annotations?(record.annotations)) ->
        {:error, invalid(record.name, "expected an edition, an origin and annotations")}

      true ->
        {:ok, record}
    end
  end

  defp version?(%{version: number, objects: objects} = version) do
    number?(number) and Digest.valid?(version.model) and Digest.valid?(version.manifest) and
      is_list(objects) and length(objects) <= @max_objects_of_version and
      Enum.all?(objects, &Digest.valid?/1) and number?(version.at, 0) and
      text?(version.by, @max_text) and
      optional_text?(version.label, @max_text) and optional_text?(version.failed, 2 * @max_text) and
      optional_text?(version.description, @max_text)
  end

  defp version?(_other), do: false

  defp number?(number, min \\ 1)
  defp number?(number, min) when number in min..@max_number//1, do: true
  defp number?(_number, _min), do: false

  defp rising?(numbers), do: numbers == Enum.sort(numbers) and numbers == Enum.uniq(numbers)

  defp optional_text?(text, max), do: text == nil or text?(text, max)
  defp text?(text, max), do: is_binary(text) and byte_size(text) <= max and String.valid?(text)

  defp annotations?(annotations) do
    is_map(annotations) and map_size(annotations) <= 64 and
      Enum.all?(annotations, fn {key, value} -> text?(key, 255) and text?(value, @max_text) end)
  end

  defp check_name(name) do
    if name?(name),
      do: :ok,
      else:
        {:error,
         Error.new(
           :invalid_input,
           "expected a name of an application of 1 to 255 characters of A-Z, a-z, 0-9, _ and -, " <>
             "got: #{inspect(name)}"
         )}
  end

  defp append(record, version) do
    versions = forget_oldest(record.versions ++ [version], record.version)
    %{record | versions: versions}
  end

  # Never forgets the newest version and the version that should run.
  defp forget_oldest(versions, current) do
    older = versions |> Enum.drop(-1) |> Enum.find(&(&1.version != current))

    if older == nil or within_bounds?(versions),
      do: versions,
      else: forget_oldest(List.delete(versions, older), current)
  end

  defp within_bounds?(versions) do
    length(versions) <= @max_versions and
      versions |> Enum.map(&length(&1.objects)) |> Enum.sum() <= @max_objects
  end

  defp without_current(record) do
    %{record | state: :undeployed, version: last_number(record)}
  end

  defp deployed(record, number) do
    versions = change_version(record, number, &%{&1 | deployed: true})
    written(%{record | state: :deployed, version: number, versions: versions})
  end

  defp written(record), do: %{record | edition: record.edition + 1}

  defp mark(record, number, failed) do
    %{record | versions: change_version(record, number, &%{&1 | failed: failed})}
  end

  defp change_version(record, number, change) do
    for version <- record.versions,
        do: if(version.version == number, do: change.(version), else: version)
  end

  defp newest(record, accept?) do
    record.versions
    |> Enum.filter(&(&1.failed == nil and accept?.(&1)))
    |> List.last()
  end

  defp last_number(record), do: List.last(record.versions).version

  defp same?(one, other) do
    one.model == other.model and one.manifest == other.manifest and one.objects == other.objects
  end

  defp known?(record, version) do
    Enum.any?(record.versions, &(same?(&1, version) and &1.at == version.at))
  end

  # Records of the same edition with different content come from a restored store. The later one wins, on all hosts.
  defp rank(record) do
    {record.edition, List.last(record.versions).at, :erlang.phash2(record), record}
  end

  defp shorten(reason) do
    if text?(reason, @max_text),
      do: reason,
      else: reason |> inspect(binaries: :as_strings) |> String.slice(0, 256)
  end

  defp shorten_description(text) when is_binary(text), do: String.slice(text, 0, @max_description)
  defp shorten_description(other), do: other

  defp invalid(name, detail) do
    Error.new(:invalid_input, "the record of application #{name} is not valid: #{detail}")
  end

  defp not_found(record, what) do
    Error.new(:not_found, "application #{record.name} does not have #{what}")
  end

  defp too_large(name, size) do
    Error.new(
      :limit,
      "the record of application #{name} has #{size} bytes, expected at most #{@max_bytes}; " <>
        "shorten its annotations or names"
    )
  end
end
