defmodule Exosuit.Control.Configurations do
  @moduledoc false
  # What actors, providers and links are configured with, as the lattice says it: by the names of what
  # the hosts share, or, in the OTP era, as one text.

  alias Exosuit.{Error, Json}

  @doc "The named configurations in one, the later over the earlier."
  @spec merge([String.t()], {module(), atom()}) :: {:ok, map()} | {:error, Error.t()}
  def merge(names, {api, host}) do
    Enum.reduce_while(names, {:ok, %{}}, fn name, {:ok, merged} ->
      case api.get_config(host, name) do
        {:ok, values} -> {:cont, {:ok, Map.merge(merged, values)}}
        {:error, error} -> {:halt, {:error, error}}
      end
    end)
  end

  @doc "The text of a provider: an object of strings in JSON, as it is or in base64; or nothing."
  @spec text(String.t()) :: {:ok, map()} | {:error, Error.t()}
  def text(""), do: {:ok, %{}}

  def text(text) do
    with :error <- strings(text),
         {:ok, decoded} <- Base.decode64(text),
         true <- String.valid?(decoded),
         {:ok, values} <- strings(decoded) do
      {:ok, values}
    else
      {:ok, values} ->
        {:ok, values}

      _other ->
        detail = "expected the configuration to be a JSON object of strings, or that in base64"
        {:error, Error.new(:invalid_input, detail)}
    end
  end

  defp strings(text) do
    case Json.decode(text) do
      {:ok, %{} = values} ->
        if Enum.all?(Map.values(values), &is_binary/1), do: {:ok, values}, else: :error

      _other ->
        :error
    end
  end
end
