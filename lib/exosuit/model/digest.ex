defmodule Exosuit.Model.Digest do
  @moduledoc """
  Digests of objects: `sha256:` and 64 hexadecimal digits in lower case.

  A digest is the name of an object in the lattice's store, and the proof of its content: bytes that do not match are
  never used. Two applications that use the same code share one object.
  """

  @type t :: String.t()

  @doc """
  The digest of these bytes.

      iex> Exosuit.Model.Digest.of("")
      "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
  """
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
