defmodule Exosuit.App.Machine.Events do
  @moduledoc """
  How each event changes the state of a member machine. `Exosuit.App.Machine.Steps` decides what to do about it.

  An event changes facts, and marks the applications that it concerns as dirty. It decides nothing. Exceptions are
  actions that need no decision: a beat for a new member, an event for people, and a new generation for a store that
  has none or is behind.

  ## Which events mean what

  | event | facts that change | dirty |
  |---|---|---|
  | `:tick`, `:bus`, `:store` | time, connections, lost members, pauses that are over | busy applications, or all |
  | `:beat` | a member | all, if it is new or has other facts |
  | `:left` | the member is marked; the next tick removes it | none yet |
  | `:record`, `:record_deleted` | one record | that application |
  | `:records_lost`, `:records_current` | which records the store holds | the lost ones; all |
  | `:status`, `:slots`, `:lease` | one key of the store | that application |
  | `:model`, `:objects` | what is on this host, or why it is not | the applications that use it |
  | `:applied`, `:health` | what runs here | that application |
  | `:written` | what the store holds | that application |

  ## Three orders of arrival

  What makes this module hard is that a write has two echoes, the answer of the store and the event of the watch, and
  that either may come first, or the second never.

  1. *Answer, then event*: the answer counts at once. The event repeats it, and its revision is not newer.
  2. *Event, then answer*: a later event of another host may already have come. So an answer never replaces a fact of a
     higher revision.
  3. *Answer, no event*: the store was replaced by one that lacks the write. Events name only keys that an earlier
     content had, so that nothing says this. `untold` has the writes that no event has shown, and when the whole content
     arrives, those that are still in it count as lost.
  """

  import Exosuit.App.Machine.State

  alias Exosuit.App.Machine.{Leases, Members, Records, Share, State, Steps}
  alias Exosuit.App.{Model, Record}
  alias Exosuit.Event

  # Below this number of objects, none is forgotten.
  @objects 1_024

  @doc """
  Takes an event, as `Exosuit.App.Machine` lists them. An event of a lease has its time as the last element, as the
  member adds it. The answer to a write that is not under way is ignored.
  """
  @spec event(State.t(), tuple()) :: State.t()
  def event(state, {:tick, now}), do: state |> at(now) |> remember()

  # Beats are frequent, so everything that depends on time waits for the next tick.
  def event(state, {:beat, member, now}) do
    state = at(state, now)
    {news, members} = Members.beat(state.members, member, now)
    state = %{state | members: members}

    case news do
      :same -> state
      :full -> state
      :changed -> changed_members(state)
      :new -> state |> act(:beat) |> changed_members()
    end
  end

  def event(state, {:left, id, now}) do
    at(%{state | members: Members.left(state.members, id)}, now)
  end

  def event(state, {:bus, link, now}) do
    state = at(state, now)
    remember(%{state | members: Members.link(state.members, :bus, link, now)})
  end

  # The store counts as up once its whole content has arrived.
  def event(state, {:store, link, now}) do
    state = at(state, now)
    members = Members.link(state.members, :store, :down, now)
    remember(%{state | members: members, records: Records.link(state.records, link)})
  end

  def event(state, {:record, name, record, revision}) do
    state
    |> update_records(&Records.put(&1, name, record, revision))
    |> answered({:record, name})
    |> changed_record(name)
  end

  def event(state, {:record_deleted, name}) do
    state
    |> update_records(&Records.delete(&1, name))
    |> answered({:record, name})
    |> changed_record(name)
  end

  def event(state, {:records_lost, names}) do
    {names, records} = Records.lose(state.records, names)
    state = unkept(%{state | records: records})
    Enum.reduce(names, announce_lost(state, names), &changed_record(&2, &1))
  end

  def event(state, {:records_current, facts, now}) do
    check? = :generation not in state.options.without
    {kind, deleted, lost, records} = Records.current(state.records, facts, check?)
    state = at(%{state | records: records, unkept?: true}, now)
    members = Members.link(state.members, :store, :up, now)

    state
    |> announce_lost(lost)
    |> forget_untold()
    |> replace_generation(kind, facts.generation)
    |> Map.merge(%{members: members, dirty: :all, placed: Map.drop(state.placed, deleted)})
    |> Leases.current()
    |> remember()
  end

  def event(state, {:generation, generation}) do
    lacks? = generation == nil and state.records.phase == :current

    state
    |> update_records(&Records.generation(&1, generation))
    |> answered(:generation)
    |> replace_generation(if(lacks?, do: :empty, else: :expected), generation)
  end

  def event(state, {:status, host, app, status}) do
    before = get_in(state.statuses, [app, host])
    state = if host == state.own, do: told(state, {:status, app}), else: state
    statuses = Map.get(state.statuses, app, %{})
    statuses = if status, do: Map.put(statuses, host, status), else: Map.delete(statuses, host)
    state = %{state | statuses: put_some(state.statuses, app, statuses)}
    state = if refused(before) == refused(status), do: state, else: unplace(state, app)
    state |> answered({:status, if(host == state.own, do: app)}) |> dirty(app)
  end

  # Slots older than this host's own write are ignored.
  def event(state, {:slots, app, slots, revision}) do
    {_slots, known} = Map.get(state.slots, app, {nil, 0})

    if state.records.phase == :current and revision in 1..(known - 1)//1 do
      state
    else
      %{state | slots: Map.put(state.slots, app, {slots, revision})}
      |> told({:slots, app})
      |> answered({:slots, app})
      |> dirty(app)
    end
  end

  def event(state, {:lease, app, workload, value, revision, now}) do
    state
    |> at(now)
    |> Leases.changed(app, workload, value, revision)
    |> answered({:lease, app, workload})
    |> dirty(app)
  end

  def event(state, {:lease_conflict, app, workload, value, revision, now}) do
    key = {:lease, app, workload}

    %{at(state, now) | pending: Map.delete(state.pending, key)}
    |> Leases.conflict(app, workload, value, revision)
    |> wait(key, app)
    |> dirty(app)
  end

  def event(state, {:model, digest, {:error, error}}) do
    state
    |> failed({:model, digest}, error)
    |> wait({:model, digest}, nil)
    |> dirty_users(digest)
  end

  def event(state, {:model, digest, %Model{} = model}) do
    models = Map.take(state.models, needed_models(state))
    state = %{state | models: Map.put(models, digest, model), unkept?: true}
    state |> fetched({:model, digest}) |> dirty_users(digest)
  end

  def event(state, {:objects, app, version, digests, :here}) do
    state
    |> arrived(digests)
    |> fetched({:objects, app, version})
    |> dirty(app)
  end

  def event(state, {:objects, app, version, _digests, {:error, error}}) do
    state
    |> failed({:objects, app, version}, error)
    |> wait({:objects, app, version}, app)
    |> dirty(app)
  end

  def event(state, {:applied, app, version, share, outcomes}) do
    update_share(state, app, &Share.applied(&1, version, share, outcomes))
  end

  def event(state, {:health, app, version, outcomes}) do
    update_share(state, app, &Share.reported(&1, version, outcomes))
  end

  def event(state, {:stopping, now}), do: %{at(state, now) | stopping?: true, dirty: :all}

  def event(state, {:host_restarted, now}), do: state |> at(now) |> Steps.restart()

  def event(state, {:written, key, result}) do
    case Map.pop(state.pending, key) do
      {{:sent, value}, pending} -> written(%{state | pending: pending}, key, value, result)
      {_not_sent, _pending} -> state
    end
  end

  # Marks only the applications that need this model: to look at all applications for each model would take too
  # long.
  defp dirty_users(state, digest) do
    records =
      for {name, %{record: %Record{} = record}} <- state.records.entries,
          Record.current(record).model == digest,
          do: name

    shares = for {name, %{model: ^digest}} <- state.shares, do: name
    Enum.reduce(records ++ shares, state, &dirty(&2, &1))
  end

  # Objects that no version names any more are forgotten when the set has doubled since the last time: a look at all
  # versions for each object would take too long.
  defp arrived(state, digests) do
    objects = Enum.into(digests, state.objects)

    if MapSet.size(objects) <= state.most_objects do
      %{state | objects: objects}
    else
      kept = MapSet.intersection(objects, Enum.into(digests, named_objects(state)))
      %{state | objects: kept, most_objects: max(@objects, 2 * MapSet.size(kept))}
    end
  end

  # An application that is gone leaves no entry behind.
  defp put_some(map, key, none) when none == %{}, do: Map.delete(map, key)
  defp put_some(map, key, some), do: Map.put(map, key, some)

  defp failed(state, key, error), do: %{state | errors: Map.put(state.errors, key, error)}

  defp fetched(state, key) do
    %{state | pending: Map.delete(state.pending, key), errors: Map.delete(state.errors, key)}
  end

  defp written(state, {:record, name}, record, {:ok, revision}) do
    state
    |> update_records(&Records.written(&1, name, record, revision))
    |> changed_record(name)
  end

  defp written(state, {:slots, app} = key, slots, {:ok, revision}) do
    state |> event({:slots, app, slots, revision}) |> untold(key, state) |> dirty(app)
  end

  defp written(state, {:lease, app, workload}, sent, {:ok, revision}) do
    state |> Leases.written(app, workload, sent, revision) |> dirty(app)
  end

  defp written(state, {:status, app} = key, status, {:ok, _revision}) do
    state |> event({:status, state.own, app, status}) |> untold(key, state)
  end

  defp written(state, :generation, _old, {:ok, generation}) do
    update_records(state, &Records.generation(&1, generation))
  end

  # After a conflict, an event with the other writer's value follows. A pause keeps the next write from racing with
  # it.
  defp written(state, key, _value, _conflict_or_error), do: wait(state, key, app_of_key(key))

  # This host knows the result of its own write only by the answer, until an event of the store shows it.
  defp untold(state, key, before) do
    if known(state, key) == known(before, key),
      do: %{state | untold: before.untold},
      else: %{state | untold: MapSet.put(state.untold, key)}
  end

  defp told(state, key), do: %{state | untold: MapSet.delete(state.untold, key)}

  defp known(state, {:status, app}), do: get_in(state.statuses, [app, state.own])
  defp known(state, {:slots, app}), do: state.slots[app]

  # The whole content of the store has arrived. If it lacks a write of this host, the write went to a former
  # store, and is lost. No event says so, because events name only keys that were in an earlier content.
  defp forget_untold(state) do
    Enum.reduce(state.untold, %{state | untold: MapSet.new()}, fn
      {:status, app}, state -> event(state, {:status, state.own, app, nil})
      {:slots, app}, state -> %{state | slots: Map.delete(state.slots, app)}
    end)
  end

  defp app_of_key({_kind, app}), do: app
  defp app_of_key({:lease, app, _workload}), do: app
  defp app_of_key(:generation), do: nil

  defp remember(state) do
    {over, pending} =
      Enum.split_with(state.pending, fn {_key, it} ->
        match?({:wait, _, _}, it) and over?(it, state)
      end)

    members = Members.prune(state.members, state.now)
    known? = state.known? or Members.known?(members, state.now)
    changed? = members.others |> map_size() != map_size(state.members.others)
    state = %{state | members: members, pending: Map.new(pending)}

    state =
      Enum.reduce(over, state, fn {_key, {:wait, _until, app}}, state -> dirty(state, app) end)

    state = if changed?, do: changed_members(state), else: state
    state = if known? != state.known?, do: %{state | known?: known?, dirty: :all}, else: state
    Enum.reduce(state.busy, state, &dirty(&2, &1))
  end

  defp over?({:wait, until, _app}, state), do: until <= state.now

  defp announce_lost(state, []), do: state

  defp announce_lost(state, names) do
    act(state, {:announce, %Event.ApplicationsPutBack{apps: Enum.sort(names)}})
  end

  defp replace_generation(state, :expected, _generation), do: state

  defp replace_generation(state, _empty_or_behind, generation) do
    request(state, :generation, generation, {:write_generation, generation})
  end

  defp refused(nil), do: nil

  defp refused(status),
    do: if(status.refused != %{}, do: {status.version, status.model, status.refused})
end
