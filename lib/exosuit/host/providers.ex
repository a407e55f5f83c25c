defmodule Exosuit.Host.Providers do
  @moduledoc """
  Starts and stops the providers of a host, for people and commands.

  A provider is given as a module that uses `Exosuit.Provider`, or as text: the name of a built-in provider,
  `wasmcloud+builtin://NAME`, or `exosuit+module://NAME` for one of the host's `:providers`. Text never becomes an
  atom. Wrong options raise `ArgumentError`. Each function blocks the calling process until the outcome is known.
  """

  alias Exosuit.{Error, Input, Instance, Options}
  alias Exosuit.Host.{Roster, Specifications}
  alias Exosuit.Model.{Artifact, ProviderSpecification}
  alias Exosuit.Provider.Builtin

  @schema [
    id: [
      type: :string,
      default: nil,
      doc: "its id on this host; by default its name, `\"clock\"` for `MyApp.Clock`."
    ],
    config: [type: :string_map, default: %{}, doc: "its own configuration."],
    link_name: [
      type: :string,
      default: "default",
      doc: "the link name by which hosts of the OTP era distinguish providers of one kind."
    ],
    annotations: [
      type: :string_map,
      default: %{},
      doc: "annotations, shown in events and the inventory."
    ]
  ]
  @module {
    "the name of a built-in one or a module that uses Exosuit.Provider",
    &Options.provider?/1
  }
  @forms "NAME or wasmcloud+builtin://NAME for a built-in provider, or exosuit+module://NAME"

  @doc "The options of a start, as Markdown."
  @spec docs() :: String.t()
  def docs, do: Options.docs(@schema)

  @doc "The options of a start with their defaults. Raises `ArgumentError` with what was expected."
  @spec options!(keyword()) :: keyword()
  def options!(options), do: Options.validate!(options, @schema)

  @doc """
  Starts a provider, and returns its id. Blocks the calling process until the provider has its links.

  Returns `:conflict` if the host has an actor or provider of this id, or if another process holds its port or file, and
  `:not_found` for a module that is not among the host's `:providers`. After any error, the provider has no
  specification, and the event `provider_start_failed` has been emitted.
  """
  @spec start(Instance.t(), String.t() | module(), keyword()) ::
          {:ok, String.t()} | {:error, Error.t()}
  def start(instance, provider, options) do
    options = options!(options)

    case parse(provider, instance) do
      {:ok, {name, artifact}} ->
        fields = [artifact: artifact] ++ Keyword.put(options, :id, options[:id] || name)
        specification = struct!(ProviderSpecification, fields)
        with :ok <- Roster.start(instance, specification), do: {:ok, specification.id}

      {:error, error} ->
        refuse(instance, provider, options, error)
    end
  end

  @doc """
  Starts a provider. If the host has a provider of this id already, waits for the start of that one.
  """
  @spec ensure(Instance.t(), String.t() | module(), keyword()) :: :ok | {:error, Error.t()}
  def ensure(instance, provider, options) do
    with {:ok, {name, _artifact}} <- parse(provider, instance),
         key = {:provider, options[:id] || name},
         {:ok, _specified} <- Specifications.fetch(instance, key) do
      Roster.resume(instance, key)
    else
      _absent -> with {:ok, _id} <- start(instance, provider, options), do: :ok
    end
  end

  @doc """
  Stops a provider: closes its sockets and files. Its links stay, without effect. `:not_found` if there is none.
  """
  @spec stop(Instance.t(), String.t()) :: :ok | {:error, Error.t()}
  def stop(instance, id), do: Roster.stop(instance, {:provider, id})

  @spec parse(term(), Instance.t()) ::
          {:ok, {name :: String.t(), Artifact.t()}} | {:error, Error.t()}
  defp parse(text, instance) when is_binary(text) do
    case text |> Options.argument!("the provider", :string) |> Input.parse_reference() do
      {:ok, {:builtin, name}} -> builtin(name)
      {:ok, {:module, name}} -> module(name, instance.config.providers)
      {:ok, {:registry, image}} -> Input.refuse_registry(image)
      {:ok, {:file, ^text}} -> name(text)
      {:ok, {:file, _path}} -> {:error, Error.new(:invalid_input, not_supported(text))}
      {:error, error} -> {:error, error}
    end
  end

  defp parse(module, _instance) do
    name = module |> Options.argument!("the provider", @module) |> inspect()
    id = name |> String.split(".") |> List.last() |> Macro.underscore()
    {:ok, {id, {:module, name, module}}}
  end

  defp builtin(name) do
    with {:ok, _facts} <- Builtin.fetch(name), do: {:ok, {name, {:builtin, name}}}
  end

  # Text without a scheme is the name of a built-in provider.
  defp name(text) do
    if Input.name?(:id, text),
      do: builtin(text),
      else: {:error, Error.new(:invalid_input, not_supported(text))}
  end

  defp not_supported(text) do
    "expected #{@forms}, got #{inspect(text, printable_limit: 200)}: providers from a file " <>
      "are not supported yet"
  end

  defp module(name, modules) do
    case modules do
      %{^name => module} ->
        {:ok, {name, {:module, name, module}}}

      _without ->
        known = modules |> Map.keys() |> Enum.map_join(", ", &inspect/1)
        detail = "#{inspect(name)} is not among the host's `providers:` (known: #{known})"
        {:error, Error.new(:not_found, detail)}
    end
  end

  # The roster announces failures of the starts that it carries out. This start failed before.
  defp refuse(instance, provider, options, error) do
    id = options[:id] || provider
    annotations = options[:annotations] || %{}
    Roster.announce_failure(instance, {:provider, id}, provider, annotations, error)
    {:error, error}
  end
end
