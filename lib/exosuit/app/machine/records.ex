defmodule Exosuit.App.Machine.Records do
  @moduledoc """
  A host's copy of the records, and their present state in the store.

  The higher edition wins (`Exosuit.App.Record.merge/2`). If the store lacks a record, or holds a lower edition
  of it, the record is written again. A record of a newer schema is never changed. The host goes on with the
  last record that it understood. If the store loses the newer record, the host puts it back as it was: also over exactly
  the record that it understood, which the newer one followed. Any other record in its place counts, because the host
  cannot tell which of the two is older.

  A copy from disk is compared with the store once the store's whole content has arrived (`current/3`). A record
  that the store lacks was deleted if the store has the generation of the copy and is not behind it. Otherwise
  the store lost it. The same holds for a record that this host has written, if the store became unreadable
  before its watch showed the write.

  ## Deleted or lost?

  A missing key looks the same in both cases, and the wrong answer is costly: an application that stops everywhere, or a
  deleted one that comes back. Two facts of the store decide:

  | the store's generation | its position | a record of the copy that it lacks |
  |---|---|---|
  | as in the copy | not below that of the copy | was deleted while this host was away |
  | as in the copy | below that of the copy | was lost: the store was restored from a backup (`:behind`) |
  | another one | any | was lost: the store was made anew |
  | none | any | was lost: the store is empty, or was never used (`:empty`) |

  If it was lost, the host puts it back. In the last case and in the second, the host also writes a new generation.
  Otherwise hosts that come later would take the repaired store for the one that they know, and its gaps for deletions.

  ## Phases

      :down ── link :up ──► :telling ── current/3 ──► :current
        ▲                      │                         │
        └──────── link :down ──┴─────────────────────────┘

  While the store tells its content, revisions may be those of another store. Then neither the position nor the
  comparison of revisions counts, and nothing is written.
  """

  alias Exosuit.App.Record

  @typedoc "A record of a newer schema as the store holds it. The source is `nil` if it cannot be read at all."
  @type newer :: {:newer, pos_integer(), source :: term() | nil}

  @typedoc """
  A record in both places. The record that should be in the store is `record`; what is there is `stored`, `nil` if it
  lacks the record. If the two differ, `due/2` asks for a write. `revision` is for the compare-and-set, `nil` if the
  store lacks the record. `newer` is the record in the store if it has a newer schema.
  """
  @type entry :: %{
          record: Record.t() | nil,
          stored: Record.t() | nil,
          revision: pos_integer() | nil,
          newer: newer() | nil
        }
  @typedoc "The identity of a store's content, `nil` if it has none yet, and the revision of its last write."
  @type facts :: %{
          required(:generation) => String.t() | nil,
          required(:position) => non_neg_integer(),
          optional(atom()) => term()
        }
  @typedoc """
  - `entries`: by name
  - `generation`, `position`: of the store that the entries come from
  - `arrived`: its position when its whole content had arrived
  - `unseen`: from the copy, and not shown by the store's watch yet
  - `untold`: written by this host, and not shown yet
  """
  @type t :: %__MODULE__{
          entries: %{optional(String.t()) => entry()},
          generation: String.t() | nil,
          position: non_neg_integer(),
          arrived: non_neg_integer(),
          phase: :down | :telling | :current,
          unseen: MapSet.t(String.t()),
          untold: MapSet.t(String.t())
        }

  defstruct [
    :generation,
    entries: %{},
    position: 0,
    arrived: 0,
    phase: :down,
    unseen: MapSet.new(),
    untold: MapSet.new()
  ]

  @doc "Starts from a copy: its records by name, also newer ones, its generation and its position."
  @spec new(%{optional(String.t()) => Record.t() | newer()}, facts()) :: t()
  def new(copies, facts) do
    entries = Map.new(copies, fn {name, copy} -> {name, from_copy(copy)} end)

    %__MODULE__{
      entries: entries,
      generation: facts.generation,
      position: facts.position,
      unseen: MapSet.new(Map.keys(entries))
    }
  end

  @doc "Notes whether the store can be read. After `:up`, it tells its whole content first."
  @spec link(t(), :up | :down) :: t()
  def link(records, :up), do: %{records | phase: :telling}
  def link(records, :down), do: %{records | phase: :down}

  @doc """
  Notes a record in the store. Ignores revisions that are older than the known one. If this host knows the record in
  another edition, the two are merged (`Exosuit.App.Record.merge/2`), and a result that the store lacks is written.
  """
  @spec put(t(), String.t(), Record.t() | newer(), pos_integer()) :: t()
  def put(records, name, value, revision) do
    entry = records.entries[name]
    known = records.phase == :current && entry && entry.revision

    cond do
      known && revision < known -> records
      known == revision -> seen(records, name)
      true -> records |> put_told(name, value, revision) |> seen(name)
    end
  end

  @doc "Notes that the record was deleted in the store. A write of it that was due is given up."
  @spec delete(t(), String.t()) :: t()
  def delete(records, name) do
    seen(%{records | entries: Map.delete(records.entries, name)}, name)
  end

  @doc """
  Notes that the store was replaced and lacks these records. It also lacks the records that this host wrote and
  no watch has shown. Returns the names of all missing records.
  """
  @spec lose(t(), [String.t()]) :: {[String.t()], t()}
  def lose(records, names) do
    names = Enum.uniq(names ++ MapSet.to_list(records.untold))
    {names, Enum.reduce(names, %{records | untold: MapSet.new()}, &forget_stored/2)}
  end

  @doc """
  Notes that the store's whole content has arrived. Returns whether the store is as expected, `:behind` the
  copy, or without a generation, and the names of the deleted and of the lost records.

  `check?` is false only in tests that show that the comparison is needed. If the content was current before, writes of
  this host that the store has not told of stay untold: their events come in a moment.

      iex> alias Exosuit.App.Machine.Records
      iex> copy = %{"shop" => {:newer, 2, "{}"}}
      iex> known = Records.new(copy, %{generation: "g", position: 5})
      iex> {:expected, ["shop"], [], _records} = Records.current(known, %{generation: "g", position: 6}, true)
      iex> {:behind, [], ["shop"], _records} = Records.current(known, %{generation: "g", position: 4}, true)
      iex> {kind, deleted, lost, _records} = Records.current(known, %{generation: "h", position: 9}, true)
      iex> {kind, deleted, lost}
      {:expected, [], ["shop"]}
  """
  @spec current(t(), facts(), boolean()) ::
          {:expected | :behind | :empty, deleted :: [String.t()], lost :: [String.t()], t()}
  def current(records, facts, check?) do
    # Without an interruption, the watch is about to show this host's last writes.
    {judged, untold} =
      if records.phase == :current,
        do: {records.unseen, records.untold},
        else: {MapSet.union(records.unseen, records.untold), MapSet.new()}

    unseen = MapSet.to_list(judged)
    kind = if check?, do: kind(records, facts), else: :expected
    trusted? = kind == :expected and (not check? or records.generation == facts.generation)
    {deleted, lost} = if trusted?, do: {unseen, []}, else: {[], unseen}

    records = Enum.reduce(deleted, records, &delete(&2, &1))
    records = Enum.reduce(lost, records, &forget_stored/2)

    {kind, deleted, lost,
     %{
       records
       | phase: :current,
         unseen: MapSet.new(),
         untold: untold,
         generation: facts.generation,
         position: facts.position,
         arrived: facts.position
     }}
  end

  @doc """
  Notes the generation of the store. Until the store's whole content has arrived, the generation of the copy
  stays, because `current/3` compares them.
  """
  @spec generation(t(), String.t() | nil) :: t()
  def generation(records, generation) do
    copy? = records.generation != nil or MapSet.size(records.unseen) > 0
    if records.phase != :current and copy?, do: records, else: %{records | generation: generation}
  end

  @doc """
  Notes that a write of this host was accepted. While the store cannot be read, or its content is still
  arriving, that content counts instead.
  """
  @spec written(t(), String.t(), Record.t() | newer(), pos_integer()) :: t()
  def written(%__MODULE__{phase: :current} = records, name, record, revision) do
    case records.entries[name] do
      # Deleted by somebody since.
      nil ->
        records

      %{revision: told} when told != nil and told >= revision ->
        records

      _not_told ->
        records = put_told(records, name, record, revision)
        %{records | untold: MapSet.put(records.untold, name)}
    end
  end

  def written(records, _name, _record, _revision), do: records

  @doc """
  The write that this record needs, or `nil`: `:put_back` if the store lacks it, `:write` if it holds another one. `nil`
  while the store's content has not arrived.

  A `:put_back` has the position of the store at which it lacked the record. If somebody else puts the record back, and
  then a user deletes it, the deletion has a higher revision, and counts.
  """
  @spec due(t(), String.t()) ::
          {:put_back, Record.t() | newer(), position :: non_neg_integer()}
          | {:write, Record.t() | newer(), pos_integer()}
          | nil
  def due(%__MODULE__{phase: :current} = records, name) do
    case records.entries[name] do
      nil ->
        nil

      # Without a revision, the store lost it.
      %{newer: {:newer, _schema, source} = newer, revision: nil} when source != nil ->
        {:put_back, newer, records.arrived}

      # The store holds the record before it.
      %{newer: newer, stored: %Record{}, revision: revision} when newer != nil ->
        {:write, newer, revision}

      %{newer: newer} when newer != nil ->
        nil

      %{stored: nil, record: record} ->
        {:put_back, record, records.arrived}

      %{stored: same, record: same} ->
        nil

      entry ->
        {:write, entry.record, entry.revision}
    end
  end

  def due(_records, _name), do: nil

  @doc "The record as it should be, `{:newer, record that this host understood last}`, or `nil`."
  @spec fetch(t(), String.t()) :: Record.t() | {:newer, Record.t() | nil} | nil
  def fetch(records, name) do
    case records.entries[name] do
      nil -> nil
      %{newer: nil, record: record} -> record
      %{record: record} -> {:newer, record}
    end
  end

  @doc "Whether a newer version of Exosuit wrote the record."
  @spec newer?(t(), String.t()) :: boolean()
  def newer?(records, name), do: match?({:newer, _known}, fetch(records, name))

  @doc "The records for the copy on disk."
  @spec copy(t()) :: %{optional(String.t()) => Record.t() | newer()}
  def copy(records) do
    Map.new(records.entries, fn
      {name, %{newer: nil, record: record}} -> {name, record}
      {name, %{newer: newer}} -> {name, newer}
    end)
  end

  # Without a copy, any content of the store is as expected.
  defp kind(_records, %{generation: nil}), do: :empty

  defp kind(%{generation: same, position: position}, %{generation: same} = facts)
       when facts.position < position,
       do: :behind

  defp kind(_records, _facts), do: :expected

  defp from_copy({:newer, _schema, _source} = newer), do: %{empty() | newer: newer}
  defp from_copy(record), do: %{empty() | record: record}

  defp empty, do: %{record: nil, stored: nil, revision: nil, newer: nil}

  defp told(nil, {:newer, _schema, _source} = newer), do: %{empty() | newer: newer}
  defp told(entry, {:newer, _schema, _source} = newer), do: %{entry | newer: newer, stored: nil}
  defp told(nil, record), do: %{empty() | record: record, stored: record}
  defp told(%{record: nil}, record), do: told(nil, record)

  # The store was restored from a backup, or another host put back the record before the newer one.
  defp told(%{newer: {:newer, _schema, source}, record: same} = entry, same) when source != nil,
    do: %{entry | stored: same}

  defp told(entry, record) do
    %{entry | record: Record.merge(entry.record, record), stored: record, newer: nil}
  end

  defp forget_stored(name, records) do
    case records.entries[name] do
      nil -> records
      entry -> put_entry(records, name, %{entry | stored: nil, revision: nil})
    end
  end

  defp put_entry(records, name, entry) do
    %{records | entries: Map.put(records.entries, name, entry)}
  end

  defp put_told(records, name, value, revision) do
    entry = told(records.entries[name], value)
    records |> put_entry(name, %{entry | revision: revision}) |> advance(revision)
  end

  defp seen(%{unseen: unseen, untold: untold} = records, name) do
    %{records | unseen: MapSet.delete(unseen, name), untold: MapSet.delete(untold, name)}
  end

  # Until the whole content has arrived, its revisions may be those of another store: `current/3` has the position.
  defp advance(%{phase: :current} = records, revision) do
    %{records | position: max(records.position, revision)}
  end

  defp advance(records, _revision), do: records
end
