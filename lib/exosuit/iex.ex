defmodule Exosuit.IEx do
  @moduledoc """
  Helpers for IEx, which print the actors, providers and links of the hosts of this VM as tables.

      iex> import Exosuit.IEx
      iex> hosts()
      iex> actors()
      iex> call("echo", "Echo.Say", "hello")
      {:ok, "hello"}

  If one host runs, the helpers use it. If several run, give a helper the name of one. Configurations are not shown,
  because they may hold secrets. `.iex.exs` imports them in a clone of Exosuit.
  """

  alias Exosuit.Error

  @doc "Prints the hosts of this VM."
  @spec hosts() :: :ok
  def hosts do
    rows = for host <- Exosuit.hosts(), do: host(Exosuit.inventory(host))
    print(["host", "id", "lattice", "actors", "providers", "links"], rows)
  end

  @doc "Prints the actors of a host."
  @spec actors(Exosuit.host()) :: :ok
  def actors(host \\ only!()) do
    rows = for actor <- Exosuit.inventory(host).actors, do: actor(actor)
    print(["actor", "status", "instances", "name", "revision", "public key", "image"], rows)
  end

  @doc "Prints the providers of a host, and where they listen."
  @spec providers(Exosuit.host()) :: :ok
  def providers(host \\ only!()) do
    rows = for provider <- Exosuit.inventory(host).providers, do: provider(provider)
    print(["provider", "status", "image", "endpoints"], rows)
  end

  @doc "Prints the links of a host."
  @spec links(Exosuit.host()) :: :ok
  def links(host \\ only!()) do
    rows = for link <- Exosuit.inventory(host).links, do: link(link)
    print(["source", "target", "contract", "name", "status", "error"], rows)
  end

  @doc "`Exosuit.call/5` on the one host of this VM."
  @spec call(String.t(), String.t(), binary() | [Exosuit.Wit.value()]) ::
          {:ok, Exosuit.Wit.value()} | {:error, Error.t()}
  def call(target, operation, payload \\ ""), do: call(only!(), target, operation, payload)

  @doc "`Exosuit.call/5`."
  @spec call(Exosuit.host(), String.t(), String.t(), binary() | [Exosuit.Wit.value()]) ::
          {:ok, Exosuit.Wit.value()} | {:error, Error.t()}
  def call(host, target, operation, payload), do: Exosuit.call(host, target, operation, payload)

  defp only! do
    case Exosuit.hosts() do
      [host] ->
        host

      [] ->
        raise ArgumentError, "no host runs in this VM: start one, {Exosuit, name: ...}"

      hosts ->
        raise ArgumentError, "several hosts run in this VM, name one of them: #{inspect(hosts)}"
    end
  end

  defp host(inventory) do
    counts = for what <- [:actors, :providers, :links], do: length(Map.fetch!(inventory, what))
    [inspect(inventory.host), inventory.host_id, inventory.lattice | counts]
  end

  defp actor(actor) do
    claims = actor.claims || %{name: "(unsigned)", revision: nil}

    [actor.id, actor.status, actor.instances, claims.name, claims.revision] ++
      [actor.public_key, actor.image_ref]
  end

  defp provider(provider) do
    [provider.id, provider.status, provider.image_ref, Enum.join(provider.endpoints, ", ")]
  end

  defp link(link) do
    contract = "#{link.namespace}:#{link.package}"
    [link.source, link.target, contract, link.name, link.status, link.error]
  end

  defp print(_head, []), do: IO.puts("none")

  defp print(head, rows) do
    lines = for row <- [head | rows], do: Enum.map(row, &cell/1)

    widths =
      Enum.zip_with(lines, fn column -> column |> Enum.map(&String.length/1) |> Enum.max() end)

    Enum.each(lines, &IO.puts(line(&1, widths)))
  end

  defp cell(nil), do: "–"
  defp cell(value), do: to_string(value)

  defp line(cells, widths) do
    cells
    |> Enum.zip_with(widths, &String.pad_trailing/2)
    |> Enum.join("  ")
    |> String.trim_trailing()
  end
end
