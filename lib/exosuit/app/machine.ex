defmodule Exosuit.App.Machine do
  @moduledoc """
  A member of a lattice as a pure state machine: `(state, event) -> {state, actions}`. The machine knows all
  records and all members, computes the share of its host, and returns the next actions. The process around it
  (`Exosuit.App.Member`) only receives events and carries out actions.

  Times are monotonic milliseconds of this host, and come with events. The machine expects a `{:tick, now}` about every
  quarter of a beat.

  The only member of a lattice finds a store that was never used. It gives the store a generation, and keeps a copy:

      iex> alias Exosuit.App.Machine
      iex> own = %{id: "N1", labels: %{}, features: [], schema: 1}
      iex> {machine, []} = Machine.new(own, now: 0, alone: true)
      iex> {machine, []} = Machine.handle(machine, {:store, :up, 0})
      iex> empty = %{generation: nil, position: 0}
      iex> {_machine, actions} = Machine.handle(machine, {:records_current, empty, 10})
      iex> Enum.map(actions, &elem(&1, 0))
      [:write_generation, :keep]

  ## How it is divided

  Each event passes through four stages. Only the first one looks at the event; the others look at the state alone.
  Therefore a lost, doubled or late event never needs a case of its own: the next step is computed again from what is
  known by then.

      event ──► Events        the state with the fact in it; marks applications as dirty
                  │
                Steps         for each dirty application, in this order:
                  │             1. Records.due     does the store hold the right record?
                  │             2. Share.step      what should this host run next?
                  │             3. Leases.write    which leases are due?
                  │             4. Report.status   does the store hold the right status?
                actions       fetches, writes, orders; a copy for the disk last, if something changed

  | module | holds |
  |---|---|
  | `Exosuit.App.Machine.State` | the state, and the small changes that the others are made of |
  | `Exosuit.App.Machine.Events` | how each event changes the state |
  | `Exosuit.App.Machine.Steps` | the next steps of an application |
  | `Exosuit.App.Machine.Members` | who is a member, and when one is lost |
  | `Exosuit.App.Machine.Records` | this host's copy of the records, and the store's |
  | `Exosuit.App.Machine.Share` | one application on this host: fetch, wait, update, move, go back |
  | `Exosuit.App.Machine.Failure` | when a version failed, and whose fault it is |
  | `Exosuit.App.Machine.Handover` | what goes on here until another member has it |
  | `Exosuit.App.Machine.Slots` | which members update now |
  | `Exosuit.App.Machine.Lease`, `Leases` | which member may run a singleton |
  | `Exosuit.App.Machine.View` | the situation that a share is computed from |
  | `Exosuit.App.Machine.Report` | the status that this host writes |

  A step of one application costs the work for that application alone. An event that concerns all of them (a member
  joins, the store's content arrives) marks all as dirty. Beats are frequent and change nothing as a rule, so that
  everything that depends on time waits for the next tick.

  ## When a host crashes

  With the usual numbers of `Exosuit.App.Machine.Options`, and N1 as the host that crashes:

      0 s     N1 crashes. Calls to its actors fail, or reach other hosts that run the same actors
      6 s     the others have missed three beats. Within a tick of 500 ms they forget N1, place its workloads among
              themselves, fetch what they lack, and start them
      15 s    at the latest, the leases of its singletons are free, and the next host takes them
      1 h     the sweep deletes the statuses that N1 left behind

  If N1 comes back, it orders the share of its copy at once, and beats. For the others it is a new member: they place
  anew, and hand over to it. N1 does not lose the members of its copy before it was connected for six seconds.

  ## When the lattice cannot be reached

      0 s     the store says that it is interrupted. Nothing is written from now on
      3.5 s   the host has not heard its own beats, and counts itself as cut off
      10 s    at the latest, the host ends its singletons: it cannot renew their leases
      …       all else goes on, and the reconciler restarts what crashes. No member counts as lost
      back    the watch goes on. When the store's content is complete, records, statuses and leases are compared with it
      + 6 s   members that have not been heard by now are lost

  Every host of the lattice does the same, on whichever side of the cut it is.

  ## Writes and fetches

  Each write or fetch has a key in `pending`, so that it is under way once at most. It ends by its answer, and the
  answer alone. After a refusal or an error, it waits for a pause (`Exosuit.App.Machine.Options`), or for the event of
  the store that shows what somebody else wrote. A process that acts for the machine must therefore answer each of
  these actions exactly once, with an error if its task crashed.

  ## Events

  | event | |
  |---|---|
  | `{:tick, now}` | time passed |
  | `{:store, :up \\| :down, now}` | whether the store can be reached; down at first |
  | `{:bus, :up \\| :down, now}` | whether the bus can be reached; down at first |
  | `{:record, name, record, revision}` | the record in the store, or `{:newer, schema, source}` |
  | `{:record_deleted, name}` | somebody deleted it |
  | `{:records_lost, names}` | the store was replaced, and lacks these records |
  | `{:records_current, facts, now}` | all events of the store's content were sent |
  | `{:generation, text \\| nil}` | the key `generation` changed |
  | `{:status, host_id, app, status \\| nil}` | the status of a host, which may be this one |
  | `{:slots, app, slots \\| nil, revision}` | revision 0 if there were never any slots |
  | `{:lease, app, workload, lease \\| nil, revision, now}` | the value of a lease; revision 0 if the store lacks it |
  | `{:beat, member, now}` | a member's facts. This host sends its own as well, if they change |
  | `{:left, member_id, now}` | a member said that it stops |
  | `{:model, digest, model \\| {:error, error}}` | answer to `:fetch_model` |
  | `{:objects, app, version, digests, :here \\| {:error, error}}` | answer to `:fetch_objects` |
  | `{:applied, app, version, share, outcomes}` | answer to `:apply_share`, with an outcome for each workload |
  | `{:health, app, version, outcomes}` | later changes of these outcomes |
  | `{:lease_conflict, app, workload, lease, revision, now}` | answer to a refused `:write_lease`, as `:lease` |
  | `{:host_restarted, now}` | the host restarted, and runs nothing now: its shares are ordered again |
  | `{:stopping, now}` | the host stops: it ends its singletons and gives their leases back |
  | `{:written, key, result}` | answer to a write (`t:key/0`), once for each |

  Events of the store come in its order: first its whole content, and after an interruption the changes.

  - `source` of a record of a newer schema is its content, so that it can be put back unchanged.
  - After `:records_lost`, events with `nil` follow for missing statuses, slots and leases.
  - `:records_current` follows `:up`, and each interruption. Its facts are `generation`, a text or `nil`, and
    `position`, the last revision.
  - `t:Exosuit.App.Machine.Lease.value/0` is the value of a lease, `t:Exosuit.App.Machine.Share.outcome/0` an outcome.
  - The result of a write is `{:ok, revision}`, for the generation `{:ok, generation}`, or `:conflict`, or
    `{:error, error}`.

  ## Actions

  | action | |
  |---|---|
  | `{:fetch_model, digest}` | read the model from the store or the cache |
  | `{:fetch_objects, app, version, digests}` | bring these objects to this host |
  | `{:apply_share, app, version, share}` | run this share and nothing else of the application; `%{}`: stop it |
  | `{:write_record, name, record \\| {:newer, schema, source}, revision}` | compare-and-set |
  | `{:put_back, name, record \\| {:newer, schema, source}, position}` | create only, unless deleted after the position |
  | `{:write_status, app, status \\| nil}` | `nil`: delete the key |
  | `{:write_slots, app, slots, revision}` | compare-and-set |
  | `{:write_lease, app, workload, lease, revision}` | compare-and-set, see below |
  | `{:hold, app, workload, until}` | this host may run the singleton until this time; `:infinity`: without end |
  | `{:write_generation, old \\| nil}` | write a new generation, if the store still has the old one |
  | `:beat` | send a beat now, because a new member does not know this one yet |
  | `{:keep, copy}` | write the copy to disk; `new/2` starts from it |
  | `{:announce, event}` | an event, as in `Exosuit.Event.Types` |

  - `model/3` has the workloads of an ordered share.
  - A lease without a holder is written only when the singleton has ended here.
  - A host ends a held singleton by itself when its time is over, whether or not the machine still runs.

  ## Rules

  - A host that is cut off goes on with its share, and takes over no share of another host
    (`Exosuit.App.Machine.Members`).
  - If a store is empty, of another generation or behind the copy, nothing stops. Missing records are written
    again (`Exosuit.App.Machine.Records`).
  - A share is applied only when its model and its objects are on this host.
  - A workload that moves away goes on here until its new host reports it running
    (`Exosuit.App.Machine.Handover`).
  - A member updates only while it holds a slot (`Exosuit.App.Machine.Slots`).
  - A singleton runs only where its lease is held (`Exosuit.App.Machine.Lease`).
  - If a version fails, the version before it is deployed again (`Exosuit.App.Machine.Share`). If it fails only
    on a member that ran nothing of the application, while others run it, that member refuses its share, and
    placement passes it over.
  """

  alias Exosuit.App.{Model, Placement, Record, Snapshot, Status}
  alias Exosuit.App.Machine.{Events, Leases, Members, Options, Records, Report}
  alias Exosuit.App.Machine.{Share, State, Steps, View}
  alias Exosuit.Model.Digest

  @typedoc "One of the events above."
  @type event :: tuple()

  @typedoc "One of the actions above."
  @type action :: tuple() | :beat

  @typedoc "The key of a write, as `{:written, key, result}` has it."
  @type key ::
          {:record | :status | :slots, String.t()}
          | {:lease, app :: String.t(), workload :: String.t()}
          | :generation

  @typedoc """
  The data that a host keeps on disk, and starts from while the lattice cannot be reached.

  - `records`: all records by name; one of a newer schema as the store holds it
  - `models`: the models of the versions that should run, and of the shares that run
  - `members`: the members that were known last, this host among them
  - `shares`: what runs here, by application (`Exosuit.App.Machine.Share.copy/1`)
  - `generation`, `position`: of the store that the records come from. They tell whether a record that a later store
    lacks was deleted or lost
  """
  @type copy :: %{
          schema: pos_integer(),
          records: %{optional(String.t()) => Record.t() | Records.newer()},
          models: %{optional(Digest.t()) => Model.t()},
          members: [Placement.member()],
          shares: %{optional(String.t()) => map()},
          generation: String.t() | nil,
          position: non_neg_integer()
        }

  @typedoc "The whole state of a member. It is a term without processes, so that a test can keep and compare it."
  @opaque t :: State.t()

  @schema 1

  @doc """
  Returns a member with these facts, and its first actions. With a copy, the actions run its last share again.

  Options: `:now` (required), `:copy`, and those of `Exosuit.App.Machine.Options`. Without a copy, the machine computes
  no share until it has heard the other members for the time of one beat. Otherwise a host that starts would take
  itself for the only one, and start everything.
  """
  @spec new(Placement.member(), keyword()) :: {t(), [action()]}
  def new(own, options) do
    {now, options} = Keyword.pop!(options, :now)
    {copy, options} = Keyword.pop(options, :copy)
    options = struct!(Options, options)
    members = Members.new(own, copy && copy.members, options)

    state = %State{
      own: own.id,
      options: options,
      now: now,
      current_at: now,
      members: members,
      known?: Members.known?(members, now),
      candidates: Placement.candidates(Members.list(members)),
      records: Records.new(%{}, %{generation: nil, position: 0})
    }

    state |> restore(copy) |> Steps.restart() |> Steps.settle() |> flush()
  end

  @doc """
  Handles an event. Returns the actions to take, in the order in which they are to be started. Ignores answers to
  writes that it did not ask for, and raises for an event that it does not know.
  """
  @spec handle(t(), event()) :: {t(), [action()]}
  def handle(state, event), do: state |> Events.event(event) |> Steps.settle() |> flush()

  @doc "The members that it knows, by id."
  @spec members(t()) :: [Placement.member()]
  def members(state), do: Members.list(state.members)

  @doc "The record of an application; if it has a newer schema, the last record that this host understood."
  @spec record(t(), String.t()) :: Record.t() | nil
  def record(state, app) do
    case Records.fetch(state.records, app) do
      {:newer, record} -> record
      record -> record
    end
  end

  @doc "Whether a newer version of Exosuit wrote any of the records."
  @spec newer?(t()) :: boolean()
  def newer?(state), do: Enum.any?(apps(state), &Records.newer?(state.records, &1))

  @doc "The names of all applications that this host knows."
  @spec apps(t()) :: [String.t()]
  def apps(state), do: state.records.entries |> Map.keys() |> Enum.sort()

  @doc "The model of a version that this host runs or should run; `nil` if it is not here."
  @spec model(t(), String.t(), pos_integer()) :: Model.t() | nil
  def model(state, app, version) do
    case {state.shares[app], record(state, app)} do
      {%{version: ^version, model: digest}, _record} -> state.models[digest]
      {_share, nil} -> nil
      {_share, record} -> state.models[(Record.fetch(record, version) || %{model: nil}).model]
    end
  end

  @doc "The version and the share of an application that the last `:apply_share` asked for."
  @spec share(t(), String.t()) :: {pos_integer() | nil, Placement.share()}
  def share(state, app) do
    share = state.shares[app] || %Share{}
    {share.version, share.share}
  end

  @doc """
  The share of each member as this host computes it, and the instances without a place. `:unknown` while the model of
  the version is not on this host, or the record is of a newer schema.
  """
  @spec placement(t(), String.t()) ::
          {%{optional(String.t()) => Placement.share()}, map()} | :unknown
  def placement(state, app) do
    case View.app(state, app) do
      nil -> :unknown
      app -> View.shares(state, app)
    end
  end

  @doc "Whether this host knows the members, so that it can compute shares."
  @spec known?(t()) :: boolean()
  def known?(state), do: state.known?

  @doc """
  The keys (host and application) of statuses whose hosts are not members any more. While this host is cut off, no
  member is counted as lost, so that the list does not grow by an outage.
  """
  @spec lost_statuses(t()) :: [{String.t(), String.t()}]
  def lost_statuses(state) do
    members = MapSet.new(members(state), & &1.id)

    for {app, statuses} <- state.statuses,
        {host, _status} <- statuses,
        host not in members,
        do: {host, app}
  end

  @doc "The leases of applications that are gone: application, workload and revision."
  @spec unused_leases(t()) :: [{String.t(), String.t(), pos_integer()}]
  defdelegate unused_leases(state), to: Leases, as: :unused

  @doc "Whether this host may still run a singleton, or has asked for a write of a lease."
  @spec holds_leases?(t()) :: boolean()
  defdelegate holds_leases?(state), to: Leases, as: :any?

  @doc "The statuses of an application by member id. That of this host is computed anew."
  @spec statuses(t(), String.t()) :: %{optional(String.t()) => Status.t()}
  def statuses(state, app) do
    others =
      Map.filter(View.statuses(state, app), fn {id, _status} ->
        id != state.own and Members.member?(state.members, id)
      end)

    case state.shares[app] && Report.status(state.shares[app]) do
      nil -> others
      status -> Map.put(others, state.own, status)
    end
  end

  @doc """
  The applications for which the last event, or `new/2`, may have changed what `snapshot/2` gives. The process compares
  the snapshots of these alone (`Exosuit.App.Shown`).
  """
  @spec changed(t()) :: [String.t()]
  def changed(state), do: state.settled

  @doc """
  The snapshot of an application, or `nil` if this member neither knows a record of it nor runs it.
  """
  @spec snapshot(t(), String.t()) :: Snapshot.t() | nil
  def snapshot(state, app) do
    if is_map_key(state.records.entries, app) or is_map_key(state.shares, app) do
      {placed, refusals} = View.placeable(state, app)

      %Snapshot{
        record: record(state, app),
        newer?: Records.newer?(state.records, app),
        placed: placed,
        refusals: refusals,
        statuses: statuses(state, app),
        holders: holders(state, app),
        told: share(state, app)
      }
    end
  end

  defp holders(state, app) do
    share = state.shares[app] || %Share{}
    Map.merge(Leases.holders(state, app), Map.new(share.leased, &{&1, state.own}))
  end

  @doc "The members, as placement takes them."
  @spec candidates(t()) :: Placement.candidates()
  def candidates(state), do: state.candidates

  @doc "The copy for the disk. Shares that run nothing are left out, and so are models that nothing needs."
  @spec copy(t()) :: copy()
  def copy(state) do
    running = Map.filter(state.shares, fn {_app, share} -> share.share != %{} end)

    %{
      schema: @schema,
      records: Records.copy(state.records),
      models: Map.take(state.models, State.needed_models(state)),
      members: Members.list(state.members),
      shares: Map.new(running, fn {app, share} -> {app, Share.copy(share)} end),
      generation: state.records.generation,
      position: state.records.position
    }
  end

  defp restore(state, nil), do: state

  defp restore(state, %{schema: @schema} = copy) do
    %{
      state
      | records: Records.new(copy.records, copy),
        models: copy.models,
        shares: Map.new(copy.shares, fn {app, share} -> {app, Share.from_copy(share)} end),
        dirty: :all
    }
  end

  defp flush(%{unkept?: true} = state) do
    {%{state | actions: [], unkept?: false}, Enum.reverse([{:keep, copy(state)} | state.actions])}
  end

  defp flush(state), do: {%{state | actions: []}, Enum.reverse(state.actions)}
end
