defmodule Exosuit.Host.Labels do
  @moduledoc """
  Changes the labels of a host while it runs, and announces them by an event `labels_changed`.

  Placement of applications reads labels, so that a change may move workloads to this host or away from it. The labels
  are in the host's memory: after a restart of the host, it has those of its options again.
  """

  alias Exosuit.{Error, Event, Instance, Lattice, Settings}

  @doc """
  Sets a label. Returns `:denied` for labels of `hostcore.*`, which are the host's own, `:invalid_input` for other than
  UTF-8, and `:limit` beyond the bounds of `Exosuit.Model.Labels`.
  """
  @spec put(Instance.t(), String.t(), String.t()) :: :ok | {:error, Error.t()}
  def put(instance, key, value) do
    with :ok <- Settings.put_label(instance, key, value), do: announce(instance)
  end

  @doc "Removes a label, if it is there."
  @spec delete(Instance.t(), String.t()) :: :ok | {:error, Error.t()}
  def delete(instance, key) do
    with :ok <- Settings.delete_label(instance, key), do: announce(instance)
  end

  defp announce(instance) do
    Lattice.announce(instance, %Event.LabelsChanged{labels: Settings.labels(instance)})
  end
end
