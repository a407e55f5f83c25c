defmodule Exosuit.Model.Configuration do
  @moduledoc """
  Configuration of actors, providers and links: texts under names.

  In a lattice, a configuration has a name, by which its users refer to it.

  Keys and values are texts alone, because clients of all generations know no other form. Their bounds are checked where
  they come in (`Exosuit.Input`). Values may be secrets: logs, events and inventories show names of configurations, and
  never their values.
  """

  @typedoc "The values by their keys."
  @type t :: %{optional(String.t()) => String.t()}

  @doc """
  The name for an unnamed configuration, made from its content, so that equal configurations have the same name. The
  command line has the same rule.

      iex> name = Exosuit.Model.Configuration.name(%{"bucket" => "a", "max_items" => "9"})
      iex> name == Exosuit.Model.Configuration.name(%{"max_items" => "9", "bucket" => "a"})
      true
      iex> String.length(name)
      39
  """
  @spec name(t()) :: String.t()
  def name(values) do
    # Each text has its length before it, so that different configurations have different names.
    texts = for {key, value} <- Enum.sort(values), text <- [key, value], do: sized(text)
    <<head::16-bytes, _rest::binary>> = :crypto.hash(:sha256, texts)
    "sha256-" <> Base.encode16(head, case: :lower)
  end

  defp sized(text), do: [<<byte_size(text)::64>>, text]
end
