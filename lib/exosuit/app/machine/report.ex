defmodule Exosuit.App.Machine.Report do
  @moduledoc """
  The status that a host writes about its share of an application.

  `Exosuit.App.Machine.Steps` compares it with the status in the store after each step, and asks for a write if the two
  differ. A write that failed is therefore repeated, and an unchanged status costs nothing.

  Other members act on it: a hand-over ends when it says `:running`, placement passes over a member that refuses, and a
  slow fetch is visible to people. Texts that change all the time are left out, because each change is a write.

  | this host | reported as |
  |---|---|
  | was told to run it, and has not said anything | `:starting` |
  | starts it, or starts it again | `:starting`, with the reason of the last failure |
  | runs it | `:running` |
  | runs it, and hands it over | `:leaving` |
  | refuses it, for good or for now | `:refused`, with the reason |
  | could run a singleton, but lacks its lease | `:waiting`, with the count 0 |
  """

  alias Exosuit.App.Machine.Share
  alias Exosuit.App.Status

  @doc """
  The status of the share, or `nil` if there is nothing to report. While the host runs an older version, the status is
  about that one; `problem` says why the newer one does not run yet.

      iex> alias Exosuit.App.Machine.{Report, Share}
      iex> Report.status(%Share{})
      nil
      iex> share = %Share{version: 1, model: "m", share: %{"echo" => 2}, reported: %{"echo" => :running}}
      iex> Report.status(share).workloads
      %{"echo" => %{count: 2, state: :running, detail: nil}}
  """
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
