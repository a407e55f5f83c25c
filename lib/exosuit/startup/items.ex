defmodule Exosuit.Startup.Items do
  @moduledoc """
  The items of a host's options: checked before the host starts (`new!/1`), applied when it runs (`apply/2`).
  """

  import Kernel, except: [apply: 2]

  alias Exosuit.{Config, Error, Instance}
  alias Exosuit.App.Manifests
  alias Exosuit.Host.{ActorOptions, Actors, Linking, LinkOptions, Pending, Providers}

  @doc "The items of the options, in the order in which they are applied. Raises `ArgumentError` for a wrong one."
  @spec new!(Config.t()) :: [Pending.item()]
  def new!(config) do
    Enum.map(config.actors, &{:actor, arguments(&1, fn it -> ActorOptions.start!(it) end)}) ++
      Enum.map(
        config.start_providers,
        &{:provider, arguments(&1, fn it -> Providers.options!(it) end)}
      ) ++
      Enum.map(config.put_links, &{:link, [checked(&1, fn it -> LinkOptions.link!(it) end)]}) ++
      Enum.map(config.manifests, &{:manifest, [Path.expand(&1)]})
  end

  @doc """
  Applies an item, unless that was done before. If an interrupted try has specified it already, waits for its start.
  Blocks the calling process.
  """
  @spec apply(Instance.t(), Pending.item()) :: :ok | {:error, Error.t()}
  def apply(instance, {:actor, [code, options]}), do: Actors.ensure(instance, code, options)

  def apply(instance, {:provider, [provider, options]}),
    do: Providers.ensure(instance, provider, options)

  def apply(instance, {:link, [link]}), do: Linking.put(instance, LinkOptions.link!(link))

  # The host retries the workloads of its share that cannot start. Without the lattice, it serves the share alone.
  def apply(instance, {:manifest, [path]}) do
    with {:ok, _steps} <- Manifests.serve_alone(instance, path),
         {:ok, _steps, _warnings} <- Manifests.apply_and_wait(instance, path, from_here: true) do
      :ok
    else
      {:error, [%{error: %Error{} = error} | _more]} -> {:error, error}
      {:error, [%{text: text} | _more]} -> {:error, Error.new(:invalid_manifest, text)}
    end
  end

  defp arguments({what, options}, check) when is_list(options),
    do: [what, checked(options, check)]

  defp arguments({id, path}, check), do: arguments({path, [id: to_string(id)]}, check)
  defp arguments(what, check), do: arguments({what, []}, check)

  # The options stay as they were given: the function that starts the item gives them their defaults.
  defp checked(options, check) do
    check.(options)
    options
  end
end
