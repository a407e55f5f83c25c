defmodule Exosuit.App.BeatTest do
  use ExUnit.Case, async: true

  alias Exosuit.App.Beat
  alias Exosuit.Model.Labels
  alias Exosuit.App.Machine.{Members, Options}

  doctest Beat

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
          good <> String.duplicate(" ", 40_000)
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

  test "the beat of a host with as many labels and providers as are allowed can be read" do
    labels = Map.new(1..93, fn n -> {"k#{n}", String.duplicate(<<1>>, 13)} end)
    names = for n <- 1..150, do: String.pad_leading("#{n}", 98, "x")
    assert :ok = Labels.check(labels)
    assert {:error, _why} = Labels.check(Map.put(labels, "another", String.duplicate("l", 200)))
    assert :ok = Labels.check_names(names)
    features = for name <- names, do: "module:" <> name
    member = %{id: String.duplicate("N", 56), labels: labels, features: features, schema: 1}
    {:ok, text} = Beat.encode(member)
    assert {:member, ^member} = Beat.decode(text)
  end

  test "a host with more than that is refused" do
    labels = %{"k" => String.duplicate("v", 8_192)}
    options = [name: __MODULE__, trusted_issuers: :any]

    assert_raise ArgumentError, ~r/:labels is too large: .* 8192 bytes/, fn ->
      Exosuit.Config.new!([labels: labels] ++ options)
    end
  end
end
