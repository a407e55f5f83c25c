defmodule Exosuit.Protocol.Otp.Configuration do
  @moduledoc """
  The configuration of a provider in the OTP era: one text. Pure.

  The text is a JSON object of strings, plain or in base64, or empty.
  """

  alias Exosuit.{Error, Json}
  alias Exosuit.Model.Command

  @doc """
  Decodes the text. `:invalid_input`, without the text, which may be a secret, if it is of another form.

      iex> alias Exosuit.Protocol.Otp.Configuration
      iex> Configuration.decode(~s({"port": "80"}))
      {:ok, %{"port" => "80"}}
      iex> Configuration.decode(Base.encode64(~s({"port": "80"})))
      {:ok, %{"port" => "80"}}
      iex> Configuration.decode("")
      {:ok, %{}}
  """
  @spec decode(String.t()) :: {:ok, Command.values()} | {:error, Error.t()}
  def decode(""), do: {:ok, %{}}

  def decode(text) do
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
