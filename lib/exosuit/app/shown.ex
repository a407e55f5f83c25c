defmodule Exosuit.App.Shown do
  @moduledoc """
  The facts that a member has already passed on to `Exosuit.App.Shares`, so that it passes on only changes. Pure.

  The member asks after each event, and most events change nothing that a caller could see: a beat, a tick, an echo of
  its own write. Without this comparison, each would copy snapshots between processes.

  - `facts`: the member's own state
  - `candidates`: the members of the lattice
  - `snapshots`: the applications, by their names
  """

  alias Exosuit.App.{Machine, Placement, Shares, Snapshot}

  @type t :: %__MODULE__{
          facts: Shares.member() | nil,
          candidates: Placement.candidates() | nil,
          snapshots: %{optional(String.t()) => Snapshot.t()}
        }

  @typedoc "The arguments of `Exosuit.App.Shares.know/4` after the first: `nil` for members that did not change."
  @type news ::
          {Shares.member(), Placement.candidates() | nil, [{String.t(), Snapshot.t() | nil}]}

  defstruct [:facts, :candidates, snapshots: %{}]

  @doc """
  The changes since the last call, or `nil` for none. Only the applications in `apps` are compared: those that the
  machine names as touched by the event. The snapshot `nil` says that an application is gone.
  """
  @spec news(t(), Shares.member(), Machine.t(), [String.t()]) :: {news() | nil, t()}
  def news(shown, facts, machine, apps) do
    candidates = Machine.candidates(machine)

    changed =
      for app <- apps,
          snapshot <- [Machine.snapshot(machine, app)],
          snapshot != shown.snapshots[app],
          do: {app, snapshot}

    moved? = candidates != shown.candidates
    news? = changed != [] or moved? or facts != shown.facts
    snapshots = Enum.reduce(changed, shown.snapshots, &note/2)

    {if(news?, do: {facts, if(moved?, do: candidates), changed}),
     %{shown | facts: facts, candidates: candidates, snapshots: snapshots}}
  end

  defp note({app, nil}, snapshots), do: Map.delete(snapshots, app)
  defp note({app, snapshot}, snapshots), do: Map.put(snapshots, app, snapshot)
end
