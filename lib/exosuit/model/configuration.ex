defmodule Exosuit.Model.Configuration do
  @moduledoc """
  Configuration of actors, providers and links: texts under names.

  On a lattice it has a name of its own, and whoever uses it says that name.
  """

  @type t :: %{optional(String.t()) => String.t()}

  @doc """
  The name of one that nobody has named: made of what it holds, so that the same again is no other,
  whoever uses it. The command line has the same rule.
  """
  @spec name(t()) :: String.t()
  def name(values) do
    # Lengths stand before what they measure, so that no two are taken for one.
    texts = for {key, value} <- Enum.sort(values), text <- [key, value], do: sized(text)
    <<head::16-bytes, _rest::binary>> = :crypto.hash(:sha256, texts)
    "sha256-" <> Base.encode16(head, case: :lower)
  end

  defp sized(text), do: [<<byte_size(text)::64>>, text]
end
