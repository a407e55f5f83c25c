defmodule Exosuit.App.Snapshot do
  @moduledoc """
  A member's facts about one application, small enough to be copied to callers. Pure.

  The member makes a snapshot of each application that an event concerned (`Exosuit.App.Machine.snapshot/2`), and passes
  it on if it differs from the last one. `Exosuit.App.Shares` writes it into a table, and callers read it there. It has
  everything that `Exosuit.App.Overview` needs except the members, which all applications have in common. So a question
  about one application copies that application alone out of the table.

  - `record`: the record; if the record has a newer schema, the last one that this member understood, or `nil`
  - `newer?`: whether a newer version of Exosuit wrote the record
  - `placed`: the application as placement takes it; `nil` while its model is not here
  - `refusals`: the members that refused a workload for good, by its id
  - `statuses`: the statuses of the members, by their ids
  - `holders`: the members that have the leases of singletons, by their workloads; `nil` for no holder
  - `told`: the version and the share that this host was last asked to run
  """

  alias Exosuit.App.{Placement, Record, Status}

  @type t :: %__MODULE__{
          record: Record.t() | nil,
          newer?: boolean(),
          placed: Placement.app() | nil,
          refusals: %{optional(String.t()) => [String.t()]},
          statuses: %{optional(String.t()) => Status.t()},
          holders: %{optional(String.t()) => String.t() | nil},
          told: {pos_integer() | nil, Placement.share()}
        }

  defstruct [
    :record,
    :placed,
    newer?: false,
    refusals: %{},
    statuses: %{},
    holders: %{},
    told: {nil, %{}}
  ]

  @doc """
  The share of each member, and the instances without a place. `:unknown` while the model of the version is not here.
  Computed by the caller, from the same facts as in the member.
  """
  @spec placement(t(), Placement.candidates()) ::
          {%{optional(String.t()) => Placement.share()}, map()} | :unknown
  def placement(%__MODULE__{placed: nil}, _candidates), do: :unknown

  def placement(snapshot, candidates),
    do: Placement.place(snapshot.placed, candidates, snapshot.refusals)

  @doc """
  Whether placement gives a member nothing of the application. False while the model is not here: nothing is known then,
  and a share must not be stopped for it.
  """
  @spec nothing_for?(t(), Placement.candidates(), String.t()) :: boolean()
  def nothing_for?(%__MODULE__{placed: nil}, _candidates, _member), do: false

  def nothing_for?(snapshot, candidates, member) do
    Placement.share_of(snapshot.placed, candidates, snapshot.refusals, member) == %{}
  end
end
