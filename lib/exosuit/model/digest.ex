defmodule Exosuit.Model.Digest do
  @moduledoc """
  Digests of objects: `sha256:` and 64 hexadecimal digits in lower case.
  """

  @type t :: String.t()

  @doc "The digest of these bytes."
  @spec of(iodata()) :: t()
  def of(bytes), do: "sha256:" <> Base.encode16(:crypto.hash(:sha256, bytes), case: :lower)

  @doc """
  Whether a term is a digest.

      iex> "code" |> Exosuit.Model.Digest.of() |> Exosuit.Model.Digest.valid?()
      true
      iex> Exosuit.Model.Digest.valid?("sha256:ABC")
      false
  """
  @spec valid?(term()) :: boolean()
  def valid?(<<"sha256:", hex::64-bytes>>), do: hex?(hex)
  def valid?(_other), do: false

  defp hex?(<<digit, rest::binary>>) when digit in ?0..?9 or digit in ?a..?f, do: hex?(rest)
  defp hex?(rest), do: rest == <<>>
end
