defmodule Exosuit.Protocol.Wadm.Replies do
  @moduledoc """
  The replies of wadm's API, as maps that are encoded as JSON. Pure.

  `result` is `error`, with a `message` for people, or a word of the operation.
  """

  alias Exosuit.Error
  alias Exosuit.Model.Command
  alias Exosuit.Protocol.Wadm.Status

  @typedoc "A reply: an object, or for `list/1` a list."
  @type t :: map() | [map()]

  @typedoc """
  An application in a list: `version` is its newest version, `deployed` the version that should run, or `nil`, and
  `status` the status of the application.
  """
  @type summary :: %{
          name: String.t(),
          version: String.t(),
          deployed: String.t() | nil,
          description: String.t() | nil,
          status: Status.t()
        }

  @doc "The reply to a refused request, which has this form for every operation."
  @spec error(Error.t()) :: t()
  def error(%Error{} = error), do: %{result: "error", message: Exception.message(error)}

  @doc "The reply to a refused manifest: its mistakes, each on a line."
  @spec refused([%{text: String.t()}]) :: t()
  def refused(diagnostics) do
    %{result: "error", message: Enum.map_join(diagnostics, "\n", & &1.text)}
  end

  @doc "The reply to `list`: all applications, without an envelope."
  @spec list([summary()]) :: t()
  def list(summaries), do: Enum.map(summaries, &summary/1)

  @doc "The reply to `get` without a name: all applications."
  @spec all([summary()]) :: t()
  def all(summaries) do
    %{
      result: "success",
      message: "Successfully fetched list of applications",
      models: list(summaries)
    }
  end

  @doc "A manifest: `manifest` is the decoded one, `version` the text of its version."
  @spec manifest(map(), String.t(), String.t()) :: t()
  def manifest(manifest, name, version) do
    %{
      result: "success",
      message: "Successfully fetched application #{name} #{version}",
      manifest: with_version(manifest, version)
    }
  end

  @doc "The versions of an application, oldest first, and which of them should run."
  @spec versions(String.t(), [String.t()], String.t() | nil) :: t()
  def versions(name, versions, deployed) do
    %{
      result: "success",
      message: "Successfully fetched versions for application #{name}",
      versions: for(version <- versions, do: %{version: version, deployed: version == deployed})
    }
  end

  @doc "The reply after a manifest was stored, with the number of all versions."
  @spec put(String.t(), String.t(), pos_integer()) :: t()
  def put(name, version, count) do
    %{
      result: if(count == 1, do: "created", else: "newversion"),
      message: "Successfully put manifest #{name} #{version}",
      name: name,
      current_version: version,
      total_versions: count
    }
  end

  @doc """
  The reply after a version was deleted, or for `nil` the whole application. `undeploy?` says whether running parts
  are stopped.

      iex> Exosuit.Protocol.Wadm.Replies.deleted("shop", "2", false).message
      "Successfully deleted version 2 of application shop"
  """
  @spec deleted(String.t(), String.t() | nil, boolean()) :: t()
  def deleted(name, nil, undeploy?) do
    %{
      result: "deleted",
      message: "Successfully deleted application #{name}",
      undeploy: undeploy?
    }
  end

  def deleted(name, version, undeploy?) do
    message = "Successfully deleted version #{version} of application #{name}"
    %{result: "deleted", message: message, undeploy: undeploy?}
  end

  @doc "The reply if there was nothing to delete."
  @spec nothing_deleted(String.t(), String.t() | nil) :: t()
  def nothing_deleted(name, version) do
    %{result: "noop", message: absent(name, version), undeploy: false}
  end

  @doc "The reply after a version was deployed."
  @spec deployed(String.t(), String.t()) :: t()
  def deployed(name, version) do
    %{
      result: "acknowledged",
      message: "Successfully deployed application #{name} #{version}",
      name: name,
      version: version
    }
  end

  @doc "The reply after an application was undeployed."
  @spec undeployed(String.t()) :: t()
  def undeployed(name) do
    %{
      result: "acknowledged",
      message: "Successfully undeployed application #{name}",
      name: name,
      version: nil
    }
  end

  @doc "The status of an application."
  @spec status(String.t(), Status.t()) :: t()
  def status(name, status) do
    message = "Successfully fetched status for application #{name}"
    %{result: "ok", message: message, status: status}
  end

  @doc "The reply if the application of a command, or its version, does not exist."
  @spec not_found(Command.t()) :: t()
  def not_found(%Command.AppHistory{app: name}) do
    %{result: "notfound", message: absent(name, nil), versions: []}
  end

  def not_found(%Command.GetManifest{app: name, version: version}) do
    %{result: "notfound", message: absent(name, version)}
  end

  # wadm replies with an error if the application lacks this version.
  def not_found(%Command.DeployApp{app: name, version: version}) when version != nil do
    %{result: "error", message: absent(name, version), name: name, version: version}
  end

  def not_found(%{app: name}) do
    %{result: "notfound", message: absent(name, nil), name: name, version: nil}
  end

  defp absent(name, nil), do: "Application with the name #{name} not found"
  defp absent(name, version), do: "Application #{name} with version #{version} doesn't exist"

  # Tools of 0.7 read `status`, those of 0.21 `detailed_status`.
  defp summary(it) do
    %{
      name: it.name,
      version: it.version,
      description: it.description,
      deployed_version: it.deployed,
      status: Status.old_type(it.status),
      status_message: it.status.status.message,
      detailed_status: it.status
    }
  end

  # wadm's types require the annotations, and wadm adds the version to a manifest that has none.
  defp with_version(manifest, version) do
    metadata = map(manifest["metadata"])
    annotations = Map.put(map(metadata["annotations"]), "version", version)
    Map.put(manifest, "metadata", Map.put(metadata, "annotations", annotations))
  end

  defp map(%{} = map), do: map
  defp map(_none), do: %{}
end
