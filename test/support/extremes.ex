defmodule Exosuit.Extremes do
  @moduledoc """
  What nobody should send and somebody will: numbers at the ends of every kind of integer, floats,
  texts, what is not UTF-8, and all of these within each other. A generator of the tests' own, which a
  seed makes the same again.
  """

  @numbers [0, 1, -1] ++
             for(bits <- [15, 16, 31, 32, 48, 63, 64, 128], by <- [-1, 0], do: 2 ** bits + by) ++
             for(bits <- [31, 63, 64], do: -(2 ** bits))
  @floats [0.0, -0.5, 1.5, 4.0e9, 1.0e308]
  @texts ["", " ", "1", "-1", "4294967295", "18446744073709551616", "soon", "é", "a\nb", "a:b:c"]
  @others [true, false, nil]

  @doc "Those that JSON has a form for; so many that are nested come besides."
  @spec json(non_neg_integer()) :: [term()]
  def json(nested \\ 20) do
    flat = @numbers ++ @floats ++ @texts ++ @others ++ [[], %{}, String.duplicate("x", 100_000)]
    flat ++ for(_n <- 1..nested//1, do: nest(flat, 4))
  end

  @doc "Those, and what only Elixir has a form for."
  @spec terms() :: [term()]
  def terms do
    json() ++
      [
        <<255>>,
        "caf" <> <<233>>,
        :infinity,
        :a,
        {1, 2},
        # Dialyzer reports an improper list that is written out.
        List.foldr([1], 2, &[&1 | &2]),
        [a: 1],
        %{1 => 2},
        self(),
        make_ref()
      ] ++
      [%{<<255>> => "a"}, %{"a" => <<255>>}, [<<255>>], fn -> :ok end]
  end

  @doc "The text in JSON, also of numbers that no program keeps."
  @spec encode(term()) :: iodata()
  def encode(value) when is_map(value) do
    fields = for {key, value} <- value, do: [encode(to_string(key)), ":", encode(value)]
    ["{", Enum.intersperse(fields, ","), "}"]
  end

  def encode(value) when is_list(value) do
    ["[", value |> Enum.map(&encode/1) |> Enum.intersperse(","), "]"]
  end

  def encode(value) when is_integer(value), do: Integer.to_string(value)

  def encode(value) do
    {:ok, text} = Exosuit.Json.encode(value)
    text
  end

  defp nest(flat, 0), do: Enum.random(flat)

  defp nest(flat, depth) do
    case :rand.uniform(3) do
      1 -> Enum.random(flat)
      2 -> for _n <- 1..:rand.uniform(3), do: nest(flat, depth - 1)
      3 -> for n <- 1..:rand.uniform(3), into: %{}, do: {"k#{n}", nest(flat, depth - 1)}
    end
  end
end
