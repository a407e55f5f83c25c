defmodule Exosuit.App.Machine.View do
  @moduledoc """
  Computes where one application should run, from members, records and statuses. Also gives the situation on which the
  next step of this host's share depends.

  The machine's state holds facts of the whole lattice. `Exosuit.App.Machine.Share` needs those of one application, and
  should not know how they are kept. `situation/4` is the border between the two. Facts that cost work are functions in
  it, so that a step pays only for those it asks for: `takers` places a workload anew for all members.

  A refusal is a fact of placement. Each member takes its own refusals from its share and those of the others from their
  statuses, for the same version and model. Two members may see a status at different moments, and place differently
  until both have it. Hand-over and leases are made for that.
  """

  alias Exosuit.App.{Model, Placement, Record, Status}
  alias Exosuit.App.Machine.{Leases, Members, Records, Share, State}

  @typedoc "An application for placement, with its target version (`Exosuit.App.Record.target/1`) and its model."
  @type app :: %{
          name: String.t(),
          schema: pos_integer(),
          version: {pos_integer(), String.t()},
          workloads: [Exosuit.Model.Workload.t()],
          model: Model.t()
        }

  @doc """
  The application that its record describes. `nil` while its model is not here, without a record, and for a record of a
  newer schema. An undeployed application is given as well.
  """
  @spec app(State.t(), String.t()) :: app() | nil
  def app(state, name) do
    with %Record{} = record <- Records.fetch(state.records, name),
         %Model{} = model <- state.models[Record.current(record).model] do
      %{
        name: name,
        schema: record.schema,
        version: {record.version, Record.current(record).model},
        workloads: Model.workloads(model),
        model: model
      }
    else
      _unknown -> nil
    end
  end

  @doc "The application as an argument of placement, with its refusals; `nil` while its model is not here."
  @spec placeable(State.t(), String.t()) :: {Placement.app() | nil, map()}
  def placeable(state, name) do
    case app(state, name) do
      nil -> {nil, %{}}
      app -> {Map.take(app, [:name, :schema, :workloads]), refusals(state, app)}
    end
  end

  @doc "The shares of all members, and the instances without a place. Not kept, unlike the share of this member."
  @spec shares(State.t(), app()) :: {%{optional(String.t()) => Placement.share()}, map()}
  def shares(state, app), do: Placement.place(app, state.candidates, refusals(state, app))

  @doc """
  Computes the share of this member, unless it is known. `Exosuit.App.Machine.State.unplace/2` forgets it when the
  record or the refusals change.
  """
  @spec place(State.t(), app()) :: State.t()
  def place(state, app) when is_map_key(state.placed, app.name), do: state

  def place(state, app) do
    share = Placement.share_of(app, state.candidates, refusals(state, app), state.own)
    %{state | placed: Map.put(state.placed, app.name, share)}
  end

  @doc "The statuses of an application by host id."
  @spec statuses(State.t(), String.t()) :: %{optional(String.t()) => Status.t()}
  def statuses(state, app), do: Map.get(state.statuses, app, %{})

  @doc "The situation for the next step. `app` is the result of `app/2`, `nil` unless the application is deployed."
  @spec situation(State.t(), String.t(), Record.t() | tuple() | nil, app() | nil) ::
          Share.situation()
  def situation(state, name, record, app) do
    {slots, _revision} = Map.get(state.slots, name, {nil, 0})

    %{
      own: state.own,
      now: state.now,
      options: options(state.options, app),
      frozen?: Members.frozen?(state.members, state.now),
      known?: state.known?,
      writable?: state.records.phase == :current,
      record: record,
      model: app && app.model,
      placed: if(app, do: state.placed[name], else: %{}),
      takers: &takers(state, app, &1),
      here?: &(&1 in state.objects),
      statuses: statuses(state, name),
      slots: slots,
      error: &error(state, name, &1),
      writes_slots?: is_map_key(state.pending, {:slots, name}),
      member?: &Members.member?(state.members, &1),
      held?: &Leases.held?(state, name, &1),
      obstacle: &if(state.stopping?, do: nil, else: Leases.obstacle(state, name, &1))
    }
  end

  # The rollout settings of the manifest take precedence.
  defp options(options, nil), do: options

  defp options(options, app) do
    given = Map.reject(Model.rollout(app.model), fn {_setting, value} -> value == nil end)
    struct!(options, given)
  end

  defp error(state, _name, {:model, digest}), do: state.errors[{:model, digest}]
  defp error(state, name, {:objects, version}), do: state.errors[{:objects, name, version}]

  defp takers(state, app, workload) do
    only = %{app | workloads: Enum.filter(app.workloads, &(&1.id == workload))}
    {shares, _unplaced} = shares(state, only)
    for {id, %{^workload => count}} <- shares, id != state.own, do: {id, count}
  end

  # If no other member can exist, refusals are ignored.
  defp refusals(%{options: %{alone: true}}, _app), do: %{}

  defp refusals(state, app) do
    own = state.shares[app.name] || %Share{}
    others = Map.delete(statuses(state, app.name), state.own)

    of_others =
      for {id, status} <- others,
          Status.about?(status, app.version),
          {workload, _why} <- status.refused,
          do: {workload, id}

    of_own = for {workload, _why} <- Share.refused(own, app.version), do: {workload, state.own}
    Enum.group_by(of_own ++ of_others, &elem(&1, 0), &elem(&1, 1))
  end
end
