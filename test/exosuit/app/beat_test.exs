defmodule Exosuit.App.BeatTest do
  use ExUnit.Case, async: true

  alias Exosuit.App.Beat
  alias Exosuit.App.Machine.{Members, Options}

  @member %{id: "N1", labels: %{"zone" => "a"}, features: ["module:clock"], schema: 1}

  test "a member reads of another what that is" do
    {:ok, text} = Beat.encode(@member)
    assert Beat.decode(text) == {:member, @member}
    {:ok, last} = Beat.encode(@member, leaving: true)
    assert Beat.decode(last) == {:left, "N1"}
  end

  test "what is no beat is ignored, whoever sends it" do
    {:ok, good} = Beat.encode(@member)

    for text <- [
          "",
          "{}",
          <<255>>,
          String.replace(good, "N1", ""),
          String.replace(good, "N1", "N 1"),
          String.replace(good, "N1", String.duplicate("N", 129)),
          String.replace(good, ~s("schema":1), ~s("schema":"1")),
          String.replace(good, ~s("a"), "7"),
          String.replace(good, ~s(["module:clock"]), ~s("module:clock")),
          good <> String.duplicate(" ", 20_000)
        ] do
      assert Beat.decode(text) == :error, text
    end
  end

  test "members are bounded: those that are known stay, and no others are added" do
    members = Members.new(@member, nil, %Options{})

    full =
      Enum.reduce(1..Members.max(), members, fn n, members ->
        {:new, members} = Members.beat(members, %{@member | id: "M#{n}"}, 0)
        members
      end)

    assert {:full, ^full} = Members.beat(full, %{@member | id: "X"}, 0)
    assert {:same, _members} = Members.beat(full, %{@member | id: "M1"}, 1)
  end
end
