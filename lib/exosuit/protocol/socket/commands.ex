defmodule Exosuit.Protocol.Socket.Commands do
  @moduledoc """
  Decodes the commands of the control socket. Pure.

  The table `@commands` of names and arguments is that of `guides/control-socket.md`. Unknown arguments are refused: a
  client of a newer version that needs one must not be misunderstood. Commands that name code name a path on the host's
  machine, because the socket is local.
  """

  alias Exosuit.Error
  alias Exosuit.Model.Command
  alias Exosuit.Protocol.Schema

  @version 1

  # The name on the wire => the struct and its arguments: a kind, or a kind and a default.
  @commands %{
    "inventory" => {Command.Inventory, []},
    "call" =>
      {Command.Call,
       [
         actor: :string,
         operation: :string,
         payload_base64: {:base64, ""},
         timeout_ms: {:milliseconds, nil}
       ]},
    "actor.start" =>
      {Command.StartActor,
       [
         path: :path,
         id: {:string, nil},
         instances: {:instances, 1},
         config: {:string_map, %{}},
         annotations: {:string_map, %{}}
       ]},
    "actor.stop" => {Command.StopActor, [id: :string]},
    "actor.scale" => {Command.ScaleActor, [id: :string, instances: :instances]},
    "actor.update" =>
      {Command.UpdateActor,
       [
         id: :string,
         path: :path,
         force: {:boolean, false},
         allow_issuer_change: {:boolean, false}
       ]},
    "provider.start" =>
      {Command.StartProvider,
       [
         name: :string,
         id: {:string, nil},
         config: {:string_map, %{}},
         annotations: {:string_map, %{}}
       ]},
    "provider.stop" => {Command.StopProvider, [id: :string]},
    "link.put" =>
      {Command.PutLink,
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
      {Command.DeleteLink,
       [
         source: {:name, :id},
         contract: {:name, :contract},
         name: {{:name, :link_name}, "default"}
       ]},
    "link.list" => {Command.Links, []},
    "events" => {Command.Subscribe, []},
    "remote" => {Command.OpenRemote, []},
    "stop" => {Command.StopHost, []},
    "apply" =>
      {Command.ApplyManifest,
       [
         manifest: :path,
         allow_issuer_change: {:boolean, false},
         if_version: {:number, nil}
       ]},
    "delete" => {Command.DeleteApp, [app: :string]},
    "app.list" => {Command.ListApps, []},
    "app.status" => {Command.AppStatus, [app: :string]},
    "app.history" => {Command.AppHistory, [app: :string]},
    "app.deploy" => {Command.DeployApp, [app: :string, version: {:number, nil}]},
    "app.undeploy" => {Command.UndeployApp, [app: :string]},
    "app.rollback" => {Command.RollbackApp, [app: :string]},
    "app.delete" => {Command.DeleteApp, [app: :string]},
    "app.files" => {Command.AppFiles, [manifest: :digest, path: :path]},
    "app.put" =>
      {Command.PutApp,
       [
         manifest: :digest,
         path: :path,
         files: {:string_map, %{}},
         allow_issuer_change: {:boolean, false},
         if_version: {:number, nil}
       ]}
  }

  @doc """
  Decodes a request, an object with `v`, `id`, `command` and `arguments`. The id may be a text or a number, and is
  returned as it came; any other id counts as absent.

      iex> request = %{"v" => 1, "id" => 7, "command" => "provider.stop", "arguments" => %{"id" => "kv"}}
      iex> Exosuit.Protocol.Socket.Commands.decode_request(request)
      {:ok, 7, %Exosuit.Model.Command.StopProvider{id: "kv"}}
  """
  @spec decode_request(term()) ::
          {:ok, id :: term(), Command.t()} | {:error, id :: term(), Error.t()}
  def decode_request(%{} = request) do
    id = id(request)

    with :ok <- check_version(request),
         {:ok, command} <- decode(request["command"], request["arguments"] || %{}) do
      {:ok, id, command}
    else
      {:error, error} -> {:error, id, error}
    end
  end

  def decode_request(_other) do
    {:error, nil, Error.new(:invalid_input, "expected an object with v, id and command")}
  end

  @doc """
  Decodes the command of this name with these arguments. `:unknown_operation` for another name, and `:invalid_input` for
  arguments of another form.
  """
  @spec decode(term(), term()) :: {:ok, Command.t()} | {:error, Error.t()}
  def decode(name, %{} = arguments) when is_map_key(@commands, name) do
    {module, schema} = Map.fetch!(@commands, name)

    with :ok <- Schema.check_known(arguments, schema),
         {:ok, checked} <- Schema.check(arguments, schema) do
      {:ok, struct!(module, fields(module, checked))}
    else
      {:error, detail} -> {:error, Error.new(:invalid_input, detail)}
    end
  end

  def decode(name, _arguments) when is_map_key(@commands, name) do
    {:error, Error.new(:invalid_input, "expected \"arguments\" to be an object")}
  end

  def decode(_name, _arguments) do
    names = Enum.join(Map.keys(@commands), ", ")
    {:error, Error.new(:unknown_operation, "expected \"command\" to be one of #{names}")}
  end

  # The id is returned as it came: an object or a list could be as large as the line.
  defp id(%{"id" => id}) when is_binary(id) or is_number(id), do: id
  defp id(_request), do: nil

  defp check_version(%{"v" => @version}), do: :ok

  defp check_version(_request) do
    {:error, Error.new(:invalid_input, "expected \"v\": #{@version}, the only version")}
  end

  defp fields(Command.Call, it) do
    %{
      actor: it.actor,
      operation: it.operation,
      payload: it.payload_base64,
      timeout: it.timeout_ms
    }
  end

  defp fields(Command.Links, _none), do: %{of: :host}

  defp fields(module, it) when module in [Command.StartActor, Command.UpdateActor] do
    {path, it} = Map.pop!(it, :path)
    it |> with_values() |> Map.put(:code, {:path, path})
  end

  defp fields(Command.StartProvider, it) do
    {name, it} = Map.pop!(it, :name)
    it |> with_values() |> Map.put(:code, {:name, name})
  end

  defp fields(_module, it), do: it

  defp with_values(%{config: values} = it), do: %{it | config: {:values, values}}
  defp with_values(it), do: it
end
