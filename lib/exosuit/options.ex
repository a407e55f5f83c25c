defmodule Exosuit.Options do
  @moduledoc false
  # One schema gives the check at the door and the text under "## Options". A schema is a keyword
  # list: key => [type: check, default: value, doc: text]; without :default the key is required.

  @type check ::
          :atom
          | :string
          | :boolean
          | :pos_integer
          | :timeout
          | :string_map
          | {:in, [atom()]}
          | check_fun()
  @type check_fun :: {String.t(), (term() -> boolean())}
  @type schema :: [{atom(), [type: check(), default: term(), doc: String.t()]}]

  @doc "The options with their defaults, or an `ArgumentError` that says what was expected."
  @spec validate!(keyword(), schema()) :: keyword()
  def validate!(options, schema) do
    unless Keyword.keyword?(options) do
      raise ArgumentError, "expected options as a keyword list, got: #{inspect(options)}"
    end

    case Keyword.keys(options) -- Keyword.keys(schema) do
      [] -> Enum.map(schema, &fetch!(options, &1))
      unknown -> raise ArgumentError, unknown_message(unknown, schema)
    end
  end

  @doc "The options as Markdown."
  @spec docs(schema()) :: String.t()
  def docs(schema) do
    Enum.map_join(schema, "\n", fn {key, rule} ->
      default = if Keyword.has_key?(rule, :default), do: default_text(rule), else: "Required"
      "- `:#{key}` (#{expectation(rule[:type])}): #{rule[:doc]} #{default}."
    end)
  end

  defp default_text(rule), do: "Default: `#{inspect(rule[:default])}`"

  defp fetch!(options, {key, rule}) do
    case Keyword.fetch(options, key) do
      {:ok, value} -> {key, check!(key, value, rule[:type])}
      :error -> {key, Keyword.get_lazy(rule, :default, fn -> raise_missing(key, rule) end)}
    end
  end

  defp raise_missing(key, rule) do
    raise ArgumentError, "the option :#{key} is required: #{rule[:doc]}"
  end

  defp check!(key, value, type) do
    if valid?(type, value) do
      value
    else
      raise ArgumentError, "expected :#{key} to be #{expectation(type)}, got: #{inspect(value)}"
    end
  end

  defp unknown_message(unknown, schema) do
    "unknown options #{inspect(unknown)}, the known ones are: #{inspect(Keyword.keys(schema))}"
  end

  defp valid?(:atom, value), do: is_atom(value) and value not in [nil, true, false]
  defp valid?(:string, value), do: is_binary(value) and value != ""
  defp valid?(:boolean, value), do: is_boolean(value)
  defp valid?(:pos_integer, value), do: is_integer(value) and value > 0
  defp valid?(:timeout, value), do: is_integer(value) and value >= 0
  defp valid?({:in, values}, value), do: value in values
  defp valid?({_text, fun}, value) when is_function(fun, 1), do: fun.(value)

  defp valid?(:string_map, value) do
    is_map(value) and Enum.all?(value, fn {k, v} -> is_binary(k) and is_binary(v) end)
  end

  defp expectation(:atom), do: "an atom"
  defp expectation(:string), do: "a non-empty string"
  defp expectation(:boolean), do: "a boolean"
  defp expectation(:pos_integer), do: "a positive integer"
  defp expectation(:timeout), do: "a number of milliseconds"
  defp expectation(:string_map), do: "a map from strings to strings"
  defp expectation({:in, values}), do: "one of #{Enum.map_join(values, ", ", &inspect/1)}"
  defp expectation({text, _fun}), do: text
end
