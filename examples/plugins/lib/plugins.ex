defmodule Plugins do
  @moduledoc """
  A shop whose customers extend it: they upload components, and the shop calls their function `transform` with each
  order. `wit/plugin.wit` is what both sides agree on.

      :ok = Plugins.upload("ada", File.read!("priv/discount.wasm"))

      order = %{id: "17", currency: :eur, lines: [%{article: "bolt", quantity: 200, unit_price: 1.5}], note: nil}
      {:ok, order} = Plugins.transform("ada", order)

      :ok = Plugins.remove("ada")

  A plugin sees its own store and its own log, and nothing else: no file, no network, no other plugin. Its memory, its
  time, its store and its log are limited, see `Plugins.Host`.

  While the host is restarted, the functions raise `ArgumentError`, as those of `Exosuit` do.
  """

  alias Plugins.{Check, Host, Log, Uploads, World}

  @doc """
  Starts the component as the plugin of this name, or updates that plugin: further calls go to the new code, and calls
  that run finish in the old code. The store and the log stay. After an error, the plugin is as it was.

  The errors are texts for the customer. Compiles the component, which takes some seconds for JavaScript; the caller
  waits. One plugin is changed by one caller at a time.
  """
  @spec upload(String.t(), binary()) :: :ok | {:error, String.t()}
  def upload(name, wasm) do
    with :ok <- Check.name(name),
         :ok <- Check.component(wasm),
         do: alone(name, fn -> install(name, wasm) end)
  end

  @doc """
  Gives an order to a plugin, and returns what the plugin made of it.

  The error is a text if the plugin refused the order, and an `Exosuit.Error` if the call failed: `:trap`, `:deadline`,
  `:overloaded`, `:unknown_target` without such a plugin, and others.
  """
  @spec transform(String.t(), World.order()) ::
          {:ok, World.order()} | {:error, String.t() | Exosuit.Error.t()}
  def transform(name, order), do: World.transform(order, actor: Host.actor(name))

  @doc "The plugins, each with its status: `:running`, or why not."
  @spec list() :: [{String.t(), atom()}]
  defdelegate list, to: Host

  @doc "The last lines that a plugin wrote to its log, the oldest first."
  @spec log(String.t()) :: [Log.line()]
  def log(name), do: name |> Host.actor() |> Log.lines()

  @doc """
  Removes a plugin with its code, its store and its log. Calls that run finish first. Does nothing if there is no such
  plugin. After an error, call it again.
  """
  @spec remove(String.t()) :: :ok | {:error, String.t()}
  def remove(name) do
    with :ok <- Check.name(name), do: alone(name, fn -> uninstall(name) end)
  end

  defp install(name, wasm) do
    path = Uploads.write!(name, wasm)

    case Host.run(name, path) do
      :ok -> Uploads.accept!(name)
      {:error, error} -> withdraw(name, error)
    end
  end

  # A plugin that runs already still has its old code.
  defp withdraw(name, error) do
    Uploads.tidy(name)
    unless List.keymember?(Uploads.list(), name, 0), do: uninstall(name)
    {:error, Exception.message(error)}
  end

  # The files go last: if the app is killed before, the plugin is there at the next start, and can be removed.
  defp uninstall(name) do
    with :ok <- Host.delete(name) do
      Log.delete(Host.actor(name))
      Uploads.delete(name)
    else
      {:error, error} -> {:error, Exception.message(error)}
    end
  end

  defp alone(name, change) do
    case Registry.register(Plugins.Changes, name, nil) do
      {:ok, _owner} ->
        try do
          change.()
        rescue
          # The disk is full, for example.
          error in [File.Error, File.RenameError] ->
            {:error, "the shop cannot store this now: #{:file.format_error(error.reason)}"}
        after
          Registry.unregister(Plugins.Changes, name)
        end

      {:error, {:already_registered, _pid}} ->
        {:error, "another caller is changing the plugin #{name}: try again"}
    end
  end
end
