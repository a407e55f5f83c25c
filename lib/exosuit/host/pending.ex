defmodule Exosuit.Host.Pending do
  @moduledoc """
  The items of a host's options, `:actors`, `:start_providers`, `:put_links` and `:manifests`, that are not applied
  yet. `Exosuit.Startup` applies them, and writes their statuses; the inventory shows them.
  """

  alias Exosuit.Host.Statuses
  alias Exosuit.Instance

  @typedoc "A kind of item, and its arguments."
  @type item ::
          {:actor | :provider, [term()]}
          | {:link, [keyword()]}
          | {:manifest, [Path.t()]}

  @doc "The items that are not applied yet, as the inventory shows them."
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

  @doc "The name of an item for people: its kind and its id. Its options may hold secrets, and are not shown."
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
