defmodule Exosuit.Protocol.Schema do
  @moduledoc false
  # What the arguments of a command must be: for each name a kind, or a kind and the default of one
  # that may be left out, or be null. Whatever comes from outside is checked here: the names are the
  # schema's own atoms, and nothing that was given becomes one. Numbers and names are of a kind that
  # `Exosuit.Input` has a bound or a parser for, as at every other door.

  import Exosuit.Input, only: [is_bound: 1]

  alias Exosuit.Input

  @type kind ::
          :string
          | :text
          | :boolean
          | Input.bound()
          | :path
          | :digest
          | {:name, Input.kind()}
          | {:names, Input.kind()}
          | :names
          | :string_map
          | :objects
          | :base64
  @type t :: [{atom(), kind() | {kind(), default :: term()}}]

  @doc "The arguments, decoded, with defaults for what is left out; or what was expected."
  @spec check(map(), t()) :: {:ok, map()} | {:error, String.t()}
  def check(given, schema) do
    Enum.reduce_while(schema, {:ok, %{}}, fn {key, rule}, {:ok, arguments} ->
      case value(given[Atom.to_string(key)], rule) do
        {:ok, value} -> {:cont, {:ok, Map.put(arguments, key, value)}}
        :error -> {:halt, {:error, refusal(key, rule, given[Atom.to_string(key)])}}
      end
    end)
  end

  @doc "Whether all that is given is in the schema."
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

  # These have a kind of their own within, and no default.
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

  # The host's working directory is nobody's business. A NUL would end the name for the kernel.
  defp valid?(:path, value) do
    is_binary(value) and Path.type(value) == :absolute and not String.contains?(value, <<0>>)
  end

  defp valid?(:names, value), do: is_list(value) and Enum.all?(value, &valid?(:string, &1))
  defp valid?(:objects, value), do: is_map(value) and Enum.all?(Map.values(value), &is_map/1)

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
  defp expectation(:names), do: "a list of non-empty strings"
  defp expectation(:string_map), do: "an object whose values are strings"
  defp expectation(:objects), do: "an object whose values are objects"
  defp expectation(:base64), do: "base64"
end
