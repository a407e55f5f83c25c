defmodule Exosuit.Protocol.Socket.LinesTest do
  use ExUnit.Case, async: true

  alias Exosuit.Protocol.Socket.Lines

  test "lines come out whole, however their bytes came in" do
    assert {:ok, [], lines} = Lines.push(Lines.new(10), "ab")
    assert {:ok, ["abc", "d"], lines} = Lines.push(lines, "c\n\nd\ne")
    assert {:ok, ["ef"], _lines} = Lines.push(lines, "f\n")
  end

  test "a line may be as long as it may be, and no longer" do
    assert {:ok, [], lines} = Lines.push(Lines.new(4), "abcd")
    assert {:ok, ["abcd"], lines} = Lines.push(lines, "\n")
    assert {:ok, [], lines} = Lines.push(lines, "abc")
    assert :too_long = Lines.push(lines, "de")
    assert :too_long = Lines.push(lines, "de\n")
  end
end
