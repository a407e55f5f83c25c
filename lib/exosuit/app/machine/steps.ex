defmodule Exosuit.App.Machine.Steps do
  @moduledoc """
  The next steps of each changed application: the record that the store should hold, the share that the host should
  run, the leases that it needs, and the status that reports the share. Each step depends on the state alone, not on
  the event that led to it.

  The order within an application matters:

  1. *The record.* If the store lost it, it is put back, before anything is derived from a store that lacks it.
  2. *The share.* `Exosuit.App.Machine.Share.step/2` compares what runs with what should run, and returns requests.
  3. *The leases.* The share says which singletons it runs or waits for. A lease of any other is given back.
  4. *The status.* It is computed from the share as it is after its step, so that it never lags behind an order.

  A step that requests something is not repeated for it: the answer is an event, which marks the application as dirty
  again. `busy` names the applications whose next step may need nothing but time: a grace, a deadline, a lease. Only
  these are looked at by each tick.

  An application that has neither a record nor a share is removed with its errors. If this host refuses a workload for
  the first time, the placement of the application is computed anew: the workload moves to another member.
  """

  import Exosuit.App.Machine.State

  alias Exosuit.App.Machine.{Leases, Records, Report, Share, State, View}
  alias Exosuit.App.Record
  alias Exosuit.Event

  @doc """
  Takes the next steps of all dirty applications, in the order of their names. The order is fixed so that a simulation
  repeats by its seed. Afterwards none is dirty, and `settled` names those that were.
  """
  @spec settle(State.t()) :: State.t()
  def settle(state) do
    apps = if state.dirty == :all, do: all_apps(state), else: Enum.sort(state.dirty)
    Enum.reduce(apps, %{state | dirty: MapSet.new(), settled: apps}, &settle_app/2)
  end

  @doc """
  Requests all shares again, after the host restarted, or the member has just started from its copy.
  Singletons whose leases this host does not hold are left out. A member that has just started holds none, unless no
  other member can exist.
  """
  @spec restart(State.t()) :: State.t()
  def restart(state) do
    Enum.reduce(Enum.sort(Map.keys(state.shares)), state, fn app, state ->
      held? = &Leases.held?(state, app, &1)
      {share, requests} = Share.restart(state.shares[app], state.now, held?)
      requested(%{state | shares: Map.put(state.shares, app, share)}, app, requests)
    end)
  end

  defp all_apps(state) do
    parts = [state.records.entries, state.shares, state.leases]
    (Enum.flat_map(parts, &Map.keys/1) ++ own_statuses(state)) |> Enum.uniq() |> Enum.sort()
  end

  # Includes applications that are gone.
  defp own_statuses(state) do
    for {app, statuses} <- state.statuses, is_map_key(statuses, state.own), do: app
  end

  defp settle_app(app, state) do
    state |> write_record(app) |> step(app) |> Leases.write(app) |> write_status(app) |> busy(app)
  end

  defp busy(state, app) do
    busy? = match?(%{busy?: true}, state.shares[app]) or Leases.busy?(state, app)
    change = if busy?, do: &MapSet.put/2, else: &MapSet.delete/2
    %{state | busy: change.(state.busy, app)}
  end

  defp write_record(state, name) do
    case Records.due(state.records, name) do
      nil ->
        state

      {:put_back, record, position} ->
        request(state, {:record, name}, record, {:put_back, name, record, position})

      {:write, record, revision} ->
        request(state, {:record, name}, record, {:write_record, name, record, revision})
    end
  end

  defp step(state, name) do
    record = Records.fetch(state.records, name)
    share = state.shares[name] || %Share{}
    {state, app} = placed_app(state, name, record)
    {next, requests} = Share.step(share, View.situation(state, name, record, app))
    gone? = record == nil and next.share == %{}
    shares = if gone?, do: Map.delete(state.shares, name), else: Map.put(state.shares, name, next)
    refused? = next.refused != share.refused
    state = requested(%{state | shares: shares}, name, requests)
    state = if gone?, do: forget_errors(state, name), else: state
    # Workloads that this host has just refused move to other hosts.
    if refused?, do: unplace(state, name), else: state
  end

  defp placed_app(state, name, %Record{state: :deployed}) do
    case View.app(state, name) do
      nil -> {state, nil}
      app -> {View.place(state, app), app}
    end
  end

  defp placed_app(state, _name, _record), do: {state, nil}

  defp requested(state, app, requests),
    do: Enum.reduce(requests, state, &requested_one(&2, app, &1))

  defp requested_one(state, _app, {:model, digest}) do
    request(state, {:model, digest}, nil, {:fetch_model, digest})
  end

  defp requested_one(state, app, {:objects, version, digests}) do
    request(state, {:objects, app, version}, nil, {:fetch_objects, app, version, digests})
  end

  defp requested_one(state, app, {:apply, version, share}) do
    state |> unkept() |> Leases.hold(app) |> act({:apply_share, app, version, share})
  end

  defp requested_one(state, app, {:slots, slots}) do
    {_slots, revision} = Map.get(state.slots, app, {nil, 0})
    request(state, {:slots, app}, slots, {:write_slots, app, slots, revision})
  end

  defp requested_one(state, app, {:fail, version, reason}) do
    %{record: record, revision: revision} = state.records.entries[app]

    with false <- is_map_key(state.pending, {:record, app}),
         {:ok, failed} <- Record.fail(record, version, reason) do
      state
      |> request({:record, app}, failed, {:write_record, app, failed, revision})
      |> act({:announce, %Event.ApplicationFailed{app: app, version: version, reason: reason}})
    else
      _pending_or_over -> state
    end
  end

  # Writes the status if it differs from the status in the store.

  defp write_status(%{records: %{phase: :current}} = state, app) do
    status = status(state.shares[app])

    if status == get_in(state.statuses, [app, state.own]),
      do: state,
      else: request(state, {:status, app}, status, {:write_status, app, status})
  end

  defp write_status(state, _app), do: state

  defp status(nil), do: nil
  defp status(share), do: Report.status(share)
end
