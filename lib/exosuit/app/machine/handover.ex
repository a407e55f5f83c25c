defmodule Exosuit.App.Machine.Handover do
  @moduledoc """
  Decides which workloads go on running on this host after placement has given them to other members.

  A running workload goes on until its new members report all instances running, or until the grace time has
  passed. While the membership is frozen, the grace does not pass: the others may be cut off as well.

  A singleton ends here before it begins elsewhere: it goes on until the other member is ready to run it.

  ## The life of a hand-over

      placement moves it ──► goes on, `until` = now + grace
                               │
               ┌───────────────┼──────────────────┐
               ▼               ▼                  ▼
          all takers run it  the grace is over  placement brings it back
               │               │                  │
               └──► ends ◄─────┘                  └──► goes on as before

  Nothing is agreed with the other member. It computes the same placement, starts its part, and writes a status; this
  host reads that status. Until then, both run the workload. That is meant: calls are served without a gap.

  The grace bounds how long two members run what one should. It does not pass while the membership is frozen. An
  expired workload keeps its time, which is over, until the share lacks it. Without that, the next step would begin a
  new grace.

  Only a running workload that moves is handed over. If a record removes a workload, or asks for fewer instances, that
  takes effect at once.
  """

  alias Exosuit.App.{Placement, Status}

  @typedoc "Until when a workload goes on at the latest."
  @type leaving :: %{optional(String.t()) => integer()}

  @typedoc "The number of a version and the digest of its model."
  @type version :: {pos_integer(), String.t()}

  @typedoc """
  - `running`: the workloads that run here now or start again, in the version and model `version`
  - `placed`: the workloads of the version `target` that placement gives to this member
  - `known`: the ids of all workloads of `target`; others were removed by the record
  - `singletons`: the ids of those that are singletons
  - `takers`: gives the other members that should run a workload, with their counts
  - `statuses`: the statuses of the members, by their ids
  """
  @type situation :: %{
          running: Placement.share(),
          version: version() | {nil, nil},
          placed: Placement.share(),
          target: version(),
          known: [String.t()],
          singletons: [String.t()],
          takers: (String.t() -> [{String.t(), pos_integer()}]),
          statuses: %{optional(String.t()) => Status.t()},
          now: integer(),
          frozen?: boolean(),
          grace: pos_integer()
        }

  @doc """
  Returns the workloads that go on, with their counts, and for each the latest time at which it ends.

  Here `echo` moves to N2, which does not run it yet:

      iex> situation = %{
      ...>   running: %{"echo" => 2}, version: {1, "m"}, placed: %{}, target: {1, "m"}, known: ["echo"],
      ...>   singletons: [], takers: fn "echo" -> [{"N2", 2}] end, statuses: %{}, now: 100,
      ...>   frozen?: false, grace: 30_000
      ...> }
      iex> Exosuit.App.Machine.Handover.keep(%{}, situation)
      {%{"echo" => 2}, %{"echo" => 30_100}}
  """
  @spec keep(leaving(), situation()) :: {Placement.share(), leaving()}
  def keep(leaving, situation) do
    for {workload, count} <- situation.running,
        moves_away?(workload, count, situation),
        until = until(leaving, workload, situation),
        situation.now < until,
        not taken?(workload, situation),
        reduce: {%{}, %{}} do
      {kept, leaving} -> {Map.put(kept, workload, count), Map.put(leaving, workload, until)}
    end
    |> with_expired(leaving, situation)
  end

  # If a record asks for fewer instances, no workload moves, so the change takes effect at once.
  defp moves_away?(workload, count, situation) do
    placed = Map.get(situation.placed, workload, 0)

    workload in situation.known and
      if(situation.version == situation.target, do: count > placed, else: placed == 0)
  end

  defp until(leaving, workload, situation) do
    if situation.frozen?,
      do: situation.now + situation.grace,
      else: Map.get(leaving, workload, situation.now + situation.grace)
  end

  defp taken?(workload, situation) do
    Enum.all?(situation.takers.(workload), fn {member, count} ->
      status = situation.statuses[member]

      if workload in situation.singletons,
        do: Status.ready?(status, situation.target, workload),
        else:
          Status.runs?(status, situation.target, workload) and
            status.workloads[workload].count >= count
    end)
  end

  # A workload whose grace has passed must not begin again while the host still stops it.
  defp with_expired({kept, new}, leaving, situation) do
    expired =
      for {workload, until} <- leaving,
          is_map_key(situation.running, workload),
          not is_map_key(new, workload),
          moves_away?(workload, situation.running[workload], situation),
          into: %{},
          do: {workload, min(until, situation.now)}

    {kept, Map.merge(new, expired)}
  end
end
