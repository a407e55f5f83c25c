defmodule Exosuit.RustModules do
  @moduledoc """
  Which modules of a Rust crate use which others, read from its sources.

  A module is a file, named by its path: `["http", "server"]`; the crate's root is `[]`. A use counts where the
  item is defined: the names that another module imports or exports again are followed to their definition. Neither
  a `mod` declaration is a use, nor the export of a child's item, nor anything in tests. Methods are not seen: a
  type's `impl` may be in a module above that of the type.
  """

  @typedoc "The sources of a crate, by module."
  @type sources :: %{[String.t()] => String.t()}

  @not_code ~r/\/\*.*?\*\/|\/\/[^\n]*|r#".*?"#|b?"(?:\\.|[^"\\])*"|b?'(?:\\.[^']*|[^'\\])'/s
  @test_module ~r/#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*mod \w+ \{.*\z/s
  @test_item ~r/#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([a-z]+\))? )?(?:mod|use) [^;]*;/s
  @use_item ~r/^\s*(pub(?:\([^)]*\))? )?use ([^;]+);/m
  @path ~r/(?<![:\w])[a-z_]\w*(?:::\w+)+/

  @doc "The sources of the crate in this directory, without its programs."
  @spec read!(Path.t()) :: sources()
  def read!(directory) do
    for path <- Path.wildcard(Path.join(directory, "src/**/*.rs")),
        name = Path.relative_to(path, Path.join(directory, "src")),
        not String.starts_with?(name, "bin/"),
        into: %{},
        do: {module(name), File.read!(path)}
  end

  defp module(name) do
    case name |> Path.rootname() |> Path.split() |> Enum.reverse() do
      [root] when root in ["lib", "main"] -> []
      ["mod" | parents] -> Enum.reverse(parents)
      parts -> Enum.reverse(parts)
    end
  end

  @doc "The sets of modules that use each other, each sorted: `[[\"a\", \"b::c\"]]`."
  @spec circles(sources()) :: [[String.t()]]
  def circles(sources) do
    graph = :digraph.new()

    for {module, _source} <- sources, do: :digraph.add_vertex(graph, module)
    for {from, to} <- uses(sources), do: :digraph.add_edge(graph, from, to)

    circles =
      for modules <- :digraph_utils.cyclic_strong_components(graph),
          do: modules |> Enum.map(&Enum.join(&1, "::")) |> Enum.sort()

    :digraph.delete(graph)
    Enum.sort(circles)
  end

  @doc "Which module uses which other one."
  @spec uses(sources()) :: [{[String.t()], [String.t()]}]
  def uses(sources) do
    sources = Map.new(sources, fn {module, source} -> {module, code(source)} end)
    names = Map.new(sources, fn {module, code} -> {module, names(sources, module, code)} end)

    for {module, code} <- sources,
        path <- paths(sources, module, code, names[module]),
        used = definer(names, path, []),
        used not in [nil, module],
        uniq: true,
        do: {module, used}
  end

  # Without comments, texts and tests.
  defp code(source) do
    for not_code <- [@not_code, @test_module, @test_item], reduce: source do
      code -> Regex.replace(not_code, code, "")
    end
  end

  # What the names mean that a module imports, as paths from the root of the crate.
  defp names(sources, module, code) do
    for {_exported?, {name, path}} <- imports(code),
        path = absolute(sources, module, path, %{}),
        into: %{},
        do: {name, path}
  end

  # What a module uses, as paths from the root of the crate: by what it imports and does not merely export from a
  # child, and by what it names with its path.
  defp paths(sources, module, code, names) do
    imported =
      for {exported?, {_name, path}} <- imports(code),
          path = absolute(sources, module, path, %{}),
          not (exported? and List.starts_with?(path, module)),
          do: path

    code = Regex.replace(@use_item, code, "")

    written =
      for [path] <- Regex.scan(@path, code),
          path = absolute(sources, module, String.split(path, "::"), names),
          do: path

    imported ++ written
  end

  # Each name that `use` brings, with its path.
  defp imports(code) do
    for [_all, visibility, tree] <- Regex.scan(@use_item, code),
        path <- flat(tree),
        do: {visibility != "", path}
  end

  # `a::{b, c as d}` as `{"b", ["a", "b"]}` and `{"d", ["a", "c"]}`.
  defp flat(tree) do
    case String.split(tree, "{", parts: 2) do
      [path] ->
        [named(String.split(path, ~r/\s+as\s+/))]

      [prefix, rest] ->
        for item <- items(rest), path <- flat(String.trim(prefix) <> item), do: path
    end
  end

  defp named([path | name]) do
    path = for part <- String.split(path, "::"), part = String.trim(part), do: part
    path = if List.last(path) == "self", do: Enum.drop(path, -1), else: path
    {List.first(name, List.last(path)), path}
  end

  # Splits `b, c::{d, e}}` at the commas that are in no braces of their own.
  defp items(text) do
    {items, last, _depth} =
      for <<char::utf8 <- text>>, reduce: {[], "", 0} do
        {items, item, 0} when char in [?,, ?}] -> {[item | items], "", 0}
        {items, item, depth} when char == ?{ -> {items, item <> "{", depth + 1}
        {items, item, depth} when char == ?} -> {items, item <> "}", depth - 1}
        {items, item, depth} -> {items, item <> <<char::utf8>>, depth}
      end

    for item <- [last | items], item = String.trim(item), item != "", do: item
  end

  # A path from the root of the crate; nil for one into another crate.
  defp absolute(sources, module, [first | rest] = path, names) do
    cond do
      first == "crate" -> rest
      first == "self" -> module ++ rest
      first == "super" -> above(Enum.drop(module, -1), rest)
      is_map_key(sources, module ++ [first]) -> module ++ path
      is_map_key(names, first) -> names[first] ++ rest
      true -> nil
    end
  end

  defp above(module, ["super" | rest]), do: above(Enum.drop(module, -1), rest)
  defp above(module, rest), do: module ++ rest

  # The module that defines an item, behind all those that only hand it on; nil where the path ends at a module.
  defp definer(names, path, seen) do
    {module, rest} = deepest(names, path, [])

    case rest do
      [] ->
        nil

      [name | below] ->
        handed_on = names[module][name]

        if handed_on && path not in seen,
          do: definer(names, handed_on ++ below, [path | seen]),
          else: module
    end
  end

  defp deepest(names, path, rest) do
    if is_map_key(names, path),
      do: {path, rest},
      else: deepest(names, Enum.drop(path, -1), [List.last(path) | rest])
  end
end
