defmodule Exosuit.App.Machine.Leases do
  @moduledoc """
  The leases of all singletons in the state of a member machine: those that this host holds, and their next writes. If
  no other member can exist, there are no leases, and the host may run every singleton. `Exosuit.App.Machine.Lease` has
  the rules for a single lease.

  ## The way to a running singleton

  1. Placement gives the singleton to this host. Its share step finds that the lease is not held, leaves the workload
     out, and notes it under `waiting`.
  2. `write/2` sees a wanted lease that is free, and asks for the write.
  3. The write is accepted (`written/5`). The action `:hold` tells the host until when it may run the singleton, before
     any process of it is started.
  4. The application is dirty, its share step finds the lease held, and orders the workload.
  5. `write/2` renews the lease every fifth of its length. Each accepted renewal is another `:hold`.

  And back: a share that neither runs nor awaits the singleton makes `write/2` give the lease back. The write happens
  only after the singleton has ended on this host (`Exosuit.App.Writes.lease/5`). From the moment of the request, the
  host counts as not holding it.

  Nothing is written while the store's content has not arrived, because the revision may be that of another store.
  """

  import Exosuit.App.Machine.State

  alias Exosuit.App.Machine.{Lease, State}

  @doc "Whether this host may run a singleton now. Never while the host stops."
  @spec held?(State.t(), String.t(), String.t()) :: boolean()
  def held?(%{stopping?: true}, _app, _workload), do: false
  def held?(%{options: %{alone: true}}, _app, _workload), do: true
  def held?(state, app, workload), do: Lease.held?(fetch(state, app, workload), state.now)

  @doc "The holder of each lease of an application in the store; `nil` if it has no holder."
  @spec holders(State.t(), String.t()) :: %{optional(String.t()) => String.t() | nil}
  def holders(state, app) do
    for {id, %{revision: revision, holder: holder}} <- of(state, app),
        revision > 0,
        into: %{},
        do: {id, holder}
  end

  @doc """
  The leases of applications that are gone and that nobody renews, with their revisions. The sweep deletes them by
  compare-and-set, so that a lease which somebody takes at that moment stays.
  """
  @spec unused(State.t()) :: [{String.t(), String.t(), pos_integer()}]
  def unused(state) do
    for {app, leases} <- state.leases,
        not is_map_key(state.records.entries, app),
        {id, %{revision: revision, free_at: free_at}} <- leases,
        revision > 0 and state.now >= free_at,
        do: {app, id, revision}
  end

  @doc """
  Whether this host may run any singleton by a lease, or a write of a lease is under way. A stopping host waits until
  this is false.
  """
  @spec any?(State.t()) :: boolean()
  def any?(state) do
    held? =
      for {_app, leases} <- state.leases,
          {_id, lease} <- leases,
          do: Lease.held?(lease, state.now)

    Enum.any?(held?) or Enum.any?(state.pending, &match?({{:lease, _, _}, {:sent, _}}, &1))
  end

  @doc "The reason why this host does not run a singleton that it should run and is ready to run, on one line."
  @spec obstacle(State.t(), String.t(), String.t()) :: String.t()
  def obstacle(state, app, workload) do
    own = state.own

    case fetch(state, app, workload) do
      _lease when state.records.phase != :current or state.members.connected_at == nil ->
        "cannot take its lease: the lattice cannot be reached"

      %{holder: other} when other not in [nil, own] ->
        "host #{other} has its lease, or had it a short time ago"

      %{length: length} ->
        "waits for its lease, because it may have run on another host in the last #{div(length, 1000)} s"
    end
  end

  @doc "Notes the value of a lease in the store. If the store has none, the value is `nil` and the revision 0."
  @spec changed(State.t(), String.t(), String.t(), Lease.value() | nil, non_neg_integer()) ::
          State.t()
  def changed(state, app, workload, value, revision) do
    update(state, app, workload, &Lease.changed(&1, value, revision, facts(state)))
  end

  @doc "Notes that a write was refused because the store holds this value of a lease."
  @spec conflict(State.t(), String.t(), String.t(), Lease.value() | nil, non_neg_integer()) ::
          State.t()
  def conflict(state, app, workload, value, revision) do
    update(state, app, workload, &Lease.conflict(&1, value, revision, facts(state)))
  end

  @doc """
  Notes that the store's content has arrived. Leases that were seen before do not count any more, and all waits begin
  anew. A lease that this host holds stays held: an accepted write granted it, whichever store took that write.
  """
  @spec current(State.t()) :: State.t()
  def current(state) do
    facts = facts(state)

    leases =
      Map.new(state.leases, fn {app, leases} ->
        {app, Map.new(leases, fn {id, lease} -> {id, Lease.restarted(lease, facts)} end)}
      end)

    %{state | leases: leases, current_at: state.now}
  end

  @doc """
  Notes that a write of this host was accepted. If it names this host, the host may run the singleton for a time, and
  the action `:hold` says so. `sent_at` is when the write was requested.
  """
  @spec written(State.t(), String.t(), String.t(), {Lease.value(), integer()}, pos_integer()) ::
          State.t()
  def written(state, app, workload, {value, sent_at}, revision) do
    state =
      update(state, app, workload, &Lease.written(&1, value, sent_at, revision, facts(state)))

    case fetch(state, app, workload) do
      %{until: nil} -> state
      %{until: until} -> act(state, {:hold, app, workload, until})
    end
  end

  @doc """
  Writes the leases that are due: takes those that the share waits for, renews those of running singletons, and
  gives back the others.
  """
  @spec write(State.t(), String.t()) :: State.t()
  def write(%{options: %{alone: true}} = state, _app), do: state

  def write(state, app) do
    wanted = wanted(state, app)
    ids = Enum.uniq(Map.keys(of(state, app)) ++ MapSet.to_list(wanted))
    state = Enum.reduce(Enum.sort(ids), state, &write(&2, app, &1, &1 in wanted))
    prune(state, app)
  end

  @doc "If no other member can exist, this host may run the singletons of its share without end."
  @spec hold(State.t(), String.t()) :: State.t()
  def hold(%{options: %{alone: true}} = state, app) do
    share = state.shares[app]
    leased = if share, do: Enum.sort(share.leased), else: []
    Enum.reduce(leased, state, &act(&2, {:hold, app, &1, :infinity}))
  end

  def hold(state, _app), do: state

  @doc "Whether the next step for a lease may need only time, without another event."
  @spec busy?(State.t(), String.t()) :: boolean()
  def busy?(state, app) do
    Enum.any?(of(state, app), fn {_id, lease} -> lease.until != nil or lease.revision == 0 end)
  end

  defp write(%{records: %{phase: :current}} = state, app, id, wanted?) do
    lease = fetch(state, app, id)
    key = {:lease, app, id}

    case Lease.due(lease, wanted?, facts(state)) do
      nil ->
        state

      value when not is_map_key(state.pending, key) ->
        action = {:write_lease, app, id, value, lease.revision}
        state = request(state, key, {value, state.now}, action)
        if value.holder == nil, do: update(state, app, id, &%{&1 | until: nil}), else: state

      _under_way ->
        state
    end
  end

  defp write(state, _app, _id, _wanted?), do: state

  defp wanted(%{stopping?: true}, _app), do: MapSet.new()

  defp wanted(state, app) do
    case state.shares[app] do
      nil -> MapSet.new()
      share -> MapSet.union(share.leased, waiting(share.waiting))
    end
  end

  defp waiting({_version, waiting}), do: MapSet.new(Map.keys(waiting))

  # If the store lacks a lease and its time has passed, there is nothing left to remember.
  defp prune(state, app) do
    leases =
      for {id, lease} <- of(state, app),
          lease = expire(lease, state.now),
          lease.until != nil or lease.revision > 0 or state.now < lease.free_at,
          into: %{},
          do: {id, lease}

    put(state, app, leases)
  end

  defp expire(lease, now), do: if(Lease.held?(lease, now), do: lease, else: %{lease | until: nil})

  defp fetch(state, app, id) do
    Map.get_lazy(of(state, app), id, fn -> Lease.unknown(state.current_at, state.options) end)
  end

  defp update(state, app, id, change) do
    put(state, app, Map.put(of(state, app), id, change.(fetch(state, app, id))))
  end

  defp put(state, app, leases) when leases == %{},
    do: %{state | leases: Map.delete(state.leases, app)}

  defp put(state, app, leases), do: %{state | leases: Map.put(state.leases, app, leases)}

  defp of(state, app), do: Map.get(state.leases, app, %{})

  defp facts(state) do
    %{
      own: state.own,
      now: state.now,
      options: state.options,
      live?: state.records.phase == :current
    }
  end
end
