defmodule Exosuit.JsonTest do
  use ExUnit.Case, async: true

  alias Exosuit.{Error, Json}

  doctest Json

  test "what is encoded is decoded to the same" do
    value = %{
      "text" => "ä\n\"\u0000",
      "list" => [1, -2, 18_446_744_073_709_551_615, 1.5, true, false, nil],
      "map" => %{"" => %{}}
    }

    assert {:ok, json} = Json.encode(value)
    refute json =~ "\n"
    assert {:ok, ^value} = Json.decode(json)
  end

  test "atoms are strings, as keys and as values" do
    assert {:ok, ~s({"a":"b"})} = Json.encode(%{a: :b})
  end

  test "what has no form in JSON is an error" do
    deep = Enum.reduce(1..200, [], fn _n, list -> [list] end)

    for value <- [self(), {1}, <<255>>, [1 | 2], %{1 => 2}, 1 <<< 64, fn -> 1 end, deep] do
      assert {:error, %Error{reason: :invalid_input}} = Json.encode(value)
    end
  end

  defp a <<< b, do: Bitwise.bsl(a, b)
end
