defmodule Exosuit.Host.Pending do
  @moduledoc """
  The items of a host's options, `:actors`, `:start_providers`, `:put_links` and `:manifests`, that are not applied
  yet. `Exosuit.Startup` applies them, and writes their statuses; the inventory shows them.

  The items are rows of the table of `Exosuit.Host.Statuses`. An applied item keeps its row, with the status `:done`, so
  that a restarted `Exosuit.Startup` does not apply it twice.
  """

  alias Exosuit.Host.Statuses
  alias Exosuit.Instance

  @typedoc """
  A kind of item, and its arguments: those of `Exosuit.Host.Actors.start/3`, `Exosuit.Host.Providers.start/3`,
  `Exosuit.Host.LinkOptions.link!/1`, or the path of a manifest.
  """
  @type item ::
          {:actor | :provider, [term()]}
          | {:link, [keyword()]}
          | {:manifest, [Path.t()]}

  @doc """
  The items that are not applied yet, as the inventory shows them: a `t:Exosuit.Host.Statuses.status/0` with the name of
  the item as `:id`.
  """
  @spec list(Instance.t()) :: [map()]
  def list(instance) do
    for {{:option, item}, status} <- Statuses.options(instance),
        status.status != :done,
        do: Map.put(status, :id, name(item))
  end

  @doc "The manifests that are not applied yet."
  @spec manifests(Instance.t()) :: [Path.t()]
  def manifests(instance) do
    for {{:option, {:manifest, [path]}}, %{status: status}} <- Statuses.options(instance),
        status != :done,
        do: path
  end

  @doc """
  The name of an item for people: its kind and its id. Its options may hold secrets, and are not shown.

      iex> Exosuit.Host.Pending.name({:actor, ["shop.wasm", [id: "shop"]]})
      "actor shop"
      iex> Exosuit.Host.Pending.name({:link, [[source: "shop", target: "kv"]]})
      "link shop -> kv"
      iex> Exosuit.Host.Pending.name({:provider, [MyApp.Clock, []]})
      "provider MyApp.Clock"
  """
  @spec name(item()) :: String.t()
  def name({:link, [link]}), do: "link #{link[:source]} -> #{link[:target]}"
  def name({:manifest, [path]}), do: "manifest #{path}"

  def name({kind, [what, options]}) do
    "#{kind} #{options[:id] || subject(what)}"
  end

  defp subject({:bytes, _bytes}), do: "of bytes"
  defp subject(what) when is_binary(what), do: what
  defp subject(module), do: inspect(module)
end
