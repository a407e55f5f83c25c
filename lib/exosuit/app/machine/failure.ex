defmodule Exosuit.App.Machine.Failure do
  @moduledoc """
  Decides whether a version failed on this host, and whether the version or the host is at fault.

  A version fails if the host refuses a workload for good, or if not all of the share ran by the progress
  deadline. Once all of the share has run, the deadline does not apply any more.
  """

  alias Exosuit.App.Machine.Share
  alias Exosuit.App.{Record, Status}
  alias Exosuit.Error

  @type reasons :: %{optional(workload_id :: String.t()) => String.t()}
  @type t :: {:final | :late, reasons()}

  @doc "The reasons why the version that the host should run fails, or `nil`."
  @spec of(Share.t(), Share.situation()) :: t() | nil
  def of(state, situation) do
    finals =
      for {workload, {:refused, error, true}} <- state.reported,
          is_map_key(state.share, workload),
          into: %{},
          do: {workload, Status.detail(error)}

    late? =
      not state.ran? and state.share != %{} and state.since != nil and
        situation.now >= state.since + situation.options.progress_deadline

    cond do
      finals != %{} -> {:final, finals}
      late? -> {:late, waiting(state)}
      true -> nil
    end
  end

  @doc """
  Whether the lattice goes back to the version before.

  If the version runs on other members, the fault is this member's: placement passes it over, and the version stays.
  The exception is a member that fails in the middle of an update, because the others wait for it.
  """
  @spec goes_back?(Share.t(), Share.situation()) :: boolean()
  def goes_back?(%{ran?: true}, _situation), do: false

  def goes_back?(state, situation) do
    Record.previous(situation.record) != nil and
      (state.from != nil or not runs_elsewhere?(situation))
  end

  @doc "The reasons on one line, for people."
  @spec text(reasons(), host_id :: String.t()) :: String.t()
  def text(reasons, host) do
    text =
      Enum.map_join(Enum.sort(reasons), "; ", fn {workload, why} -> "#{workload}: #{why}" end)

    Status.detail("host #{host}: #{text}")
  end

  defp runs_elsewhere?(situation) do
    Enum.any?(situation.statuses, fn {id, status} ->
      id != situation.own and situation.member?.(id) and
        Status.about?(status, Record.target(situation.record)) and
        Enum.any?(status.workloads, fn {_workload, it} -> it.state == :running end)
    end)
  end

  defp waiting(state) do
    for {workload, _count} <- state.share,
        state.reported[workload] != :running,
        into: %{},
        do: {workload, reason(state.reported[workload])}
  end

  defp reason({:starting, %Error{} = error}), do: Status.detail(error)
  defp reason({:refused, error, _final?}), do: Status.detail(error)
  defp reason(_other), do: "it did not run in time"
end
