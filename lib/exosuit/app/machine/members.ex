defmodule Exosuit.App.Machine.Members do
  @moduledoc """
  The members of a lattice that one of them knows, with the monotonic times at which their beats arrived.

  A member is lost after three beat intervals without a beat. While this host is cut off from the bus or the store,
  and for three beats after, the membership is frozen: nobody is lost, but new members are added. A host that is cut
  off therefore starts nothing that belongs to the others.

  A host that starts without a copy of the members waits for one beat interval. Then it assumes that the members
  whose beats have arrived are all members.

  ## The life of a member

      first beat ──► member ──── no beat for 6 s ────► forgotten
                       │  ▲                              ▲
                       │  └─ another beat                │
                       ├── says that it leaves ──► left ─┘ at the next `prune/2`
                       └── comes from the copy: not heard yet ─┘ unless it is heard until the freeze ends

  `others` has the time at which each was heard last; `:unknown` for members of the copy, `:left` for those that said
  so. No clock of another host is used: a beat counts from when it arrives here.

  ## Why membership freezes

  A host that hears nobody cannot tell whether all others crashed or it was cut off. If it took their shares over, a
  network fault would start everything everywhere. Therefore it needs both the bus, where it hears its own beats, and
  the store. Members are counted lost only when both have worked for six seconds without a break: time enough for each
  living member to be heard.

  The freeze has a price. If the store is down when a host crashes, its share stands still until the store is back.
  """

  alias Exosuit.App.Machine.Options
  alias Exosuit.App.Placement

  @typedoc "When a member was heard last, in monotonic milliseconds of this host; or why there is no such time."
  @type last :: integer() | :unknown | :left

  @typedoc """
  - `own`: this host, which is never lost
  - `others`: the other members by id, and when each was heard last
  - `up`: what can be reached; `connected_at`: since when both can, without a break
  - `from_copy?`: whether the members of an earlier run are known
  """
  @type t :: %__MODULE__{
          own: Placement.member(),
          options: Options.t(),
          others: %{optional(String.t()) => {Placement.member(), last()}},
          up: MapSet.t(:store | :bus),
          connected_at: integer() | nil,
          from_copy?: boolean()
        }

  @enforce_keys [:own, :options]
  defstruct [:own, :options, :connected_at, others: %{}, up: MapSet.new(), from_copy?: false]

  @doc """
  Starts with the members of a copy, or with none. No beat of a member of the copy has arrived yet.

      iex> alias Exosuit.App.Machine.{Members, Options}
      iex> [one, other] = for id <- ["N1", "N2"], do: %{id: id, labels: %{}, features: [], schema: 1}
      iex> members = Members.new(one, [one, other], %Options{})
      iex> members = members |> Members.link(:bus, :up, 0) |> Members.link(:store, :up, 0)
      iex> {Members.frozen?(members, 5_999), Members.frozen?(members, 6_000)}
      {true, false}
      iex> members |> Members.prune(6_000) |> Members.list() |> Enum.map(& &1.id)
      ["N1"]
  """
  @spec new(Placement.member(), [Placement.member()] | nil, Options.t()) :: t()
  def new(own, seen, options) do
    others = for member <- seen || [], member.id != own.id, do: {member.id, {member, :unknown}}
    %__MODULE__{own: own, options: options, others: Map.new(others), from_copy?: seen != nil}
  end

  # Anybody on the bus can send beats, so their number is bounded. Above it, no new members are added.
  @max 4_096

  @doc "The maximum number of other members."
  @spec max() :: pos_integer()
  def max, do: @max

  @doc """
  Notes a beat. Returns whether the member is new, has changed facts, is the same as before, or is one too many
  (`max/0`). A beat of this host itself replaces its own facts. A member that left and beats again is a member again.
  """
  @spec beat(t(), Placement.member(), integer()) :: {:new | :changed | :same | :full, t()}
  def beat(%__MODULE__{own: %{id: id}} = members, %{id: id} = own, _now) do
    {if(own == members.own, do: :same, else: :changed), %{members | own: own}}
  end

  def beat(%__MODULE__{others: others} = members, member, _now)
      when map_size(others) >= @max and not is_map_key(others, member.id),
      do: {:full, members}

  def beat(members, member, now) do
    news =
      case members.others[member.id] do
        nil -> :new
        {^member, _last} -> :same
        {_other, _last} -> :changed
      end

    {news, %{members | others: Map.put(members.others, member.id, {member, now})}}
  end

  @doc "Notes that a member stops. It counts as a member until `prune/2`."
  @spec left(t(), String.t()) :: t()
  def left(members, id) when is_map_key(members.others, id) do
    {member, _last} = members.others[id]
    %{members | others: Map.put(members.others, id, {member, :left})}
  end

  def left(members, _unknown), do: members

  @doc "Notes whether the bus or the store can be reached. Any break begins the freeze anew."
  @spec link(t(), :store | :bus, :up | :down, integer()) :: t()
  def link(members, which, :down, _now) do
    %{members | up: MapSet.delete(members.up, which), connected_at: nil}
  end

  def link(members, which, :up, now) do
    up = MapSet.put(members.up, which)
    both? = MapSet.size(up) == 2
    %{members | up: up, connected_at: members.connected_at || if(both?, do: now)}
  end

  @doc """
  Whether the membership is frozen, so that no member may count as lost: while bus or store is down, and for the time of
  three beats after.
  """
  @spec frozen?(t(), integer()) :: boolean()
  def frozen?(%__MODULE__{options: options} = members, now) do
    :frozen not in options.without and
      (members.connected_at == nil or now < members.connected_at + timeout(options))
  end

  @doc """
  Whether the members are known, so that shares can be computed from them. The machine keeps a yes, whatever happens to
  the connection later.
  """
  @spec known?(t(), integer()) :: boolean()
  def known?(%__MODULE__{options: options} = members, now) do
    options.alone or members.from_copy? or
      (members.connected_at != nil and now >= members.connected_at + options.beat)
  end

  @doc """
  Forgets the members that are lost or have left, unless the membership is frozen. Members of a copy that were not heard
  are forgotten as well.
  """
  @spec prune(t(), integer()) :: t()
  def prune(members, now) do
    if frozen?(members, now), do: members, else: %{members | others: living(members, now)}
  end

  @doc "All members, this host included, by id."
  @spec list(t()) :: [Placement.member()]
  def list(members) do
    others = for {_id, {member, _last}} <- members.others, do: member
    Enum.sort_by([members.own | others], & &1.id)
  end

  @doc "Whether the host of this id is a member."
  @spec member?(t(), String.t()) :: boolean()
  def member?(members, id), do: id == members.own.id or is_map_key(members.others, id)

  defp living(members, now) do
    for {id, {_member, last} = known} <- members.others,
        is_integer(last) and now - last < timeout(members.options),
        into: %{},
        do: {id, known}
  end

  defp timeout(options), do: options.beat * options.misses
end
