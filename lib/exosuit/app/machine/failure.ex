defmodule Exosuit.App.Machine.Failure do
  @moduledoc """
  Decides whether a version failed on this host, and whether the version or the host is at fault.

  A version fails if the host refuses a workload for good, or if not all of the share ran by the progress
  deadline. Once all of the share has run, the deadline does not apply any more.

  ## Fault of a version, or of a host

  A failure on one host may be the fault of the version (a bad module) or of the host (a full disk, a port in use). No
  host can tell by itself. The rule goes by the others:

  | the version ran here before | an older version to go back to | this host was updating | it runs elsewhere | then |
  |---|---|---|---|---|
  | yes | | | | the host refuses its share |
  | no | no | | | the host refuses its share |
  | no | yes | yes | | the version goes back |
  | no | yes | no | no | the version goes back |
  | no | yes | no | yes | the host refuses its share |

  A host that refuses its share writes so into its status, and placement passes it over for the workloads that failed.
  Only a final failure is refused; a late one still shows as starting. The third row is the price of rolling updates:
  the others wait for the slot of this host, so that the rollout would stand still.
  """

  alias Exosuit.App.Machine.Share
  alias Exosuit.App.{Record, Status}
  alias Exosuit.Error

  @typedoc "A reason for people for each workload, one line each."
  @type reasons :: %{optional(workload_id :: String.t()) => String.t()}

  @typedoc "`:final` if a workload is refused for good, `:late` if the deadline has passed."
  @type t :: {:final | :late, reasons()}

  @doc """
  The reasons why the version that the host should run fails, or `nil`. The deadline counts from the last change of the
  share.
  """
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

  @doc """
  The reasons on one line, for people, of at most 512 bytes.

      iex> Exosuit.App.Machine.Failure.text(%{"echo" => "it traps", "db" => "no disk"}, "N1")
      "host N1: db: no disk; echo: it traps"
  """
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
