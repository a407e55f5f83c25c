defmodule Exosuit.App.Machine.State do
  @moduledoc """
  The state of a member machine, and the small changes that events and steps are made of.

  What this host knows of the lattice:

  - `own`: the id of this host; `now`: the latest time of any event, which never goes back
  - `members`, `candidates`: the members, and the same prepared for placement; `known?`: whether they can be relied on
  - `records`: the records (`Exosuit.App.Machine.Records`)
  - `statuses`: by application, then by host, as the store has them
  - `slots`: by application, with the revision for the next compare-and-set
  - `leases`: by application, then by workload (`Exosuit.App.Machine.Lease`)
  - `current_at`: when the store's content last arrived
  - `untold`: the statuses and slots that this host wrote and that no event of the store has shown since

  What this host has and runs:

  - `shares`: by application (`Exosuit.App.Machine.Share`)
  - `placed`: the share that placement gives to this host. Kept because placement costs most of a step; an application
    is removed from it when its record, its refusals or the members change
  - `models`: by digest. Those that nothing needs are dropped when the next one arrives
  - `objects`: the digests of objects that are on this host, as far as fetches said so
  - `most_objects`: how many `objects` there may be before those that no version names are forgotten
  - `stopping?`: the host stops, and may run no singleton any more

  What is to be done:

  - `dirty`: applications for which something changed, or `:all`
  - `busy`: applications whose next step may need only time
  # time
  - `settled`: applications that the last event concerned
  - `pending`: writes and fetches by key that are `{:sent, value}` or `{:wait, until, app}`; each is requested once
  - `errors`: the reasons of the last failed fetches, by key
  - `unkept?`: the copy on disk is out of date
  - `actions`: the actions of the current event, the last one first

  All maps are by names from the store. They are bounded by what the store holds, and by 4 096 members. Entries of
  applications that are gone are removed, so that the state does not grow with the history of a lattice.
  """

  alias Exosuit.App.{Model, Placement, Record, Status}
  alias Exosuit.App.Machine.{Lease, Members, Options, Records, Share, Slots}
  alias Exosuit.Error
  alias Exosuit.Model.Digest

  @type t :: %__MODULE__{
          own: String.t(),
          options: Options.t(),
          now: integer(),
          members: Members.t(),
          known?: boolean(),
          candidates: Placement.candidates(),
          records: Records.t(),
          shares: %{optional(String.t()) => Share.t()},
          placed: %{optional(String.t()) => Placement.share()},
          models: %{optional(Digest.t()) => Model.t()},
          objects: MapSet.t(Digest.t()),
          most_objects: pos_integer(),
          statuses: %{optional(String.t()) => %{optional(String.t()) => Status.t()}},
          slots: %{optional(String.t()) => {Slots.t() | nil, non_neg_integer()}},
          untold: MapSet.t({:status | :slots, String.t()}),
          leases: %{optional(String.t()) => %{optional(String.t()) => Lease.t()}},
          current_at: integer(),
          stopping?: boolean(),
          pending: %{optional(term()) => {:sent, term()} | {:wait, integer(), String.t() | nil}},
          errors: %{optional(term()) => Error.t()},
          dirty: MapSet.t(String.t()) | :all,
          busy: MapSet.t(String.t()),
          settled: [String.t()],
          unkept?: boolean(),
          actions: [tuple() | :beat]
        }

  @enforce_keys [:own, :options, :now, :current_at, :members, :candidates, :records]
  defstruct [
    :own,
    :options,
    :now,
    :current_at,
    :members,
    :candidates,
    :records,
    known?: false,
    shares: %{},
    placed: %{},
    models: %{},
    objects: MapSet.new(),
    most_objects: 1_024,
    statuses: %{},
    slots: %{},
    untold: MapSet.new(),
    leases: %{},
    stopping?: false,
    pending: %{},
    errors: %{},
    dirty: MapSet.new(),
    busy: MapSet.new(),
    settled: [],
    unkept?: false,
    actions: []
  ]

  @doc "Sets the time. A time before the last one counts as the last one, so that no deadline moves away."
  @spec at(t(), integer()) :: t()
  def at(state, now), do: %{state | now: max(state.now, now)}

  @doc "Adds an action. The machine returns them in the order of these calls."
  @spec act(t(), tuple() | :beat) :: t()
  def act(state, action), do: %{state | actions: [action | state.actions]}

  @doc "Marks an application, or all of them (`nil`), as changed."
  @spec dirty(t(), String.t() | nil) :: t()
  def dirty(%{dirty: :all} = state, _app), do: state
  def dirty(state, nil), do: %{state | dirty: :all}
  def dirty(state, app), do: %{state | dirty: MapSet.put(state.dirty, app)}

  @doc "Marks the copy on disk as out of date. At the end of the event, one action `:keep` follows."
  @spec unkept(t()) :: t()
  def unkept(state), do: %{state | unkept?: true}

  @doc "Forgets the placement of an application, so that it is computed anew."
  @spec unplace(t(), String.t()) :: t()
  def unplace(state, app), do: %{state | placed: Map.delete(state.placed, app)}

  @doc "Takes changed members: all placements are computed anew. Hashes the members once for all applications."
  @spec changed_members(t()) :: t()
  def changed_members(state) do
    candidates = Placement.candidates(Members.list(state.members))
    %{state | candidates: candidates, placed: %{}, dirty: :all, unkept?: true}
  end

  @doc "Marks a record as changed."
  @spec changed_record(t(), String.t()) :: t()
  def changed_record(state, name), do: state |> unplace(name) |> dirty(name) |> unkept()

  @doc "Changes the records."
  @spec update_records(t(), (Records.t() -> Records.t())) :: t()
  def update_records(state, change), do: unkept(%{state | records: change.(state.records)})

  @doc "Changes what this host runs of an application."
  @spec update_share(t(), String.t(), (Share.t() -> Share.t())) :: t()
  def update_share(state, app, change) do
    case state.shares[app] do
      nil -> state
      share -> dirty(%{state | shares: Map.put(state.shares, app, change.(share))}, app)
    end
  end

  @doc """
  Requests a write or a fetch, unless it is under way or waits for a retry. `value` is the written value. It comes back
  with the answer, because the state may have changed by then.
  """
  @spec request(t(), term(), term(), tuple()) :: t()
  def request(state, key, value, action) do
    if is_map_key(state.pending, key),
      do: state,
      else: act(%{state | pending: Map.put(state.pending, key, {:sent, value})}, action)
  end

  @doc """
  Notes that a write or a fetch for this application failed: it is tried again after a pause. The pause is `retry`, but
  a tenth of its length for a lease (1.5 s): its holder needs several tries before it ends.
  """
  @spec wait(t(), term(), String.t() | nil) :: t()
  def wait(state, key, app) do
    until = state.now + pause(state.options, key)
    %{state | pending: Map.put(state.pending, key, {:wait, until, app})}
  end

  # A lease must be renewed before it ends.
  defp pause(options, {:lease, _app, _workload}), do: div(options.lease, 10)
  defp pause(options, _key), do: options.retry

  @doc """
  Ends the pause before the next write of a key, because the key has changed in the store. A write that is under way
  goes on, and gets its conflict.
  """
  @spec answered(t(), term()) :: t()
  def answered(state, key) do
    case state.pending[key] do
      {:wait, _until, _app} -> %{state | pending: Map.delete(state.pending, key)}
      _sent_or_none -> state
    end
  end

  @doc "Forgets the errors of fetches for an application that is gone."
  @spec forget_errors(t(), String.t()) :: t()
  def forget_errors(%{errors: errors} = state, _app) when errors == %{}, do: state

  def forget_errors(state, app) do
    needed = needed_models(state)

    errors =
      Map.filter(state.errors, fn
        {{:objects, name, _version}, _error} -> name != app
        {{:model, digest}, _error} -> digest in needed
      end)

    %{state | errors: errors}
  end

  @doc "The digests of the models that this host needs: of the current version of each record, and of what runs."
  @spec needed_models(t()) :: [Digest.t()]
  def needed_models(state) do
    of_records =
      for {_name, %{record: %Record{} = record}} <- state.records.entries,
          do: Record.current(record).model

    of_shares = for {_app, %{share: share} = it} <- state.shares, share != %{}, do: it.model
    Enum.uniq(of_records ++ of_shares)
  end

  @doc "The digests of the objects that a kept version of any application names. Looks at all versions of all records."
  @spec named_objects(t()) :: MapSet.t(Digest.t())
  def named_objects(state) do
    for {_name, %{record: %Record{versions: versions}}} <- state.records.entries,
        version <- versions,
        digest <- version.objects,
        into: MapSet.new(),
        do: digest
  end
end
