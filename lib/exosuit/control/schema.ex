defmodule Exosuit.Control.Schema do
  @moduledoc false
  # What the arguments of a command must be: for each name a kind, or a kind and the default of one
  # that may be left out, or be null. Whatever comes from outside is checked here: the names are the
  # schema's own atoms, and nothing that was given becomes one.

  @type kind ::
          :string
          | :text
          | :segment
          | :boolean
          | :instances
          | :count
          | :timeout
          | :path
          | :contract
          | :names
          | :string_map
          | :objects
          | :base64
  @type t :: [{atom(), kind() | {kind(), default :: term()}}]

  # As the data plane counts.
  @most_instances 4_294_967_295
  @longest_timeout 86_400_000

  @doc "The arguments, decoded, with defaults for what is left out; or what was expected."
  @spec check(map(), t()) :: {:ok, map()} | {:error, String.t()}
  def check(given, schema) do
    Enum.reduce_while(schema, {:ok, %{}}, fn {key, rule}, {:ok, arguments} ->
      case value(given[Atom.to_string(key)], rule) do
        {:ok, value} -> {:cont, {:ok, Map.put(arguments, key, value)}}
        :error -> {:halt, {:error, "expected \"#{key}\" to be #{expectation(rule)}"}}
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

  defp value(nil, {_kind, default}), do: {:ok, default}
  defp value(value, {kind, _default}), do: value(value, kind)
  defp value(value, :base64) when is_binary(value), do: Base.decode64(value)
  defp value(value, kind), do: if(valid?(kind, value), do: {:ok, value}, else: :error)

  defp valid?(:string, value), do: is_binary(value) and value != ""
  defp valid?(:text, value), do: is_binary(value)
  defp valid?(:segment, value), do: valid?(:string, value) and not String.contains?(value, ":")
  defp valid?(:boolean, value), do: is_boolean(value)
  defp valid?(:instances, value), do: is_integer(value) and value in 1..@most_instances
  defp valid?(:count, value), do: is_integer(value) and value in 0..@most_instances
  defp valid?(:timeout, value), do: is_integer(value) and value in 1..@longest_timeout

  # The host's working directory is nobody's business. A NUL would end the name for the kernel.
  defp valid?(:path, value) do
    is_binary(value) and Path.type(value) == :absolute and not String.contains?(value, <<0>>)
  end

  defp valid?(:contract, value), do: is_binary(value) and value =~ ~r/\A[^:]+:[^:]+\z/

  defp valid?(:names, value), do: is_list(value) and Enum.all?(value, &valid?(:string, &1))
  defp valid?(:objects, value), do: is_map(value) and Enum.all?(Map.values(value), &is_map/1)

  defp valid?(:string_map, value) do
    is_map(value) and Enum.all?(value, fn {_key, value} -> is_binary(value) end)
  end

  defp valid?(:base64, _value), do: false

  defp expectation({kind, _default}), do: "#{expectation(kind)}, or left out"
  defp expectation(:string), do: "a non-empty string"
  defp expectation(:text), do: "a string"
  defp expectation(:segment), do: "a non-empty string without a colon"
  defp expectation(:boolean), do: "true or false"
  defp expectation(:instances), do: "a number from 1 to #{@most_instances}"
  defp expectation(:count), do: "a number from 0 to #{@most_instances}"
  defp expectation(:timeout), do: "a number of milliseconds from 1 to #{@longest_timeout}"
  defp expectation(:path), do: "an absolute path"
  defp expectation(:contract), do: "a contract like wasmcloud:keyvalue"
  defp expectation(:names), do: "a list of non-empty strings"
  defp expectation(:string_map), do: "an object whose values are strings"
  defp expectation(:objects), do: "an object whose values are objects"
  defp expectation(:base64), do: "base64"
end
