defmodule Embed.ReadmeTest do
  # Not async: it runs what the README says where the README says, at the root of the repository.
  use ExUnit.Case

  @readme Path.expand("../README.md", __DIR__)
  @project Path.expand("../../../README.md", __DIR__)

  test "the lines of the README run, and are those of the project's" do
    [_all, lines] = Regex.run(~r/^```elixir\n(.*?)^```/ms, File.read!(@readme))
    assert File.read!(@project) =~ lines

    File.cd!(Path.dirname(@project), fn -> Code.eval_string(lines, [], file: @readme) end)
  end
end
