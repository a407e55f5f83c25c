defmodule Exosuit.Options do
  @moduledoc """
  Checks options by a schema, and writes the text under "## Options" from it.

  A schema is a keyword list, `key => [type: check, default: value, doc: text]`. Without `:default`, the key is
  required.

  | check | accepts |
  |---|---|
  | `:atom`, `:string`, `:boolean` | an atom other than `nil` and booleans, a non-empty text in UTF-8, a boolean |
  | `:pos_integer`, a bound of `Exosuit.Input` | a number within the bound |
  | `:string_map`, `:names` | a map from texts to texts, a list of non-empty texts |
  | `{:name, kind}` | a name that `Exosuit.Input` accepts |
  | `{:in, atoms}` | one of these |
  | `{text, fun}` | a term for which `fun` is true; `text` describes it in errors and docs |
  | `{:options, schema}` | options within options, with the defaults of their own schema |
  | `{:secret, check}` | as `check`; no message shows the value |

  Errors are `ArgumentError`: `expected :quiet to be a boolean, got: "yes"`. A value is shown only in its
  beginning, because it may be megabytes of code. Maps of texts are shown by their keys, because they may hold secrets.
  """

  #
  # Numbers are of a kind that has a bound, see `Exosuit.Input`.

  import Exosuit.Input, only: [is_bound: 1]

  alias Exosuit.Input

  @typedoc "The expected form of a value, see the table above."
  @type check ::
          :atom
          | :string
          | :boolean
          | :pos_integer
          | Input.bound()
          | :string_map
          | :names
          | {:name, Input.kind()}
          | {:in, [atom()]}
          | {:options, schema()}
          | {:secret, check_fun()}
          | check_fun()
  @typedoc "A description, and a function that is true for accepted values."
  @type check_fun :: {String.t(), (term() -> boolean())}
  @typedoc "The options in the order in which results and docs have them."
  @type schema :: [{atom(), [type: check(), default: term(), doc: String.t()]}]

  @doc """
  The options with their defaults, or an `ArgumentError` that says what was expected.

      iex> schema = [port: [type: :port, doc: "to listen on."], quiet: [type: :boolean, default: false, doc: ""]]
      iex> Exosuit.Options.validate!([port: 80], schema)
      [port: 80, quiet: false]

      iex> Exosuit.Options.validate!([loud: true], port: [type: :port, doc: "to listen on."])
      ** (ArgumentError) unknown options [:loud], the known ones are: [:port]
  """
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

  @doc """
  The value, or an `ArgumentError` that says what `name` was expected to be. For arguments beside options.

      iex> Exosuit.Options.argument!(3, "the number of instances", :instances)
      3
  """
  @spec argument!(term(), String.t(), check()) :: term()
  def argument!(value, name, type), do: check!(name, value, type)

  @doc "Whether a term is a module that can serve as a provider. Loads the module."
  @spec provider?(term()) :: boolean()
  def provider?(module) do
    is_atom(module) and Code.ensure_loaded?(module) and
      function_exported?(module, :contracts, 0) and
      Enum.any?([:handle_invocation, :handle_function], &function_exported?(module, &1, 3))
  end

  @doc """
  The options as Markdown.

      iex> Exosuit.Options.docs(quiet: [type: :boolean, default: false, doc: "whether to say nothing."])
      "- `:quiet` (a boolean): whether to say nothing. Default: `false`."
  """
  @spec docs(schema()) :: String.t()
  def docs(schema) do
    Enum.map_join(schema, "\n", fn {key, rule} ->
      "- `:#{key}` (#{expectation(rule[:type])}): #{rule[:doc]} #{default(rule)}." <>
        inner_docs(rule[:type])
    end)
  end

  defp inner_docs({:options, schema}) do
    "\n" <> (schema |> docs() |> String.replace(~r/^/m, "  "))
  end

  defp inner_docs(_type), do: ""

  defp default(rule) do
    case Keyword.fetch(rule, :default) do
      {:ok, nil} -> "Optional"
      {:ok, default} -> "Default: `#{inspect(default)}`"
      :error -> if match?({:options, _schema}, rule[:type]), do: "Optional", else: "Required"
    end
  end

  defp fetch!(options, {key, rule}) do
    case Keyword.fetch(options, key) do
      {:ok, value} -> {key, check!(inspect(key), value, rule[:type])}
      :error -> {key, default!(key, rule, rule[:type])}
    end
  end

  defp default!(key, rule, type) do
    case {Keyword.fetch(rule, :default), type} do
      {{:ok, default}, _type} -> default
      {:error, {:options, schema}} -> validate!([], schema)
      {:error, _type} -> raise_missing(key, rule)
    end
  end

  defp raise_missing(key, rule) do
    raise ArgumentError, "the option :#{key} is required: #{rule[:doc]}"
  end

  defp check!(name, value, {:options, schema}) do
    # The value may hold secrets in any form, so it is not shown.
    unless Keyword.keyword?(value) do
      raise ArgumentError, "expected #{name} to be #{expectation({:options, schema})}"
    end

    validate!(value, schema)
  end

  defp check!(name, value, type) do
    if valid?(type, value) do
      value
    else
      raise ArgumentError,
            "expected #{name} to be #{expectation(type)}, got: #{found(type, value)}"
    end
  end

  # The values of a configuration may be secrets, so only its keys are shown.
  defp found(:string_map, %{} = map) when not is_struct(map) do
    wrong = for {key, value} <- map, not (text?(key) and text?(value)), do: key
    "other keys or values at #{inspect(wrong)}"
  end

  defp found({:secret, _check}, _value), do: "something else"

  # The value may be megabytes of unreadable data, so only its beginning is shown.
  defp found(_type, value), do: inspect(value, limit: 20, printable_limit: 200)

  defp unknown_message(unknown, schema) do
    "unknown options #{inspect(unknown)}, the known ones are: #{inspect(Keyword.keys(schema))}"
  end

  defp valid?(:atom, value), do: is_atom(value) and value not in [nil, true, false]
  defp valid?(:string, value), do: text?(value) and value != ""
  defp valid?(:boolean, value), do: is_boolean(value)
  defp valid?(:pos_integer, value), do: Input.within?(:number, value)
  defp valid?(kind, value) when is_bound(kind), do: Input.within?(kind, value)
  defp valid?({:name, kind}, value), do: Input.name?(kind, value)
  defp valid?({:in, values}, value), do: value in values
  defp valid?({:secret, check}, value), do: valid?(check, value)
  defp valid?({_text, fun}, value) when is_function(fun, 1), do: fun.(value)

  defp valid?(:names, value) do
    is_list(value) and not List.improper?(value) and Enum.all?(value, &valid?(:string, &1))
  end

  defp valid?(:string_map, value) do
    is_map(value) and not is_struct(value) and
      Enum.all?(value, fn {k, v} -> text?(k) and text?(v) end)
  end

  # Rust takes text as UTF-8 only.
  defp text?(value), do: is_binary(value) and String.valid?(value)

  defp expectation(:atom), do: "an atom"
  defp expectation(:string), do: "a non-empty string"
  defp expectation(:boolean), do: "a boolean"
  defp expectation(:pos_integer), do: Input.expectation(:number)
  defp expectation(kind) when is_bound(kind), do: Input.expectation(kind)
  defp expectation(:string_map), do: "a map from strings to strings"
  defp expectation(:names), do: "a list of non-empty strings"
  defp expectation({:name, kind}), do: "a name of kind #{kind}"
  defp expectation({:options, _schema}), do: "options"
  defp expectation({:secret, check}), do: expectation(check)
  defp expectation({:in, values}), do: "one of #{Enum.map_join(values, ", ", &inspect/1)}"
  defp expectation({text, _fun}), do: text
end
