defmodule Exosuit.Bench.Row do
  @moduledoc false
  # One line of the result: what was measured, its floor where there is one, and whether it meets
  # the goal. The `ratio` is ours by the floor, whether more is better or worse.

  @fields [:name, :ours, :floor, :unit, :ratio, :goal, :met]
  @enforce_keys @fields
  defstruct @fields

  @type goal :: nil | {:at_most | :at_least, number(), :ratio | :above | :ours}
  @type t :: %__MODULE__{
          name: String.t(),
          ours: float(),
          floor: float() | :absent | nil,
          unit: String.t(),
          ratio: float() | nil,
          goal: String.t() | nil,
          met: boolean() | nil
        }

  @spec new(String.t(), String.t(), number(), number() | nil, goal()) :: t()
  def new(name, unit, ours, floor, goal) do
    ratio = floor && ours / floor

    %__MODULE__{
      name: name,
      unit: unit,
      ours: ours / 1,
      floor: floor,
      ratio: ratio,
      goal: goal(goal, unit),
      met: met?(goal, %{ours: ours, ratio: ratio, above: floor && ours - floor})
    }
  end

  @doc "The same beside another host instead of a floor, or `absent` where that is not there."
  @spec beside(String.t(), String.t(), number(), number() | nil, goal()) :: t()
  def beside(name, unit, ours, nil, goal) do
    %{new(name, unit, ours, nil, nil) | floor: :absent, goal: goal(goal, unit)}
  end

  def beside(name, unit, ours, theirs, goal), do: new(name, unit, ours, theirs, goal)

  @doc "The rows for people."
  @spec table([t()]) :: String.t()
  def table(rows) do
    lines = [~w(what ours floor unit ratio goal met) | Enum.map(rows, &cells/1)]

    widths =
      lines
      |> Enum.zip_with(& &1)
      |> Enum.map(&(&1 |> Enum.map(fn c -> String.length(c) end) |> Enum.max()))

    Enum.map_join(lines, "\n", &line(&1, widths))
  end

  @doc "The rows for programs: a JSON list of objects."
  @spec json([t()]) :: String.t()
  def json(rows), do: "[\n" <> Enum.map_join(rows, ",\n", &object/1) <> "\n]\n"

  defp goal(nil, _unit), do: nil
  defp goal({:at_most, limit, :ratio}, _unit), do: "at most #{limit} ×"
  defp goal({:at_least, limit, :ratio}, _unit), do: "at least #{limit} ×"
  defp goal({:at_most, limit, :above}, unit), do: "at most #{limit} #{unit} above"
  defp goal({:at_most, limit, :ours}, unit), do: "at most #{limit} #{unit}"

  defp met?(nil, _values), do: nil
  defp met?({:at_most, limit, what}, values), do: Map.fetch!(values, what) <= limit
  defp met?({:at_least, limit, what}, values), do: Map.fetch!(values, what) >= limit

  defp cells(row) do
    [
      row.name,
      number(row.ours),
      number(row.floor),
      row.unit,
      number(row.ratio),
      row.goal || "–",
      met(row.met)
    ]
  end

  defp met(nil), do: "–"
  defp met(true), do: "yes"
  defp met(false), do: "no"

  defp number(nil), do: "–"
  defp number(:absent), do: "absent"
  defp number(value) when value >= 1_000, do: value |> round() |> Integer.to_string()
  defp number(value), do: :erlang.float_to_binary(value / 1, decimals: 2)

  # Texts to the left, numbers to the right.
  defp line(cells, widths) do
    [name | rest] = Enum.zip(cells, widths)
    {numbers, texts} = Enum.split(rest, 2)
    {[unit, ratio], texts} = Enum.split(texts, 2)

    [left(name), Enum.map(numbers, &right/1), left(unit), right(ratio), Enum.map(texts, &left/1)]
    |> List.flatten()
    |> Enum.join("  ")
    |> String.trim_trailing()
  end

  defp left({text, width}), do: String.pad_trailing(text, width)
  defp right({text, width}), do: String.pad_leading(text, width)

  defp object(row) do
    fields = Enum.map_join(@fields, ", ", &~s("#{&1}": #{value(Map.fetch!(row, &1))}))
    "  {#{fields}}"
  end

  # The texts are our own, with nothing in them to escape.
  defp value(nil), do: "null"
  defp value(text) when is_binary(text), do: ~s("#{text}")
  defp value(:absent), do: ~s("absent")
  defp value(other), do: to_string(other)
end
