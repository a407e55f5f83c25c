defmodule Exosuit.Protocol.Schema do
  @moduledoc """
  Checks the arguments of a command by a schema. Pure.

  A schema has a kind for each name, or a kind and a default for an argument that may be left out or be null. The names
  are atoms of the schema: no text from outside becomes an atom. Numbers and names are of a kind for which
  `Exosuit.Input` has a bound or a parser, as for all other input. After this check, no later step checks the form
  again.

      iex> schema = [actor: {:name, :id}, count: {:count, 1}, force: {:boolean, false}]
      iex> Exosuit.Protocol.Schema.check(%{"actor" => "shop", "other" => 1}, schema)
      {:ok, %{actor: "shop", count: 1, force: false}}
      iex> {:error, text} = Exosuit.Protocol.Schema.check(%{"actor" => "shop", "force" => "yes"}, schema)
      iex> text
      "expected \\"force\\" to be true or false, or left out"

  An error names the argument and its expected form. It shows the value only of numbers and names: any other value may
  be a secret.
  """

  import Exosuit.Input, only: [is_bound: 1]

  alias Exosuit.{Error, Input}

  @typedoc """
  The form of an argument.

  - `:string`: a text that is not empty; `:text`: any text
  - `:boolean`
  - a bound of `Exosuit.Input`: a number within that bound
  - `:path`: an absolute path without a zero byte, because clients do not know the working directory of the host
  - `:digest`: the digest of an object
  - `{:name, kind}`, `{:names, kind}`: a name, or a list of names, that `Exosuit.Input` accepts
  - `:string_map`: an object whose values are texts
  - `:base64`: a text in base64, which is decoded
  """
  @type kind ::
          :string
          | :text
          | :boolean
          | Input.bound()
          | :path
          | :digest
          | {:name, Input.kind()}
          | {:names, Input.kind()}
          | :string_map
          | :base64

  @typedoc "The arguments of a command, each with its kind, or with its kind and its default."
  @type t :: [{atom(), kind() | {kind(), default :: term()}}]

  @doc """
  Returns the arguments, decoded and with defaults, or an error that says what was expected. Arguments beyond the schema
  are ignored; `check_known/2` refuses them.
  """
  @spec check(map(), t()) :: {:ok, map()} | {:error, String.t()}
  def check(given, schema) do
    Enum.reduce_while(schema, {:ok, %{}}, fn {key, rule}, {:ok, arguments} ->
      case value(given[Atom.to_string(key)], rule) do
        {:ok, value} -> {:cont, {:ok, Map.put(arguments, key, value)}}
        :error -> {:halt, {:error, refusal(key, rule, given[Atom.to_string(key)])}}
      end
    end)
  end

  @doc "Checks a decoded body, which has to be an object."
  @spec check_body(term(), t()) :: {:ok, map()} | {:error, Error.t()}
  def check_body(%{} = body, schema) do
    with {:error, detail} <- check(body, schema), do: {:error, Error.new(:invalid_input, detail)}
  end

  def check_body(_body, _schema),
    do: {:error, Error.new(:invalid_input, "expected a JSON object")}

  @doc "Returns an error if an argument is not in the schema."
  @spec check_known(map(), t()) :: :ok | {:error, String.t()}
  def check_known(given, schema) do
    known = Enum.map(schema, fn {key, _kind} -> Atom.to_string(key) end)

    case Map.keys(given) -- known do
      [] -> :ok
      unknown -> {:error, "unknown arguments #{inspect(unknown)}, known are #{inspect(known)}"}
    end
  end

  # Do not show the value, which may be a secret, unless it is a number or a name.
  defp refusal(key, rule, given) do
    expected = "expected \"#{key}\" to be #{expectation(rule)}"

    if shown?(rule),
      do: "#{expected}, got #{inspect(given, printable_limit: 100)}",
      else: expected
  end

  defp shown?({:name, _kind}), do: true
  defp shown?({kind, _default}), do: shown?(kind)
  defp shown?(kind), do: is_bound(kind)

  # The second element is the kind of the names, not a default.
  defp value(value, {tag, _kind} = kind) when tag in [:name, :names], do: checked(value, kind)
  defp value(nil, {_kind, default}), do: {:ok, default}
  defp value(value, {kind, _default}), do: value(value, kind)
  defp value(value, :base64) when is_binary(value), do: Base.decode64(value)
  defp value(value, kind), do: checked(value, kind)

  defp checked(value, kind), do: if(valid?(kind, value), do: {:ok, value}, else: :error)

  defp valid?(:string, value), do: is_binary(value) and value != ""
  defp valid?(:text, value), do: is_binary(value)
  defp valid?(:boolean, value), do: is_boolean(value)
  defp valid?(:digest, value), do: Exosuit.Model.Digest.valid?(value)
  defp valid?(kind, value) when is_bound(kind), do: Input.within?(kind, value)
  defp valid?({:name, kind}, value), do: Input.name?(kind, value)

  defp valid?({:names, kind}, value) do
    is_list(value) and Enum.all?(value, &Input.name?(kind, &1))
  end

  # Clients do not know the working directory of the host. A NUL would end the path for the kernel.
  defp valid?(:path, value) do
    is_binary(value) and Path.type(value) == :absolute and not String.contains?(value, <<0>>)
  end

  defp valid?(:string_map, value) do
    is_map(value) and Enum.all?(value, fn {_key, value} -> is_binary(value) end)
  end

  defp valid?(:base64, _value), do: false

  defp expectation({:name, :contract}), do: "a contract like wasmcloud:keyvalue"
  defp expectation({:name, :namespace}), do: "a namespace like wasi, without a colon"
  defp expectation({:name, :package}), do: "a package like keyvalue"
  defp expectation({:name, kind}), do: "a name (#{kind})"
  defp expectation({:names, kind}), do: "a list of names (#{kind})"
  defp expectation({kind, _default}), do: "#{expectation(kind)}, or left out"
  defp expectation(:string), do: "a non-empty string"
  defp expectation(:text), do: "a string"
  defp expectation(:boolean), do: "true or false"
  defp expectation(:digest), do: "the digest of an object like sha256:…"
  defp expectation(kind) when is_bound(kind), do: Input.expectation(kind)
  defp expectation(:path), do: "an absolute path"
  defp expectation(:string_map), do: "an object whose values are strings"
  defp expectation(:base64), do: "base64"
end
