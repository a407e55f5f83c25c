defmodule Exosuit.App.Model do
  @moduledoc """
  The content of a version: the parsed manifest, in which each file is replaced by the digest of its object. A model
  is kept as JSON (schema 1, at most 1 MiB) in an object of its own, so that hosts need neither the manifest's file
  nor a path that all machines share.

  `Exosuit.Native.manifest_parse/3` gives the parsed manifest, a map with strings as keys. `new/2` replaces
  each image `%{"kind" => "file", "value" => path}` by
  `%{"kind" => "object", "value" => "sha256:…", "path" => "orders.wasm"}`; the workloads then have references of
  the form `exosuit+object://sha256:…`. `with_files/2` is the reverse, for a host that has the objects in files.

  ## Why not the manifest itself

  - Hosts of one lattice may run different versions of Exosuit, whose parsers may read a manifest differently. The model
    was parsed once, by the host that applied it, and all hosts place the same workloads.
  - A host places an application before it has any of its code. The model is enough for that, and small.
  - A record has at most 64 KiB. It names the model by its digest, and two versions with equal models share one object.

  ## Trust

  A program that can write to the store can write any JSON as a model. So `decode/1` checks its whole shape
  (`Exosuit.App.Model.Shape`), and a host never crashes by a model. The host still runs actors of its trusted issuers
  alone: signatures are checked when an actor starts. But a model has grants, and with them a writer of the store can
  give such an actor any directory that the host's user can read. `SECURITY.md` says who must be trusted for that.

  A model may hold configuration, and with it secrets. `inspect/1` shows its schema alone.
  """

  alias Exosuit.{Error, Json}
  alias Exosuit.App.Model.Shape
  alias Exosuit.Manifest.Workloads
  alias Exosuit.Model.{Application, Digest, Link, Workload}

  @typedoc """
  `application` has the workloads, links and configurations, and `manifest` the parsed manifest that they were made
  from.
  """
  @type t :: %__MODULE__{
          schema: pos_integer(),
          manifest: map(),
          application: Application.t()
        }

  @typedoc "The number of hosts that update at a time, and the milliseconds after which a version has failed."
  @type rollout :: %{
          max_unavailable: pos_integer() | nil,
          progress_deadline: pos_integer() | nil
        }

  # Configuration may hold secrets.
  @derive {Inspect, only: [:schema]}
  @enforce_keys [:manifest, :application]
  defstruct [:manifest, :application, schema: 1]

  @schema 1
  @max_bytes 1_048_576
  @object "exosuit+object://"

  @doc """
  The model of a parsed manifest. `digests` has the digest of each file that the manifest names, by its path. Of a path,
  the name of the file alone stays in the model, for people. `:invalid_input` names the files without a digest.
  """
  @spec new(map(), %{optional(Path.t()) => Digest.t()}) :: {:ok, t()} | {:error, Error.t()}
  def new(parsed, digests) do
    case files(parsed) -- Map.keys(digests) do
      [] -> parsed |> map_images(&to_object(&1, digests)) |> from_manifest()
      missing -> {:error, invalid("it lacks the digests of #{Enum.join(missing, ", ")}")}
    end
  end

  @doc """
  The paths of the files that a parsed manifest names, each once.

      iex> image = %{"kind" => "file", "value" => "/srv/echo.wasm"}
      iex> Exosuit.App.Model.files(%{"components" => [%{"image" => image}], "providers" => []})
      ["/srv/echo.wasm"]
  """
  @spec files(map()) :: [Path.t()]
  def files(parsed), do: images(parsed, "file")

  @doc "The digests of the objects that the model needs, each once."
  @spec objects(t()) :: [Digest.t()]
  def objects(%__MODULE__{manifest: manifest}), do: images(manifest, "object")

  @doc "The digests of the objects that these workloads need, each once."
  @spec objects(t(), [workload_id :: String.t()]) :: [Digest.t()]
  def objects(%__MODULE__{} = model, ids) do
    Enum.uniq(
      for %{id: id, reference: @object <> digest} <- workloads(model), id in ids, do: digest
    )
  end

  @doc "The workloads that placement divides among the members."
  @spec workloads(t()) :: [Workload.t()]
  def workloads(%__MODULE__{application: application}), do: application.workloads

  @doc "Its links, each with the name of the application as its `app`."
  @spec links(t()) :: [Link.t()]
  def links(%__MODULE__{application: application}), do: application.links

  @doc "The label that the author of the manifest gave to this version, or `nil`."
  @spec label(t()) :: String.t() | nil
  def label(%__MODULE__{manifest: manifest}), do: manifest["version"]

  @doc "The description in the manifest, or `nil`."
  @spec description(t()) :: String.t() | nil
  def description(%__MODULE__{manifest: manifest}), do: manifest["description"]

  @doc """
  The rollout settings of this version. A setting that the manifest does not give is `nil`: then the number of
  `Exosuit.App.Machine.Options` holds.
  """
  @spec rollout(t()) :: rollout()
  def rollout(%__MODULE__{manifest: manifest}) do
    given = manifest["rollout"] || %{}

    %{
      max_unavailable: given["max_unavailable"],
      progress_deadline: given["progress_deadline_ms"]
    }
  end

  @doc """
  The parsed manifest with files again instead of objects: `paths` has the path of each object on this host,
  by its digest. An object without a path stays as it is.
  """
  @spec with_files(t(), %{optional(Digest.t()) => Path.t()}) :: map()
  def with_files(%__MODULE__{manifest: manifest}, paths) do
    map_images(manifest, fn
      %{"kind" => "object", "value" => digest} when is_map_key(paths, digest) ->
        %{"kind" => "file", "value" => paths[digest]}

      image ->
        image
    end)
  end

  @doc "As JSON, at most 1 MiB. Above that, the error is `:limit`."
  @spec encode(t()) :: {:ok, String.t()} | {:error, Error.t()}
  def encode(%__MODULE__{schema: schema, manifest: manifest}) do
    with {:ok, text} <- Json.encode(%{"schema" => schema, "manifest" => manifest}) do
      if byte_size(text) <= @max_bytes, do: {:ok, text}, else: {:error, too_large(text)}
    end
  end

  @doc """
  Reads a model; any text may be given. If its schema is newer, the error is `:unavailable`: a newer Exosuit can read
  it. Another text that is not a model is `:invalid_input`, with the path of the wrong field; one above 1 MiB is
  `:limit`.
  """
  @spec decode(binary()) :: {:ok, t()} | {:error, Error.t()}
  def decode(text) when byte_size(text) <= @max_bytes do
    case Json.decode(text) do
      {:ok, %{"schema" => @schema, "manifest" => %{} = manifest}} -> from_manifest(manifest)
      {:ok, %{"schema" => schema}} when is_integer(schema) -> {:error, other_schema(schema)}
      {:ok, _other} -> {:error, invalid("expected a schema and a manifest")}
      {:error, error} -> {:error, invalid(error.detail)}
    end
  end

  def decode(text), do: {:error, too_large(text)}

  @doc "Adds the fields that a model of an older version of Exosuit lacks, by building it again from its manifest."
  @spec upgrade(t()) :: t()
  def upgrade(%__MODULE__{manifest: manifest}), do: build(manifest)

  defp from_manifest(manifest) do
    with :ok <- check(manifest), do: {:ok, build(manifest)}
  end

  defp check(manifest) do
    with {:error, detail} <- Shape.check(manifest), do: {:error, invalid(detail)}
  end

  defp build(manifest) do
    links = Enum.map(manifest["links"], &Workloads.link(&1, manifest["name"]))
    %__MODULE__{manifest: manifest, application: Workloads.application(manifest, links)}
  end

  defp images(manifest, kind) do
    Enum.uniq(
      for group <- ~w(components providers),
          %{"image" => %{"kind" => ^kind, "value" => value}} <- manifest[group],
          do: value
    )
  end

  defp map_images(manifest, change) do
    Enum.reduce(~w(components providers), manifest, fn group, manifest ->
      Map.update!(manifest, group, fn components ->
        Enum.map(components, &Map.update!(&1, "image", change))
      end)
    end)
  end

  defp to_object(%{"kind" => "file", "value" => path}, digests) do
    %{"kind" => "object", "value" => Map.fetch!(digests, path), "path" => Path.basename(path)}
  end

  defp to_object(image, _digests), do: image

  defp other_schema(schema) do
    Error.new(
      :unavailable,
      "the model has schema #{schema}, expected #{@schema}; another version of Exosuit made it"
    )
  end

  defp invalid(detail), do: Error.new(:invalid_input, "the model is not valid: #{detail}")

  defp too_large(text) do
    Error.new(
      :limit,
      "the model has #{byte_size(text)} bytes, expected at most #{@max_bytes}; " <>
        "move configuration out of the manifest"
    )
  end
end
