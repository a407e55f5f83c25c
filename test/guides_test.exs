defmodule Exosuit.GuidesTest do
  use ExUnit.Case, async: true

  @root Path.expand("..", __DIR__)
  @documents Enum.flat_map(
               ~w(*.md guides/*.md bench/*.md fuzz/*.md examples/*/*.md test/guests/*/*.md),
               &Path.wildcard(Path.join(@root, &1))
             )

  test "each link of the documents leads to a file, and to a heading of it" do
    broken =
      for document <- @documents,
          [_all, target] <- Regex.scan(~r/\]\(([^)\s]+)\)/, File.read!(document)),
          not String.contains?(target, "://"),
          not leads?(document, String.split(target, "#")),
          do: {Path.relative_to(document, @root), target}

    assert broken == []
  end

  test "the index lists each guide" do
    index = File.read!(Path.join(@root, "guides/README.md"))

    unlisted =
      for guide <- Path.wildcard(Path.join(@root, "guides/*.md")),
          name = Path.basename(guide),
          name != "README.md",
          not String.contains?(index, "](#{name})"),
          do: name

    assert unlisted == []
  end

  defp leads?(document, ["", heading]), do: heading in headings(document)

  defp leads?(document, [path | heading]) do
    file = Path.expand(path, Path.dirname(document))
    File.exists?(file) and (heading == [] or hd(heading) in headings(file))
  end

  # As pages of Markdown name them: "What it is" is `what-it-is`.
  defp headings(file) do
    for [_all, heading] <- Regex.scan(~r/^#+ (.*)$/m, File.read!(file)) do
      heading
      |> String.downcase()
      |> String.replace(~r/[^\w\s-]/u, "")
      |> String.replace(" ", "-")
    end
  end
end
