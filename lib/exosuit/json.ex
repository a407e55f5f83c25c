defmodule Exosuit.Json do
  @moduledoc false
  # JSON by serde: Elixir has a decoder of its own only from 1.18 on.

  alias Exosuit.{Error, Native}

  @doc "Decodes JSON; keys are strings, null is nil."
  @spec decode(String.t()) :: {:ok, term()} | {:error, Error.t()}
  def decode(text) do
    with {:error, failure} <- Native.json_decode(text), do: {:error, Error.from_native(failure)}
  end
end
