defmodule Exosuit.Simulated.Trace do
  @moduledoc false
  # What happens in a span of time, one line each: `Exosuit.Simulated.run(seed, trace: {0..50_000, "a"})` prints what is
  # about the application `a` or about none. Beats and ticks are left out.

  alias Exosuit.App.{Model, Record}
  alias Exosuit.Simulated.Versions

  def print(%{trace: {times, app}} = world, what) do
    if world.now in times and not noise?(what) and concerns?(what, app),
      do: IO.puts("#{world.now} #{inspect(brief(what), limit: :infinity, width: 100)}")

    world
  end

  def print(world, _what), do: world

  defp noise?({:host, _id, _epoch, {kind, _member}}) when kind in [:hear, :hear_left], do: true
  defp noise?({:host, _id, _epoch, message}), do: message in [:tick, :beat]
  defp noise?({:act, _id, action}), do: action == :beat or elem(action, 0) in [:keep, :announce]
  defp noise?(_what), do: false

  defp concerns?(what, app) do
    named = names(what)
    app in named or named == []
  end

  # The applications that it is about: several, if a host is told what it lost.
  defp names(name) when is_binary(name), do: if(name in Versions.apps(), do: [name], else: [])
  defp names(%{} = _struct_or_map), do: []
  defp names(list) when is_list(list), do: Enum.flat_map(list, &names/1)
  defp names(tuple) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> names()
  defp names(_other), do: []

  defp brief(%Record{} = it) do
    versions = Enum.map_join(it.versions, " ", &version(&1, it.version))
    {it.name, it.state, "edition #{it.edition}, schema #{it.schema}: #{versions}"}
  end

  defp brief(%Model{}), do: :model
  defp brief("sha256:" <> digest), do: String.slice(digest, 0, 6)
  defp brief(%_struct{} = other), do: other
  defp brief(%{} = map), do: Map.new(map, fn {key, value} -> {key, brief(value)} end)
  defp brief(list) when is_list(list), do: Enum.map(list, &brief/1)

  defp brief(tuple) when is_tuple(tuple),
    do: tuple |> Tuple.to_list() |> Enum.map(&brief/1) |> List.to_tuple()

  defp brief(other), do: other

  defp version(it, current) do
    marks =
      for {true, mark} <- [
            {it.version == current, "*"},
            {it.failed != nil, "!"},
            {not it.deployed, "-"}
          ],
          do: mark

    "#{it.version}#{marks}@#{it.at}"
  end
end
