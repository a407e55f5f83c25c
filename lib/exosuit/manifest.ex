defmodule Exosuit.Manifest do
  @moduledoc """
  A manifest after it was read and checked: the actors, providers and links of an application.

  A manifest is YAML: the OAM `Application` that wadm reads, with fields of its old and new versions. Reading
  reports all mistakes at once, each with its line. A reference that this host cannot use is a mistake: an image in
  a registry, or a provider that the host does not have. Text that is not UTF-8 is a mistake as well.
  `guides/manifest.md` describes the fields.

  A spread that no host meets is not a mistake of the manifest. `workloads` say what should run on which hosts. If
  no host can take a workload, placement reports it.

  A manifest may name a configuration without giving its values (`stored`). Its values are stored on the host or in
  its lattice. Then the other configurations of that link or workload are stored under names as well
  (`configurations`), so that their order is kept.
  """

  alias Exosuit.{Config, Json, Native}
  alias Exosuit.Manifest.Workloads
  alias Exosuit.Model.{ActorSpecification, Artifact, Configuration, Grants, Limits, Link}
  alias Exosuit.Model.{ProviderSpecification, Warm, Workload}

  @typedoc """
  A mistake or a warning. `text` is one line for people:
  `app.yaml:14:11: spec.components[0].properties.image: expected …, found …`. If the manifest has no mistake
  but cannot be applied, `error` has the reason.
  """
  @type diagnostic :: %{
          :text => String.t(),
          :severity => :error | :warning,
          :line => pos_integer(),
          optional(:error) => Exosuit.Error.t()
        }

  @typedoc "The name of a stored configuration, and the diagnostic if it does not exist."
  @type stored :: {name :: String.t(), diagnostic()}

  @typedoc "The text of a manifest, the parsed manifest, and warnings."
  @type parsed :: %{text: String.t(), manifest: map(), warnings: [diagnostic()]}

  @type t :: %__MODULE__{
          name: String.t(),
          specifications: [ActorSpecification.t() | ProviderSpecification.t()],
          workloads: [Workload.t()],
          links: [Link.t()],
          configurations: %{optional(String.t()) => Configuration.t()},
          stored: [stored()]
        }

  @enforce_keys [:name, :specifications, :workloads, :links]
  defstruct [:name, :specifications, :workloads, :links, configurations: %{}, stored: []]

  # Manifests are written by hand, so they are small. The parser bounds its own output.
  @max_bytes 1_048_576

  @doc """
  Reads and parses a manifest. `modules` are the names of the Elixir providers that may be named; `nil` allows
  all names. The result has the text, and the parsed manifest as `Exosuit.App.Model` takes it.
  """
  @spec parse(Path.t(), [String.t()] | nil) :: {:ok, parsed()} | {:error, [diagnostic()]}
  def parse(path, modules) do
    with :ok <- check_path(path), {:ok, text} <- read_file(path), do: parse(text, path, modules)
  end

  @doc """
  Parses the text of a manifest. Relative file names are looked up beside `path`. Reads no file.

      iex> text = \"""
      ...> apiVersion: core.oam.dev/v1beta1
      ...> kind: Application
      ...> metadata: {name: app}
      ...> spec:
      ...>   components:
      ...>     - name: store
      ...>       type: capability
      ...>       properties: {image: "wasmcloud+builtin://keyvalue"}
      ...> \"""
      iex> {:ok, parsed} = Exosuit.Manifest.parse(text, "app.yaml", nil)
      iex> Enum.map(parsed.manifest["providers"], & &1["id"])
      ["app-store"]
      iex> {:error, [mistake]} = text |> String.replace("keyvalue", "keyvalues") |> Exosuit.Manifest.parse("app.yaml", nil)
      iex> {mistake.severity, mistake.line}
      {:error, 8}
  """
  @spec parse(String.t(), Path.t(), [String.t()] | nil) ::
          {:ok, parsed()} | {:error, [diagnostic()]}
  def parse(text, path, modules) do
    case Native.manifest_parse(text, Path.expand(path), modules) do
      {:ok, %{"manifest" => manifest, "warnings" => warnings}} ->
        {:ok, %{text: text, manifest: manifest, warnings: Enum.map(warnings, &diagnostic/1)}}

      {:error, diagnostics} ->
        {:error, Enum.map(diagnostics, &diagnostic/1)}
    end
  end

  @doc """
  Decodes a manifest in YAML or JSON, with all fields that its author wrote.

      iex> Exosuit.Manifest.document("{kind: Application, extra: [1]}")
      {:ok, %{"kind" => "Application", "extra" => [1]}}
  """
  @spec document(String.t()) :: {:ok, map()} | {:error, [diagnostic()]}
  def document(text) do
    case Json.decode(text) do
      {:ok, %{} = document} ->
        {:ok, document}

      _yaml ->
        with {:error, found} <- Native.manifest_document(text),
             do: {:error, Enum.map(found, &diagnostic/1)}
    end
  end

  @doc """
  Builds the manifest for a host from a parsed one. `sources` has the place on this host of each object that the
  manifest names, by its digest.
  """
  @spec build(map(), Config.t(), %{optional(String.t()) => Artifact.source()}) :: t()
  def build(manifest, config, sources) do
    app = manifest["name"]

    %__MODULE__{
      name: app,
      specifications:
        Enum.map(manifest["providers"], &provider(&1, app, config)) ++
          Enum.map(manifest["components"], &actor(&1, app, {config, sources})),
      workloads: Workloads.application(manifest, []).workloads,
      links: Enum.map(manifest["links"], &Workloads.link(&1, app)),
      configurations: Workloads.configurations(manifest),
      stored: Workloads.stored(manifest)
    }
  end

  @doc "The workloads of a parsed manifest: its actors and providers."
  @spec workloads(map()) :: [Workload.t()]
  def workloads(manifest), do: Workloads.application(manifest, []).workloads

  @doc "The configurations that a parsed manifest names without their values."
  @spec stored(map()) :: [stored()]
  defdelegate stored(manifest), to: Workloads

  @doc "The diagnostic of an error that concerns the manifest as a whole."
  @spec diagnostic(Path.t(), Exosuit.Error.t()) :: diagnostic()
  def diagnostic(path, error) do
    %{text: "#{path}: #{Exception.message(error)}", severity: :error, line: 1, error: error}
  end

  # Diagnostics contain the path, and are sent as JSON.
  defp check_path(path) do
    if is_binary(path) and String.valid?(path),
      do: :ok,
      else: refuse(inspect(path), "expected a path in UTF-8")
  end

  defp read_file(path) do
    case File.stat(path) do
      {:ok, %{type: :regular, size: size}} when size <= @max_bytes ->
        read_text(path)

      {:ok, %{type: :regular, size: size}} ->
        refuse(path, "#{size} bytes, at most #{@max_bytes} are read")

      {:ok, %{type: type}} ->
        refuse(path, "it is a #{type}, expected a YAML file")

      {:error, reason} ->
        refuse(path, :file.format_error(reason))
    end
  end

  defp read_text(path) do
    with {:error, reason} <- File.read(path), do: refuse(path, :file.format_error(reason))
  end

  defp refuse(path, why) do
    {:error, [%{text: "#{path} cannot be read: #{why}", severity: :error, line: 1}]}
  end

  defp actor(%{"settings" => settings} = component, app, {config, sources}) do
    %ActorSpecification{
      id: component["id"],
      artifact: artifact(component["image"], sources),
      instances: component["max_instances"] || 1,
      warm: warm(settings["instances"]),
      limits: limits(settings["limits"], config),
      config: component["config"],
      grants: grants(settings["grants"]),
      annotations: component["annotations"],
      singleton?: component["singleton"] == true,
      app: app
    }
  end

  defp limits(given, config) do
    %Limits{
      memory: given["memory"] || config.memory_limit,
      queue: given["queue"] || config.queue,
      table: given["table"],
      log: given["log"],
      deadline: given["deadline"],
      resource_idle: given["resource_idle"]
    }
  end

  defp warm(%{"kind" => "ephemeral"}), do: nil

  defp warm(%{"kind" => "warm"} = given) do
    given = [pool: given["pool"], calls: given["calls"], idle: given["idle_ms"]]
    struct!(Warm, Enum.reject(given, fn {_key, value} -> is_nil(value) end))
  end

  defp grants(given) do
    %Grants{
      arguments: given["arguments"],
      environment: given["environment"],
      directories: Enum.map(given["directories"], &directory/1)
    }
  end

  defp directory(%{"host" => host, "guest" => guest, "access" => access}) do
    %{host: host, guest: guest, access: if(access == "write", do: :write, else: :read)}
  end

  defp provider(component, app, config) do
    %ProviderSpecification{
      id: component["id"],
      artifact: provider_artifact(component["image"], config),
      config: component["config"],
      annotations: component["annotations"],
      singleton?: component["singleton"] == true,
      app: app
    }
  end

  defp artifact(%{"kind" => "object", "value" => digest} = image, sources) do
    {:object, image["path"] || "object", digest, Map.fetch!(sources, digest)}
  end

  defp provider_artifact(%{"kind" => "builtin", "value" => name}, _config), do: {:builtin, name}

  defp provider_artifact(%{"kind" => "module", "value" => name}, config) do
    {:module, name, Map.fetch!(config.providers, name)}
  end

  defp diagnostic(given) do
    severity = if given["severity"] == "warning", do: :warning, else: :error
    %{text: given["text"], severity: severity, line: given["line"]}
  end
end
