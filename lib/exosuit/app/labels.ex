defmodule Exosuit.App.Labels do
  @moduledoc """
  The texts by which tools of wasmCloud know the versions of an application. Pure.

  A version is known by its label, which the author of a manifest chose (`metadata.annotations.version`). The number
  stands for a version without a label, and for an older version whose label was used again.

  These tools have no numbers, and a host must be able to read each text that it wrote. So every version has exactly one
  text, and `find/2` finds the version of each text:

      iex> alias Exosuit.App.{Labels, Record}
      iex> version = %{version: 1, label: "1.0", failed: nil, deployed: true}
      iex> versions = [version, %{version | version: 2}, %{version | version: 3, label: nil}]
      iex> record = %Record{name: "shop", version: 2, versions: versions}
      iex> Enum.map(versions, &Labels.text(record, &1))
      ["1", "1.0", "3"]
      iex> Labels.find(record, "1.0").version
      2
      iex> Labels.deployed(record)
      "1.0"
  """

  alias Exosuit.App.Record

  @doc "The text of a version: its label if no later version has the same, and its number otherwise."
  @spec text(Record.t(), Record.version()) :: String.t()
  def text(record, version) do
    if version.label != nil and labelled(record, version.label) == version,
      do: version.label,
      else: Integer.to_string(version.version)
  end

  @doc "The version of a text, or `nil`. A label comes before a number, and the newest version with it counts."
  @spec find(Record.t(), String.t()) :: Record.version() | nil
  def find(record, text) do
    labelled(record, text) || Enum.find(record.versions, &(text(record, &1) == text))
  end

  @doc "The text of the version that should run, or `nil` if none should."
  @spec deployed(Record.t()) :: String.t() | nil
  def deployed(%Record{state: :undeployed}), do: nil
  def deployed(record), do: text(record, Record.current(record))

  @doc "The version that was stored last."
  @spec newest(Record.t()) :: Record.version()
  def newest(record), do: List.last(record.versions)

  defp labelled(record, label) do
    record.versions |> Enum.reverse() |> Enum.find(&(&1.label == label))
  end
end
