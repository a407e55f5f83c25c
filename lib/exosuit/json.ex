defmodule Exosuit.Json do
  @moduledoc false
  # JSON by serde: Elixir has a decoder of its own only from 1.18 on.

  alias Exosuit.{Error, Native}

  @doc "Decodes JSON; keys are strings, null is nil."
  @spec decode(binary()) :: {:ok, term()} | {:error, Error.t()}
  def decode(text) do
    with true <- String.valid?(text), {:error, failure} <- Native.json_decode(text) do
      {:error, Error.from_native(failure)}
    else
      false -> {:error, Error.new(:invalid_input, "no JSON: it is not UTF-8")}
      decoded -> decoded
    end
  end

  @doc """
  Encodes a term on one line: maps with strings or atoms for keys, lists, UTF-8 binaries, numbers,
  atoms, of which nil is null. Nothing else has a form in JSON, a pid or a tuple say.
  """
  @spec encode(term()) :: {:ok, String.t()} | {:error, Error.t()}
  def encode(value) do
    with {:error, failure} <- Native.json_encode(value), do: {:error, Error.from_native(failure)}
  end
end
