defmodule Exosuit.Json do
  @moduledoc """
  Encodes and decodes JSON by serde, because Elixir has a decoder only from 1.18 on.

  Both functions run on the calling scheduler. Keys of decoded objects are strings, never atoms.
  """

  alias Exosuit.{Error, Native}

  @doc """
  Decodes JSON; keys are strings, null is nil.

      iex> Exosuit.Json.decode(~s({"a": [1, 2.5, null]}))
      {:ok, %{"a" => [1, 2.5, nil]}}

      iex> {:error, error} = Exosuit.Json.decode("[1,")
      iex> error.detail
      "invalid JSON: EOF while parsing a value at line 1 column 3"
  """
  @spec decode(binary()) :: {:ok, term()} | {:error, Error.t()}
  def decode(text) do
    with true <- String.valid?(text), {:error, failure} <- Native.json_decode(text) do
      {:error, Error.from_native(failure)}
    else
      false -> {:error, Error.new(:invalid_input, "invalid JSON: expected UTF-8")}
      decoded -> decoded
    end
  end

  @doc """
  Encodes a term on one line: maps with strings or atoms as keys, lists, UTF-8 binaries, numbers, and atoms (nil is
  null). Any other term, such as a pid or a tuple, is an error.

      iex> Exosuit.Json.encode(%{a: [1, 2.5, nil], on: :yes})
      {:ok, ~s({"a":[1,2.5,null],"on":"yes"})}

      iex> {:error, error} = Exosuit.Json.encode({1})
      iex> error.detail
      "a term of type Tuple has no form in JSON"
  """
  @spec encode(term()) :: {:ok, String.t()} | {:error, Error.t()}
  def encode(value) do
    with {:error, failure} <- Native.json_encode(value), do: {:error, Error.from_native(failure)}
  end
end
