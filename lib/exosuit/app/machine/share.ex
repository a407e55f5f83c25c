defmodule Exosuit.App.Machine.Share do
  @moduledoc """
  The share of one application on a host, and the next step towards its target. `step/2` compares the share with the
  record and the placement. It returns the new share and requests, which the machine turns into actions:

  - `{:model, digest}`, `{:objects, version, digests}`: needed before anything is applied
  - `{:apply, version, share}`: the host should run this and nothing else of the application
  - `{:slots, slots}`: take or release a slot
  - `{:fail, version, reason}`: write that the version failed

  ## A step

  First, singletons whose leases have ended leave the share, whatever comes next. Then the first line that holds counts:

  | situation | next |
  |---|---|
  | a newer Exosuit wrote the record | the share stays as it is, without singletons |
  | there is no record, or it is undeployed | the share becomes empty |
  | the version failed, and goes back | `:fail`, if the store can be written |
  | the members are not known yet | nothing |
  | the model is not here | `:model` |
  | placement gives this host nothing | only what is being handed over stays |
  | another version runs here | fetch, take a slot, then `:apply` (see below) |
  | this version runs, or nothing does | fetch what is missing, then `:apply` |

  At its end, a step gives back a slot that this host needs no more.

  ## The life of an update

      runs version 1 ── record says 2 ──► fetches model and objects (1 goes on)
                                               │ all here
                                               ▼
                                          asks for a slot (1 goes on) ── full: waits for a release
                                               │ `:written`, then the slots name this host
                                               ▼
                                          :apply 2, `from: 1`, the deadline begins
                                               │
                        ┌──────────────────────┼─────────────────────────┐
                        ▼ all runs             ▼ refused for good,       ▼ the same, and nothing
                    `ran?`, slot back            or too late               to go back to
                                               :fail, record says 1      the slot is given back

  Objects are fetched before a slot is taken, so that a slow download delays this host alone. The slot is kept until
  all of the new version has run. Therefore a version that does not start reaches `max_unavailable` hosts before it is
  rolled back. A host that runs nothing of the application needs no slot: an update stops nothing there.

  ## Fields

  - `version`, `model`, `share`: the last share that the host was asked to run; `share` is empty if it should run
    nothing
  - `reported`: the last outcome of each workload that the host has reported since
  - `confirmed`: the workloads that have run, in any version, and that the host has not refused since. When such a
    workload moves away, it goes on here, even while it starts again
  - `since`: when the host was asked to run it; `ran?`: whether all of this version ran here at some time
  - `from`: the old version during an update, until all of the new version runs
  - `leaving`: the workloads that go on here although they moved away, see `Exosuit.App.Machine.Handover`
  - `refused`: a version, and its workloads that this host refuses for good
  - `leased`: the singletons of the share, which run only while the host holds their leases
  - `waiting`: a version, and its singletons that only lack a lease, with the reason why the host does not have it
  - `problem`: why the host does not run the version that it should run
  - `busy?`: whether the next step may need only time, without another event

  `refused` and `waiting` name their version, because the share may still be that of an older one.
  """

  alias Exosuit.App.Machine.{Failure, Handover, Options, Slots}
  alias Exosuit.App.{Model, Placement, Record, Status}
  alias Exosuit.Error
  alias Exosuit.Model.Digest

  @typedoc """
  What a host says of a workload. With `final?`, another try with the same code and settings would fail the same way
  (`Exosuit.Retry.final?/1`), and the version fails here.
  """
  @type outcome ::
          :running | {:starting, Error.t() | nil} | {:refused, Error.t(), final? :: boolean()}

  @typedoc "A request of a step to the machine."
  @type request ::
          {:model, Digest.t()}
          | {:objects, pos_integer(), [Digest.t()]}
          | {:apply, pos_integer(), Placement.share()}
          | {:slots, Slots.t()}
          | {:fail, pos_integer(), String.t()}

  @typedoc """
  The machine's facts about the application.

  - `own`: the id of this host; `options`: with the rollout settings of the manifest
  - `frozen?`: whether this host is cut off, or was until just now (`Exosuit.App.Machine.Members`)
  - `known?`: whether the members can be relied on, so that a share can be computed
  - `record`: as `Exosuit.App.Machine.Records.fetch/2` gives it
  - `model`: of the version that should run, `nil` until it is here
  - `placed`: the share that placement gives to this member
  - `takers`: the other members that should run a workload, with their counts
  - `here?`: whether an object is on this host
  - `writable?`: whether the store can be written
  - `error`: why the last fetch of a model or of the objects of a version failed, if it did
  - `writes_slots?`: whether a write of the slots is under way, which may give back this member's slot
  - `held?`: whether this host holds the lease of a singleton; `obstacle`: the reason why it does not
  """
  @type situation :: %{
          own: String.t(),
          now: integer(),
          options: Options.t(),
          frozen?: boolean(),
          known?: boolean(),
          writable?: boolean(),
          record: Record.t() | {:newer, Record.t() | nil} | nil,
          model: Model.t() | nil,
          placed: Placement.share(),
          takers: (String.t() -> [{String.t(), pos_integer()}]),
          here?: (Digest.t() -> boolean()),
          statuses: %{optional(String.t()) => Status.t()},
          slots: Slots.t() | nil,
          writes_slots?: boolean(),
          error: ({:model, Digest.t()} | {:objects, pos_integer()} -> Error.t() | nil),
          member?: (String.t() -> boolean()),
          held?: (String.t() -> boolean()),
          obstacle: (String.t() -> String.t())
        }

  @type t :: %__MODULE__{
          version: pos_integer() | nil,
          model: Digest.t() | nil,
          share: Placement.share(),
          reported: %{optional(String.t()) => outcome()},
          confirmed: MapSet.t(String.t()),
          since: integer() | nil,
          ran?: boolean(),
          from: pos_integer() | nil,
          leaving: Handover.leaving(),
          refused: {Handover.version() | nil, %{optional(String.t()) => String.t()}},
          leased: MapSet.t(String.t()),
          waiting: {Handover.version() | nil, %{optional(String.t()) => String.t()}},
          problem: String.t() | nil,
          busy?: boolean()
        }

  defstruct [
    :version,
    :model,
    :since,
    :from,
    :problem,
    share: %{},
    reported: %{},
    confirmed: MapSet.new(),
    ran?: false,
    leaving: %{},
    refused: {nil, %{}},
    leased: MapSet.new(),
    waiting: {nil, %{}},
    busy?: false
  ]

  @doc """
  The part for the copy on disk, with which a host goes on after a restart. It has no outcomes, because the processes of
  the host may have ended since. It has no `leaving` either: only a workload that is known to run is handed over.
  """
  @spec copy(t()) :: map()
  def copy(share), do: Map.take(share, [:version, :model, :share, :ran?, :from, :leased])

  @doc "A share from a copy, as `copy/1` made it. Nothing is reported of it yet."
  @spec from_copy(map()) :: t()
  def from_copy(copy), do: struct!(__MODULE__, copy)

  @doc """
  Notes the outcome of a share. Ignores the outcome of any share but the current one: the order for
  the current one is on its way, and its outcome follows.
  """
  @spec applied(t(), pos_integer(), Placement.share(), %{optional(String.t()) => outcome()}) ::
          t()
  def applied(%__MODULE__{version: version, share: share} = state, version, share, outcome) do
    reported(state, version, outcome)
  end

  def applied(state, _version, _other, _outcome), do: state

  @doc """
  Notes the present states of workloads of a version. Reports about another version, or about workloads that
  are not in the share, are ignored.
  """
  @spec reported(t(), pos_integer(), %{optional(String.t()) => outcome()}) :: t()
  def reported(%__MODULE__{version: version} = state, version, outcomes) do
    outcomes = Map.take(outcomes, Map.keys(state.share))
    confirmed = Enum.reduce(outcomes, state.confirmed, &confirm/2)
    %{state | reported: Map.merge(state.reported, outcomes), confirmed: confirmed}
  end

  def reported(state, _other, _outcomes), do: state

  @doc "Requests the share again after the host restarted, without the singletons whose leases it lacks."
  @spec restart(t(), integer(), (String.t() -> boolean())) :: {t(), [request()]}
  def restart(%__MODULE__{share: share} = state, _now, _held?) when share == %{}, do: {state, []}

  def restart(state, now, held?) do
    share = Map.drop(state.share, Enum.reject(state.leased, held?))
    {state, _requests} = resize(state, share, %{now: now})

    {%{state | reported: %{}, confirmed: MapSet.new(), since: now},
     [{:apply, state.version, share}]}
  end

  @doc "Whether all of the share runs. True for an empty share."
  @spec running?(t()) :: boolean()
  def running?(state) do
    Enum.all?(state.share, fn {workload, _count} -> state.reported[workload] == :running end)
  end

  @doc """
  The workloads of this version that the host refuses for good, with the reasons. Placement passes this host over for
  them. A new version, or the same one with another model, is tried again.
  """
  @spec refused(t(), Handover.version()) :: %{optional(String.t()) => String.t()}
  def refused(%__MODULE__{refused: {version, refused}}, version), do: refused
  def refused(_state, _other), do: %{}

  @doc """
  The next step. The machine calls it after each event that concerns the application. Without a change of the
  situation, a second call requests nothing but fetches and writes, which `Exosuit.App.Machine.State.request/4` asks for
  once.
  """
  @spec step(t(), situation()) :: {t(), [request()]}
  def step(state, situation) do
    {state, lapsed} = lapse(%{state | problem: nil, waiting: {nil, %{}}}, situation)
    {state, requests} = advance(state, situation)
    {state, released} = release(state, situation)
    {%{state | busy?: busy?(state, situation)}, lapsed ++ requests ++ released}
  end

  # When its lease has ended, a singleton ends at once, before any other step.
  defp lapse(state, situation) do
    resize(state, Map.drop(state.share, Enum.reject(state.leased, situation.held?)), situation)
  end

  defp confirm({workload, :running}, confirmed), do: MapSet.put(confirmed, workload)
  defp confirm({_workload, {:starting, _error}}, confirmed), do: confirmed
  defp confirm({workload, {:refused, _, _}}, confirmed), do: MapSet.delete(confirmed, workload)

  # If the record has a newer schema, the share runs on unchanged, except for singletons: newer hosts wait for their
  # leases.
  defp advance(state, %{record: {:newer, _old}} = situation) do
    state = %{state | problem: "a newer Exosuit wrote the record of the application"}
    resize(state, Map.drop(state.share, MapSet.to_list(state.leased)), situation)
  end

  defp advance(state, %{record: %Record{state: :deployed}} = situation) do
    state = state |> keep_refusals(situation.record) |> evaluate(situation)
    failure = failure(state, situation)

    cond do
      failure != nil and Failure.goes_back?(state, situation) ->
        fail(state, failure, situation)

      not situation.known? ->
        {state, []}

      situation.model == nil ->
        fetch_model(state, Record.current(situation.record).model, situation)

      true ->
        state |> refuse(failure) |> move(situation)
    end
  end

  defp advance(state, situation) do
    resize(%{state | leaving: %{}, refused: {nil, %{}}}, %{}, situation)
  end

  defp keep_refusals(state, record) do
    target = Record.target(record)
    %{state | refused: {target, refused(state, target)}}
  end

  defp evaluate(state, _situation) do
    if state.share != %{} and running?(state),
      do: %{state | ran?: true, from: nil},
      else: state
  end

  # The reasons that keep this version from running here, for good or for too long. Only workloads that placement
  # gives to this member count.
  defp failure(state, situation) do
    if same?(state, situation.record), do: Failure.of(state, situation)
  end

  defp fail(state, {_kind, reasons}, situation) do
    reason = Failure.text(reasons, situation.own)
    requests = if situation.writable?, do: [{:fail, situation.record.version, reason}], else: []
    {%{state | problem: reason}, requests}
  end

  defp refuse(state, {:final, finals}) do
    {version, refused} = state.refused
    %{state | refused: {version, Map.merge(refused, finals)}}
  end

  defp refuse(state, _failure), do: state

  defp same?(state, record), do: {state.version, state.model} == Record.target(record)

  # If no other member can exist, refused workloads stay in the share, so that the status shows why they do not run.
  defp accepted(_state, %{options: %{alone: true}, placed: placed}), do: placed

  defp accepted(state, situation) do
    Map.drop(situation.placed, Map.keys(refused(state, Record.target(situation.record))))
  end

  # Moves towards the placed share, plus the workloads that go on until other members have taken them.
  defp move(state, situation) do
    placed = accepted(state, situation)
    {kept, leaving} = keep(state, placed, situation)
    state = %{state | leaving: leaving}

    cond do
      placed == %{} -> resize(state, kept, situation)
      updates?(state, situation) -> update(state, placed, kept, situation)
      true -> apply_target(state, Map.merge(placed, kept), situation)
    end
  end

  defp keep(state, placed, situation) do
    running = Map.filter(state.share, fn {id, _count} -> id in state.confirmed end)

    if :handover in situation.options.without do
      {%{}, %{}}
    else
      Handover.keep(state.leaving, %{
        running: running,
        version: {state.version, state.model},
        placed: placed,
        target: Record.target(situation.record),
        known: ids(situation.model),
        singletons: singletons(situation.model),
        takers: situation.takers,
        statuses: situation.statuses,
        now: situation.now,
        frozen?: situation.frozen?,
        grace: situation.options.grace
      })
    end
  end

  defp updates?(state, situation) do
    state.share != %{} and not same?(state, situation.record)
  end

  defp update(state, placed, kept, situation) do
    target = Map.merge(placed, kept)
    missing = missing(target, situation)

    cond do
      missing != [] -> fetch(stay(state, target, situation), missing, situation)
      slot?(situation) -> apply_version(state, target, situation)
      true -> state |> stay(target, situation) |> take_slot(situation)
    end
  end

  # Until the host may update, it runs the old version without the workloads that others have taken by now.
  defp stay(state, target, situation) do
    known = ids(situation.model)

    staying =
      Map.filter(state.share, fn {id, _count} -> is_map_key(target, id) or id not in known end)

    resize(state, staying, situation)
  end

  defp take_slot({state, requests}, situation) do
    taken =
      Slots.take(
        situation.slots,
        situation.record.version,
        situation.own,
        situation.member?,
        situation.options.max_unavailable
      )

    case taken do
      {:ok, slots} when situation.writable? -> {waits(state), requests ++ [{:slots, slots}]}
      _full_or_not_writable -> {waits(state), requests}
    end
  end

  defp waits(state) do
    %{state | problem: "waits for its turn: other members are being updated"}
  end

  defp slot?(situation) do
    :slots in situation.options.without or
      (Slots.holds?(situation.slots, situation.own) and not situation.writes_slots?)
  end

  defp apply_target(state, target, situation) do
    case missing(target, situation) do
      [] -> apply_version(state, target, situation)
      missing -> fetch({state, []}, missing, situation)
    end
  end

  defp missing(target, situation) do
    situation.model
    |> Model.objects(Map.keys(target))
    |> Enum.reject(situation.here?)
  end

  defp fetch({state, requests}, missing, situation) do
    version = situation.record.version
    problem = unfetched("the objects", version, situation.error.({:objects, version}))
    {%{state | problem: problem}, requests ++ [{:objects, version, missing}]}
  end

  defp fetch_model(state, digest, situation) do
    error = situation.error.({:model, digest})
    problem = unfetched("the model", situation.record.version, error)
    {%{state | problem: problem}, [{:model, digest}]}
  end

  # A fetch under way without an error is not reported: it is not worth a write of the status.
  defp unfetched(_what, _version, nil), do: nil

  defp unfetched(what, version, error) do
    Status.detail("cannot fetch #{what} of version #{version}: #{Exception.message(error)}")
  end

  # Changes the share within the same version.
  defp resize(%{share: share} = state, share, _now), do: {state, []}

  defp resize(state, share, situation) do
    kept = Map.filter(share, fn {id, count} -> state.share[id] == count end)

    {%{
       state
       | share: share,
         reported: Map.take(state.reported, Map.keys(kept)),
         confirmed: still(state.confirmed, share),
         leased: still(state.leased, share),
         since: situation.now,
         from: if(share != %{}, do: state.from)
     }, [{:apply, state.version, share}]}
  end

  # Singletons run only with their leases. If nothing is left, nothing changes.
  defp apply_version(state, target, situation) do
    singletons = singletons(situation.model)
    without = for id <- singletons, is_map_key(target, id), not situation.held?.(id), do: id
    share = Map.drop(target, without)
    {state, requests} = apply_share(state, share, situation)
    waiting = Map.new(without, &{&1, situation.obstacle.(&1)})

    {%{
       state
       | leased: MapSet.new(Enum.filter(singletons, &is_map_key(share, &1))),
         waiting: {Record.target(situation.record), waiting}
     }, requests}
  end

  defp apply_share(%{share: same} = state, share, _situation) when same == %{} and share == %{},
    do: {state, []}

  defp apply_share(state, share, %{record: record} = situation) do
    if same?(state, record) do
      resize(state, share, situation)
    else
      {%{
         state
         | version: record.version,
           model: Record.current(record).model,
           share: share,
           reported: %{},
           confirmed: still(state.confirmed, share),
           since: situation.now,
           ran?: false,
           from: if(state.share != %{} and share != %{}, do: state.version)
       }, [{:apply, record.version, share}]}
    end
  end

  defp still(ids, share), do: MapSet.filter(ids, &is_map_key(share, &1))

  # A slot is held until the new version runs, or has failed with nothing to go back to.
  defp release(state, situation) do
    holds? = Slots.holds?(situation.slots, situation.own)

    if holds? and situation.writable? and not needs_slot?(state, situation),
      do: {state, [{:slots, Slots.release(situation.slots, situation.own)}]},
      else: {state, []}
  end

  defp needs_slot?(state, %{record: %Record{state: :deployed}} = situation) do
    (updates?(state, situation) and ready?(situation)) or
      (state.from != nil and
         (failure(state, situation) == nil or Failure.goes_back?(state, situation)))
  end

  defp needs_slot?(_state, _situation), do: false

  # A member takes a slot only when it has its objects, so that it does not delay others while it fetches.
  defp ready?(situation) do
    situation.model != nil and missing(situation.placed, situation) == []
  end

  defp busy?(state, situation) do
    state.problem != nil or state.leaving != %{} or not running?(state) or
      MapSet.size(state.leased) > 0 or elem(state.waiting, 1) != %{} or
      Slots.holds?(situation.slots, situation.own)
  end

  defp ids(model), do: Enum.map(Model.workloads(model), & &1.id)
  defp singletons(model), do: for(%{singleton?: true, id: id} <- Model.workloads(model), do: id)
end
