defmodule Exosuit.App.StatusTest do
  use ExUnit.Case, async: true

  alias Exosuit.App.Status
  alias Exosuit.{Error, Json}

  doctest Status

  @status %Status{
    version: 2,
    model: "sha256:b",
    workloads: %{
      "echo" => %{count: 3, state: :running, detail: nil},
      "store" => %{count: 1, state: :starting, detail: "port 80 is in use"}
    },
    refused: %{"bad" => "it is not Wasm"},
    problem: "waits for a slot"
  }

  test "what is encoded is decoded to the same" do
    for status <- [@status, %Status{}] do
      assert {:ok, text} = Status.encode(status)
      assert Status.decode(text) == {:ok, status}
    end
  end

  test "it says whether a workload runs in a version" do
    assert Status.runs?(@status, {2, "sha256:b"}, "echo")
    refute Status.runs?(@status, {1, "sha256:b"}, "echo")
    refute Status.runs?(@status, {2, "sha256:c"}, "echo")
    refute Status.runs?(@status, {2, "sha256:b"}, "store")
    refute Status.runs?(@status, {2, "sha256:b"}, "other")
    refute Status.runs?(nil, {2, "sha256:b"}, "echo")
  end

  test "no text crashes it" do
    {:ok, text} = Status.encode(@status)
    {:ok, fields} = Json.decode(text)

    for key <- Map.keys(fields),
        value <- [nil, -1, 1.5, "x", [], [1], %{"a" => 1}, %{"a" => %{}}] do
      {:ok, text} = Json.encode(Map.put(fields, key, value))

      case Status.decode(text) do
        {:ok, status} -> assert {:ok, _text} = Status.encode(status)
        {:error, error} -> assert %Error{} = error
      end
    end

    for text <- ["", <<255>>, String.duplicate("x", 65_537)],
        do: assert({:error, %Error{}} = Status.decode(text))

    {:ok, newer} = Json.encode(%{schema: 2})
    assert {:error, %Error{reason: :unavailable}} = Status.decode(newer)
  end

  test "reasons are short, and left out where they are too much together" do
    detail = Status.detail(Error.new(:trap, "a\n" <> String.duplicate("ä", 1_000)))
    assert byte_size(detail) <= 512
    refute detail =~ "\n"

    workloads =
      for n <- 1..500, into: %{}, do: {"w#{n}", %{count: 1, state: :starting, detail: detail}}

    assert {:ok, text} = Status.encode(%Status{version: 1, workloads: workloads})
    assert {:ok, %{workloads: %{"w1" => %{detail: nil}}}} = Status.decode(text)
  end
end
