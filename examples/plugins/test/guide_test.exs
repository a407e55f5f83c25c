defmodule Plugins.GuideTest do
  # Not async: the plugins of the guide have fixed names, on the host of the app.
  use ExUnit.Case

  import ExUnit.CaptureIO

  @root Path.expand("../../..", __DIR__)
  @guide Path.join(@root, "guides/plugins.md")
  @readme Path.expand("../README.md", __DIR__)

  setup do
    on_exit(fn -> for name <- ["ada", "bob"], do: Plugins.remove(name) end)
  end

  test "the guide's code is that of the app" do
    blocks = Regex.scan(~r/^<!-- file (\S+) -->\n```\w+\n(.*?)^```/ms, File.read!(@guide))
    assert length(blocks) > 10

    for [_all, file, code] <- blocks,
        do: assert(File.read!(file) =~ code, "#{file} has other code")
  end

  test "the guide's lines run" do
    blocks = Regex.scan(~r/^<!-- run -->\n```elixir\n(.*?)^```/ms, File.read!(@guide))
    assert length(blocks) == 6
    run(Enum.map_join(blocks, "\n", fn [_all, code] -> code end), @guide)
  end

  test "the lines of the app's README run" do
    run(first_lines(@readme), @readme)
  end

  test "the first lines of the project's README run, at its root" do
    readme = Path.join(@root, "README.md")

    output = capture_io(fn -> File.cd!(@root, fn -> run(first_lines(readme), readme) end) end)

    assert output == "ada: info: order 17 is number 1, discounts: 1\n"
  end

  defp run(lines, file), do: Code.eval_string(lines, [], file: file)

  defp first_lines(path) do
    [_all, lines] = Regex.run(~r/^```elixir\n(.*?)^```/ms, File.read!(path))
    lines
  end
end
