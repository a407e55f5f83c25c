defmodule Exosuit.Startup.Manifests do
  @moduledoc """
  Applies manifests and deletes applications on this host for people and commands.

  If the host's options have another manifest of the application, and that manifest is not applied yet, it is not
  tried again, because it would undo the change. Each function blocks the calling process until this host has made
  its share.
  """

  import Kernel, except: [apply: 3]

  alias Exosuit.{App, Error, Instance, Manifest, Options, Startup}
  alias Exosuit.Host.{ActorOptions, Pending}

  @schema ActorOptions.issuer_change()

  @doc "The options of `apply/3`, as Markdown."
  @spec docs() :: String.t()
  def docs, do: Options.docs(@schema)

  @doc "Applies the manifest of a file. Returns the steps on this host, and the warnings."
  @spec apply(Instance.t(), Path.t(), keyword()) ::
          {:ok, [App.Progress.step()], [Manifest.diagnostic()]}
          | {:error, [Manifest.diagnostic()]}
  def apply(instance, path, options) do
    options = Options.validate!(options, @schema)

    with {:ok, steps, warnings} <- App.Manifests.apply_and_wait(instance, path, options) do
      supersede(instance, path)
      {:ok, steps, warnings}
    end
  end

  @doc "Deletes an application on all hosts of the lattice, and waits until this host has done so."
  @spec delete_app(Instance.t(), String.t()) :: {:ok, [App.Progress.step()]} | {:error, Error.t()}
  def delete_app(instance, app) do
    deleted = App.Versions.delete(instance, app)
    # If it could not be deleted, its manifest stays wanted.
    if gone?(deleted), do: supersede(instance, app, nil)
    with :ok <- deleted, do: App.Versions.await_deleted(instance, app)
  end

  defp gone?(:ok), do: true
  defp gone?({:error, %Error{reason: reason}}), do: reason == :not_found

  # Usually no manifest is pending, and none has to be read.
  defp supersede(instance, path) do
    if Pending.manifests(instance) != [],
      do: supersede(instance, app(path), Path.expand(path))
  end

  defp supersede(instance, app, applied) do
    for path <- Pending.manifests(instance),
        path != applied,
        app(path) == app,
        do: Startup.forget(instance, {:manifest, [path]})
  end

  defp app(path) do
    case Manifest.parse(path, nil) do
      {:ok, parsed} -> parsed.manifest["name"]
      {:error, _unreadable} -> nil
    end
  end
end
