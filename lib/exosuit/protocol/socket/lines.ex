defmodule Exosuit.Protocol.Socket.Lines do
  @moduledoc """
  Cuts the bytes of the socket into lines. An incomplete line is kept, up to a maximum. Pure.

      iex> alias Exosuit.Protocol.Socket.Lines
      iex> {:ok, lines, rest} = Lines.push(Lines.new(100), ~s({"v":1}\\n{"v"))
      iex> lines
      [~s({"v":1})]
      iex> {:ok, lines, _rest} = Lines.push(rest, ~s(:2}\\n))
      iex> lines
      [~s({"v":2})]
      iex> Lines.push(Lines.new(3), "abcd")
      :too_long
  """

  @enforce_keys [:max]
  defstruct [:max, pending: [], size: 0]

  @typedoc """
  The bytes of the last line that has no end yet, as they came, and their number. They are joined once, when the line is
  complete, so that a line in many parts costs no more than its length.
  """
  @type t :: %__MODULE__{max: pos_integer(), pending: iodata(), size: non_neg_integer()}

  @doc "An empty buffer, for lines of at most `max` bytes."
  @spec new(pos_integer()) :: t()
  def new(max), do: %__MODULE__{max: max}

  @doc "Adds bytes, and returns the lines that they complete, without line ends and empty lines."
  @spec push(t(), binary()) :: {:ok, [binary()], t()} | :too_long
  def push(lines, data) do
    {complete, [last]} = data |> :binary.split("\n", [:global]) |> Enum.split(-1)
    push(lines, complete, last, [])
  end

  defp push(lines, [part | complete], last, found) do
    case add(lines, part) do
      :too_long -> :too_long
      full -> push(new(lines.max), complete, last, [IO.iodata_to_binary(full.pending) | found])
    end
  end

  defp push(lines, [], last, found) do
    case add(lines, last) do
      :too_long -> :too_long
      lines -> {:ok, found |> Enum.reject(&(&1 == "")) |> Enum.reverse(), lines}
    end
  end

  defp add(%{size: size, max: max}, part) when size + byte_size(part) > max, do: :too_long

  defp add(lines, part) do
    %{lines | pending: [lines.pending, part], size: lines.size + byte_size(part)}
  end
end
