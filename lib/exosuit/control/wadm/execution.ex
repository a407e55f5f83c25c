defmodule Exosuit.Control.Wadm.Execution do
  @moduledoc """
  Carries out the requests to wadm's API on the applications of the lattice.

  Reads the records from the store, not from this host's copy, because another host may have answered the request
  before. Each function blocks the calling process.
  """

  alias Exosuit.{App, Error, Instance, Manifest}
  alias Exosuit.App.{Labels, Record}
  alias Exosuit.Control.Reference
  alias Exosuit.Model.Command
  alias Exosuit.Protocol.Wadm.{Replies, Status, Ulid}

  # The path of a manifest in messages. Its files have absolute paths, because it has no directory here.
  @manifest "/manifest"

  @doc "Returns the reply, and the name of the application whose status may have changed, or `nil`."
  @spec run(Command.t(), Instance.t()) :: {Replies.t(), String.t() | nil}
  def run(command, instance) do
    case carry_out(command, instance) do
      {:changed, reply, name} ->
        {reply, name}

      {:ok, reply} ->
        {reply, nil}

      {:error, %Error{reason: :not_found}} when is_map_key(command, :app) ->
        {Replies.not_found(command), nil}

      {:error, %Error{} = error} ->
        {Replies.error(error), nil}

      {:error, diagnostics} ->
        {Replies.refused(Enum.map(diagnostics, &named/1)), nil}
    end
  end

  @doc """
  The status of an application, from the store's present record and this host's knowledge of the running parts.
  """
  @spec status(Instance.t(), Record.t()) :: Status.t()
  def status(instance, record) do
    version = Labels.text(record, Record.current(record))

    case App.Reader.status(instance, record.name) do
      {:ok, %{edition: edition} = overview} when edition >= record.edition ->
        Status.encode(overview, version)

      _older_or_none when record.state == :undeployed ->
        Status.undeployed("it is not deployed", version)

      _older_or_none ->
        Status.waiting("no host has reported on the last change yet", version)
    end
  end

  defp carry_out(%Command.ListApps{}, instance) do
    with {:ok, summaries} <- summaries(instance), do: {:ok, Replies.list(summaries)}
  end

  defp carry_out(%Command.GetManifest{app: nil}, instance) do
    with {:ok, summaries} <- summaries(instance), do: {:ok, Replies.all(summaries)}
  end

  defp carry_out(%Command.StoreManifest{text: text}, instance) do
    options = [
      by: "wadm",
      label: Ulid.encode(System.system_time(:millisecond), :crypto.strong_rand_bytes(10)),
      check_files: &check_files(&1, instance.config.allow_file_load)
    ]

    with {:ok, record} <- App.Manifests.store(instance, text, @manifest, options) do
      version = Labels.text(record, Labels.newest(record))
      {:changed, Replies.put(record.name, version, length(record.versions)), record.name}
    end
  end

  defp carry_out(%Command.GetManifest{} = it, instance) do
    with {:ok, record, version} <- fetch(it, instance),
         {:ok, text} <- App.Manifests.text(instance, version),
         {:ok, manifest} <- Manifest.document(text) do
      {:ok, Replies.manifest(manifest, record.name, Labels.text(record, version))}
    end
  end

  defp carry_out(%Command.AppHistory{app: name}, instance) do
    with {:ok, record} <- App.RecordStore.fetch(instance, name) do
      versions = Enum.map(record.versions, &Labels.text(record, &1))
      {:ok, Replies.versions(name, versions, Labels.deployed(record))}
    end
  end

  defp carry_out(%Command.DeleteApp{app: name, version: nil}, instance) do
    with :ok <- App.Versions.delete(instance, name) do
      {:changed, Replies.deleted(name, nil, true), name}
    else
      {:error, %Error{reason: :not_found}} -> {:ok, Replies.nothing_deleted(name, nil)}
      error -> error
    end
  end

  defp carry_out(%Command.DeleteApp{} = it, instance) do
    with {:ok, record, version} <- fetch(it, instance),
         :ok <- App.Versions.delete_version(instance, record.name, version.version) do
      runs? = record.state == :deployed and record.version == version.version
      undeploy? = runs? or length(record.versions) == 1
      {:changed, Replies.deleted(record.name, it.version, undeploy?), record.name}
    else
      {:error, %Error{reason: :not_found}} ->
        {:ok, Replies.nothing_deleted(it.app, it.version)}

      error ->
        error
    end
  end

  defp carry_out(%Command.DeployApp{} = it, instance) do
    with {:ok, record, version} <- fetch(it, instance),
         {:ok, _stored} <- App.Versions.deploy(instance, record.name, version.version) do
      {:changed, Replies.deployed(record.name, Labels.text(record, version)), record.name}
    end
  end

  defp carry_out(%Command.UndeployApp{app: name}, instance) do
    with {:ok, _stored} <- App.Versions.undeploy(instance, name) do
      {:changed, Replies.undeployed(name), name}
    end
  end

  # As in wadm, an application that does not exist counts as undeployed.
  defp carry_out(%Command.AppStatus{app: name}, instance) do
    case App.RecordStore.fetch(instance, name) do
      {:ok, record} ->
        {:ok, Replies.status(name, status(instance, record))}

      {:error, %Error{reason: :not_found}} ->
        {:ok, Replies.status(name, Status.undeployed("there is no application #{name}"))}

      error ->
        error
    end
  end

  defp summaries(instance) do
    with {:ok, records} <- App.RecordStore.list(instance) do
      {:ok, Enum.map(records, &summary(&1, instance))}
    end
  end

  defp summary(record, instance) do
    newest = Labels.newest(record)

    %{
      name: record.name,
      version: Labels.text(record, newest),
      deployed: Labels.deployed(record),
      description: newest.description,
      status: status(instance, record)
    }
  end

  # The version that a command names, or the newest.
  defp fetch(%{app: name, version: text}, instance) do
    with {:ok, record} <- App.RecordStore.fetch(instance, name) do
      case if(text, do: Labels.find(record, text), else: Labels.newest(record)) do
        nil -> {:error, Error.new(:not_found, "application #{name} has no version #{text}")}
        version -> {:ok, record, version}
      end
    end
  end

  # The same rule as for all commands of the lattice: a publisher must not be able to read any file of the machine.
  defp check_files(files, allowed) do
    Enum.reduce_while(files, :ok, fn file, :ok ->
      case Reference.actor("file://" <> file, allowed) do
        {:ok, _path} -> {:cont, :ok}
        error -> {:halt, error}
      end
    end)
  end

  defp named(diagnostic) do
    Map.update!(diagnostic, :text, &String.replace_prefix(&1, @manifest, "manifest"))
  end
end
