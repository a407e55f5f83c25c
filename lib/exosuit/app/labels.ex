defmodule Exosuit.App.Labels do
  @moduledoc """
  The texts by which tools of wasmCloud know the versions of an application. Pure.

  A version is known by its label, which the author of a manifest chose (`metadata.annotations.version`). The number
  stands for a version without a label, and for an older version whose label was used again.
  """

  alias Exosuit.App.Record

  @doc "The text of a version."
  @spec text(Record.t(), Record.version()) :: String.t()
  def text(record, version) do
    if version.label != nil and labelled(record, version.label) == version,
      do: version.label,
      else: Integer.to_string(version.version)
  end

  @doc "The version of a text, or `nil`."
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
