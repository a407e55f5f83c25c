defmodule Exosuit.App.Machine.Report do
  @moduledoc """
  The status that a host writes about its share of an application.
  """

  alias Exosuit.App.Machine.Share
  alias Exosuit.App.Status

  @doc "The status of the share, or `nil` if there is nothing to report."
  @spec status(Share.t()) :: Status.t() | nil
  def status(%Share{} = state) do
    {refused_version, _refused} = state.refused
    {waiting_version, waiting} = state.waiting
    idle_version = waiting_version || refused_version
    version = if state.share == %{}, do: idle_version, else: {state.version, state.model}
    refused = if version, do: Share.refused(state, version), else: %{}
    # The host may run an older version, and wait with a singleton of a newer one.
    waiting = if version == waiting_version, do: waiting, else: %{}
    facts? = state.share != %{} or refused != %{} or waiting != %{}

    if facts? or state.problem != nil do
      {number, model} = if facts?, do: version, else: {nil, nil}

      %Status{
        version: number,
        model: model,
        workloads: Map.merge(waits(waiting), runs(state)),
        refused: refused,
        problem: state.problem
      }
    end
  end

  defp runs(state) do
    Map.new(state.share, fn {id, count} -> {id, workload(state, id, count)} end)
  end

  defp waits(waiting), do: Map.new(waiting, fn {id, why} -> {id, said(0, :waiting, why)} end)

  defp workload(state, id, count) do
    case state.reported[id] do
      :running when is_map_key(state.leaving, id) -> said(count, :leaving, nil)
      :running -> said(count, :running, nil)
      {:starting, error} -> said(count, :starting, error && Status.detail(error))
      {:refused, error, _final?} -> said(count, :refused, Status.detail(error))
      nil -> said(count, :starting, nil)
    end
  end

  defp said(count, state, detail), do: %{count: count, state: state, detail: detail}
end
