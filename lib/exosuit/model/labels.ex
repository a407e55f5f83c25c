defmodule Exosuit.Model.Labels do
  @moduledoc """
  The bounds of a host's labels and of the names of its Elixir providers. The host's beat has both, every two seconds,
  and placement needs them. Other hosts ignore a beat that is too large, so the host would get no share.

  The options of a host and the commands that put a label check this before they accept anything. Labels may take 8 KiB,
  and names of providers 16 KiB, both as JSON. With the rest of a beat they stay below its 32 KiB (`Exosuit.App.Beat`).
  A size is that of JSON and not of the text, because a quote takes two bytes there, and a control character six.
  """

  @max_labels 8_192
  @max_names 16_384

  # Bytes for quotes, and a colon or a comma.
  @around 3

  # Bytes for the same, and `module:`.
  @around_name 10

  @doc "How many bytes the labels of a host may take."
  @spec max() :: pos_integer()
  def max, do: @max_labels

  @doc """
  `:ok`, or the reason if these labels are too many for one host.

      iex> Exosuit.Model.Labels.check(%{"zone" => "eu"})
      :ok
      iex> Exosuit.Model.Labels.check(%{"zone" => String.duplicate("x", 8_192)})
      {:error, "the labels of a host may have 8192 bytes as JSON, all together, and these have 8202"}
  """
  @spec check(%{optional(String.t()) => String.t()}) :: :ok | {:error, String.t()}
  def check(labels) do
    size =
      labels
      |> Enum.map(fn {key, value} -> size(key) + size(value) + 2 * @around end)
      |> Enum.sum()

    within(size, @max_labels, "the labels of a host")
  end

  @doc """
  `:ok`, or the reason if these names of providers are too many for one host.

      iex> Exosuit.Model.Labels.check_names(["MyApp.Database"])
      :ok
      iex> {:error, reason} = Exosuit.Model.Labels.check_names([String.duplicate("x", 16_384)])
      iex> reason =~ "the names of a host's providers may have 16384 bytes"
      true
  """
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
