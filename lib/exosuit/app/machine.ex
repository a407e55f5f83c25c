defmodule Exosuit.App.Machine do
  @moduledoc """
  A member of a lattice as a pure state machine: `(state, event) -> {state, actions}`. The machine knows all records
  and all members, computes the share of its host, and returns what to do next. The process around it only receives,
  decides and acts.

  Times are monotonic milliseconds of this host, and come with events. The machine expects a `{:tick, now}` about every
  quarter of a beat.

  ## Events

  | event | |
  |---|---|
  | `{:tick, now}` | time passed |
  | `{:store, :up \\| :down, now}`, `{:bus, :up \\| :down, now}` | what can be reached; both are down at first |
  | `{:record, name, record \\| {:newer, schema, source}, revision}` | what the store holds; `source` is what it holds of a newer schema |
  | `{:record_deleted, name}` | somebody deleted it |
  | `{:records_lost, names}` | the store is another one, and lacks these. For statuses and slots that it lacks, events with `nil` follow |
  | `{:records_current, %{generation: text \\| nil, position: revision}, now}` | all events of the store's content were sent: after `:up`, and after each interruption |
  | `{:generation, text \\| nil}` | the key `generation` changed |
  | `{:status, host_id, app, status \\| nil}` | of all hosts, this one included |
  | `{:slots, app, slots \\| nil, revision}` | revision 0 if there never were any |
  | `{:lease, app, workload, lease \\| nil, revision, now}` | `t:Exosuit.App.Machine.Lease.value/0`; revision 0 if the store lacks it |
  | `{:beat, member, now}` | a member's facts; its own as well, if they change |
  | `{:left, member_id, now}` | a member said that it stops |
  | `{:model, digest, model \\| {:error, error}}` | answer to `:fetch_model` |
  | `{:objects, app, version, digests, :here \\| {:error, error}}` | answer to `:fetch_objects` |
  | `{:applied, app, version, share, outcomes}` | answer to `:apply_share`: per workload `:running`, `{:starting, error \\| nil}` or `{:refused, error, final?}` |
  | `{:health, app, version, outcomes}` | later changes of it |
  | `{:lease_conflict, app, workload, lease \\| nil, revision, now}` | answer to `:write_lease` that was refused: what the store holds instead |
  | `{:host_restarted, now}` | the host lost all that it ran |
  | `{:stopping, now}` | the host stops: it ends its singletons and gives their leases back |
  | `{:written, key, {:ok, revision} \\| :conflict \\| {:error, error}}` | answer to a write, once for each. `key` is `{:record, name}`, `{:status, app}`, `{:slots, app}`, `{:lease, app, workload}` or `:generation`; for the last, `{:ok, generation}` |

  Events of the store come in its order: first its whole content, and after an interruption the changes.

  ## Actions

  | action | |
  |---|---|
  | `{:fetch_model, digest}` | read the model from the store or the cache |
  | `{:fetch_objects, app, version, digests}` | bring these objects to this host |
  | `{:apply_share, app, version, share}` | run this and nothing else of the application; `%{}`: stop it. `model/3` has what to run |
  | `{:write_record, name, record, revision}` | compare-and-set |
  | `{:put_back, name, record \\| {:newer, schema, source}}` | create only |
  | `{:write_status, app, status \\| nil}` | `nil`: delete the key |
  | `{:write_slots, app, slots, revision}` | compare-and-set |
  | `{:write_lease, app, workload, lease, revision}` | compare-and-set; one without a holder only when the singleton has ended here |
  | `{:hold, app, workload, until}` | this host may run the singleton until then, and ends it then by itself; `:infinity`: without end |
  | `{:write_generation, old \\| nil}` | a new generation, if it is still the old one |
  | `:beat` | beat now, as a new member does not know this one yet |
  | `{:keep, copy}` | write the copy to disk; `new/2` starts from it |
  | `{:announce, event}` | an event, as in `Exosuit.Event.Types` |

  ## Rules

  - A host that is cut off goes on with its share, and takes over no share of another host
    (`Exosuit.App.Machine.Members`).
  - A store that is empty, of another generation or behind the copy stops nothing; what it lacks is written again
    (`Exosuit.App.Machine.Records`).
  - A share is applied only when its model and its objects are on this host.
  - A workload that moves away goes on until its new host reports it running (`Exosuit.App.Machine.Handover`).
  - A member updates only while it holds a slot (`Exosuit.App.Machine.Slots`).
  - A singleton runs only where its lease is held (`Exosuit.App.Machine.Lease`).
  - A version that fails brings back the version before (`Exosuit.App.Machine.Share`). If it fails only on a member that ran
    nothing of the application, while others run it, the member refuses its share instead and is passed over.
  """

  alias Exosuit.App.{Model, Placement, Record, Snapshot, Status}
  alias Exosuit.App.Machine.{Events, Leases, Members, Options, Records, Report}
  alias Exosuit.App.Machine.{Share, State, Steps, View}
  alias Exosuit.Model.Digest

  @type event :: tuple()
  @type action :: tuple() | :beat
  @type key ::
          {:record | :status | :slots, String.t()}
          | {:lease, app :: String.t(), workload :: String.t()}
          | :generation

  @typedoc """
  The data that a host keeps on disk, and starts from while the lattice cannot be reached.
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

  @opaque t :: State.t()

  @schema 1

  @doc """
  A member with these facts, and its first actions: with a copy, to run its last share again.

  Options: `:now` (required), `:copy`, and those of `Exosuit.App.Machine.Options`.
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

  @doc "Handles an event. Returns the actions to take."
  @spec handle(t(), event()) :: {t(), [action()]}
  def handle(state, event), do: state |> Events.event(event) |> Steps.settle() |> flush()

  @doc "The members that it knows, by id."
  @spec members(t()) :: [Placement.member()]
  def members(state), do: Members.list(state.members)

  @doc "The record of an application as this host knows it; of a newer schema, the last that it understood."
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

  @doc "The share of each member as this host computes it, and the instances without a place."
  @spec placement(t(), String.t()) ::
          {%{optional(String.t()) => Placement.share()}, map()} | :unknown
  def placement(state, app) do
    case View.app(state, app) do
      nil -> :unknown
      app -> View.shares(state, app)
    end
  end

  @doc "Whether the members are known, so that shares can be computed."
  @spec known?(t()) :: boolean()
  def known?(state), do: state.known?

  @doc "The keys of statuses of hosts that are no members: host and application."
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

  @doc "The applications for which the last event, or `new/2`, may have changed what `snapshot/2` gives."
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

  @doc "The copy for the disk."
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
