defmodule Exosuit.Model.Labels do
  @moduledoc """
  The bounds of what a host says of itself to all others every two seconds: its labels, and the names of its
  Elixir providers. Placement needs both, so a host that said too much would run nothing of the lattice's
  applications.
  """

  @max_labels 8_192
  @max_names 16_384

  # Quotes, and a colon or a comma.
  @around 3

  # The same, and `module:`.
  @around_name 10

  @doc "How many bytes the labels of a host may take."
  @spec max() :: pos_integer()
  def max, do: @max_labels

  @doc "Whether these labels are not too many for one host, or why they are."
  @spec check(%{optional(String.t()) => String.t()}) :: :ok | {:error, String.t()}
  def check(labels) do
    size =
      labels
      |> Enum.map(fn {key, value} -> size(key) + size(value) + 2 * @around end)
      |> Enum.sum()

    within(size, @max_labels, "the labels of a host")
  end

  @doc "Whether these names of providers are not too many for one host, or why they are."
  @spec check_names([String.t()]) :: :ok | {:error, String.t()}
  def check_names(names) do
    size = names |> Enum.map(&(size(&1) + @around_name)) |> Enum.sum()
    within(size, @max_names, "the names of a host's providers")
  end

  defp within(size, max, _what) when size <= max, do: :ok

  defp within(size, max, what),
    do: {:error, "#{what} may have #{max} bytes as JSON, all together, and these have #{size}"}

  # As JSON has it: a control character takes six bytes.
  defp size(text), do: for(<<byte <- text>>, reduce: 0, do: (size -> size + width(byte)))

  defp width(byte) when byte < 0x20, do: 6
  defp width(byte) when byte in [?", ?\\], do: 2
  defp width(_byte), do: 1
end
