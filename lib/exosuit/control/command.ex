defmodule Exosuit.Control.Command do
  @moduledoc false
  # One command from outside, checked: its arguments are all there, each of its kind, and no others.
  # Those of the control socket are parsed here, those of the lattice by `Control.Otp` and `Control.V1`.

  alias Exosuit.Control.Schema
  alias Exosuit.Error

  @type t :: %__MODULE__{id: term(), name: atom(), arguments: map()}

  # Arguments may hold secrets, and the log of a task that crashes shows what it was given.
  @derive {Inspect, except: [:arguments]}
  @enforce_keys [:id, :name, :arguments]
  defstruct [:id, :name, :arguments]

  @version 1

  # On the wire => the facade's function, and the arguments: a kind, or a kind and a default.
  @commands %{
    "inventory" => {:inventory, []},
    "call" =>
      {:call,
       [
         actor: :string,
         operation: :string,
         payload_base64: {:base64, ""},
         timeout_ms: {:milliseconds, nil}
       ]},
    "actor.start" =>
      {:start_actor,
       [
         path: :path,
         id: {:string, nil},
         instances: {:instances, 1},
         config: {:string_map, %{}},
         annotations: {:string_map, %{}}
       ]},
    "actor.stop" => {:stop_actor, [id: :string]},
    "actor.scale" => {:scale_actor, [id: :string, instances: :instances]},
    "actor.update" =>
      {:update_actor,
       [
         id: :string,
         path: :path,
         force: {:boolean, false},
         allow_issuer_change: {:boolean, false}
       ]},
    "provider.start" =>
      {:start_provider,
       [
         name: :string,
         id: {:string, nil},
         config: {:string_map, %{}},
         annotations: {:string_map, %{}}
       ]},
    "provider.stop" => {:stop_provider, [id: :string]},
    "link.put" =>
      {:put_link,
       [
         source: {:name, :id},
         target: {:name, :id},
         contract: {:name, :contract},
         name: {{:name, :link_name}, "default"},
         interfaces: {{:names, :interface}, []},
         source_config: {:string_map, %{}},
         target_config: {:string_map, %{}}
       ]},
    "link.delete" =>
      {:delete_link,
       [
         source: {:name, :id},
         contract: {:name, :contract},
         name: {{:name, :link_name}, "default"}
       ]},
    "link.list" => {:links, []},
    "events" => {:events, []},
    "remote" => {:remote, []},
    "stop" => {:stop_host, []},
    "apply" =>
      {:apply_manifest,
       [
         manifest: :path,
         allow_issuer_change: {:boolean, false},
         if_version: {:number, nil}
       ]},
    "delete" => {:delete_app, [app: :string]},
    "app.list" => {:list_apps, []},
    "app.status" => {:app_status, [app: :string]},
    "app.history" => {:app_history, [app: :string]},
    "app.deploy" => {:deploy_app, [app: :string, version: {:number, nil}]},
    "app.undeploy" => {:undeploy_app, [app: :string]},
    "app.rollback" => {:rollback_app, [app: :string]},
    "app.delete" => {:delete_app, [app: :string]},
    "app.files" => {:app_files, [manifest: :digest, path: :path]},
    "app.put" =>
      {:put_app,
       [
         manifest: :digest,
         path: :path,
         files: {:string_map, %{}},
         allow_issuer_change: {:boolean, false},
         if_version: {:number, nil}
       ]}
  }

  @doc "The command that a decoded line is, or what is wrong with it, under its id if it has one."
  @spec parse(term()) :: {:ok, t()} | {:error, id :: term(), Error.t()}
  def parse(%{} = request) do
    id = id(request)

    with :ok <- check_version(request),
         {:ok, {name, schema}} <- fetch_schema(request),
         {:ok, given} <- fetch_arguments(request),
         :ok <- Schema.check_known(given, schema),
         {:ok, arguments} <- Schema.check(given, schema) do
      {:ok, %__MODULE__{id: id, name: name, arguments: arguments}}
    else
      {:error, detail} -> {:error, id, Error.new(:invalid_input, detail)}
      {:unknown, detail} -> {:error, id, Error.new(:unknown_operation, detail)}
    end
  end

  def parse(_other) do
    {:error, nil, Error.new(:invalid_input, "expected an object with v, id and command")}
  end

  @doc """
  What a command is about: those about the same are carried out in the order in which they came. One
  that changes nothing is about nothing that another is.
  """
  @spec about(t()) :: term()
  def about(%__MODULE__{name: :launch_actor, arguments: it}), do: {:code, it.reference}

  def about(%__MODULE__{name: name, arguments: it})
      when name in [:equalize_actor, :withdraw_actor, :exchange_actor],
      do: {:actor, it.id || it.reference}

  def about(%__MODULE__{name: name}) when name in [:launch_provider, :withdraw_provider],
    do: :providers

  def about(%__MODULE__{name: name, arguments: it})
      when name in [:put_link, :connect, :disconnect],
      do: {:link, it.source, it.contract}

  def about(%__MODULE__{name: name, arguments: it}) when name in [:put_config, :delete_config],
    do: {:config, it.name}

  def about(%__MODULE__{name: name}) when name in [:put_label, :delete_label], do: :labels

  def about(%__MODULE__{name: name, arguments: it})
      when name in [:deploy_app, :undeploy_app, :rollback_app, :delete_app],
      do: {:app, it.app}

  def about(%__MODULE__{name: :put_registries}), do: :registries
  def about(%__MODULE__{}), do: make_ref()

  @doc "The command of this name on the wire, with arguments as a decoded object."
  @spec parse(String.t(), term()) :: {:ok, t()} | {:error, Error.t()}
  def parse(command, arguments) do
    request = %{"v" => @version, "command" => command, "arguments" => arguments}
    with {:error, _id, error} <- parse(request), do: {:error, error}
  end

  # Given back as it came, so it must not be a tree of its own.
  defp id(%{"id" => id}) when is_binary(id) or is_number(id), do: id
  defp id(_request), do: nil

  defp check_version(%{"v" => @version}), do: :ok
  defp check_version(_request), do: {:error, "expected \"v\": #{@version}, the only version"}

  defp fetch_schema(%{"command" => command}) when is_map_key(@commands, command) do
    Map.fetch(@commands, command)
  end

  defp fetch_schema(_request) do
    {:unknown, "expected \"command\" to be one of #{Enum.join(Map.keys(@commands), ", ")}"}
  end

  defp fetch_arguments(request) do
    case request["arguments"] || %{} do
      %{} = given -> {:ok, given}
      _other -> {:error, "expected \"arguments\" to be an object"}
    end
  end
end
