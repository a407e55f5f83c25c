defmodule Exosuit.Lattice.Mirror do
  @moduledoc """
  A host's copy of the lattice's shared state: the records that have links, and the configurations that these
  name. Computes the links from them. Pure.

  The result does not depend on the order of changes: if two records differ about a link, the record with the greater
  revision applies, and all hosts come to the same links.

      iex> alias Exosuit.Lattice.Mirror
      iex> link = %Exosuit.Model.Link{source: "shop", target: "kv", namespace: "wasi", package: "keyvalue"}
      iex> link = %{link | target_configs: ["eu"]}
      iex> {mirror, [key]} = Mirror.tell(%Mirror{}, {:links, "LINK_1", 7, "{}", [link]})
      iex> key
      {"shop", "wasi:keyvalue", "default"}
      iex> {[], [{_link, missing}]} = Mirror.wanted(mirror, key)
      iex> missing
      "eu"
      iex> {mirror, [^key]} = Mirror.tell(mirror, {:configuration, "eu", %{"bucket" => "shop"}})
      iex> {[wanted], []} = Mirror.wanted(mirror, key)
      iex> wanted.target_config
      %{"bucket" => "shop"}

  ## Own writes

  The host's own writes are known before the watch delivers them (`write/4`). `ahead` has their revisions: changes of
  the watch with smaller ones are ignored, so that no link returns to an older state for a moment. After an
  interruption the store is read from the beginning, and nothing counts as old (`interrupt/1`, `begin/1`).

  ## Bounds

  Anybody on the bus can write, so the copy is bounded: 100 000 records, as many configurations, and 64 MiB. A record
  counts as three times its text, because it is kept as text and as links.

  If there is no room, three kinds of records replace unneeded ones: records that `needed?` accepts, records that the
  host writes itself, and configurations that these name. Others are dropped; `dropped/1` counts them. `loose` has the
  records that may be unneeded. A record that turns out to be needed leaves `loose`, and is not examined again, so that
  the search for room costs each record once.
  """

  alias Exosuit.Lattice.Records
  alias Exosuit.Model.Link

  # The bound of the number of records, and of configurations; far above real use.
  @max_entries 100_000

  # The bytes of all of them. A record is kept as text and as links, which take twice as much again.
  @max_bytes 67_108_864
  @read 3
  @overhead 512

  # Room for a record of the largest message that a server accepts by default, and some more.
  @tight 4_194_304

  @typedoc """
  A change of the shared state:

  - `{:links, key, revision, text, links}`: a record, as text and decoded
  - `{:deleted, key}`: a record is gone
  - `{:configuration, name, values | nil}`: a configuration; `nil` if it is gone or cannot be read
  """
  @type change ::
          {:links, Records.key(), non_neg_integer(), binary(), [Link.t()]}
          | {:deleted, Records.key()}
          | {:configuration, String.t(), Records.values() | nil}

  @typedoc """
  - `records`: revision, text and links of each record
  - `holders`: the records that have links of a key
  - `configurations`, and `users`: the keys of the links that name one
  - `ends`: how many links begin or end at a name
  - `ahead`: revisions that this host knows before the watch delivers them
  - `bytes`: the sum of all records and configurations
  - `loose`: entries that may have to make room
  - `dropped`: how many were dropped since the last look, and the last of them
  """
  @type t :: %__MODULE__{
          records: %{Records.key() => {non_neg_integer(), binary(), [Link.t()]}},
          holders: %{Link.key() => MapSet.t(Records.key())},
          configurations: %{String.t() => Records.values()},
          users: %{String.t() => MapSet.t(Link.key())},
          ends: %{String.t() => pos_integer()},
          ahead: %{(Records.key() | entry()) => non_neg_integer()},
          bytes: non_neg_integer(),
          loose: %{entry() => true},
          dropped: {non_neg_integer(), String.t() | nil}
        }

  @typep entry :: {:record, Records.key()} | {:configuration, String.t()}

  defstruct records: %{},
            holders: %{},
            configurations: %{},
            users: %{},
            ends: %{},
            ahead: %{},
            bytes: 0,
            loose: %{},
            dropped: {0, nil}

  @doc """
  Applies a change that this host made itself, with its revision. It takes precedence over unneeded records. Returns the
  keys of the links that may have changed; none if the watch has delivered this change or a later one.
  """
  @spec write(t(), change(), non_neg_integer(), ([Link.t()] -> boolean())) ::
          {t(), [Link.key()]}
  def write(mirror, change, revision, needed? \\ &nobody/1)

  # A deletion comes without a revision.
  def write(mirror, {:configuration, name, nil} = change, _revision, needed?),
    do: mirror |> forget_revision(name) |> take(change, fn -> true end, needed?)

  # The write of a later revision may have been applied before.
  def write(mirror, {:configuration, name, _values} = change, revision, needed?) do
    if later?(mirror, name, revision) do
      {mirror, users(mirror, name)}
    else
      {mirror, keys} = take(mirror, change, fn -> true end, needed?)
      {note_revision(mirror, name, revision), keys}
    end
  end

  def write(mirror, change, revision, needed?) do
    # The watch has delivered this change already, or a later one.
    if revision(mirror, change) >= revision do
      {mirror, []}
    else
      {mirror, keys} = take(mirror, change, fn -> true end, needed?)
      {ahead(mirror, change, revision), keys}
    end
  end

  @doc "The maximum number of bytes of the copy."
  @spec max_bytes() :: pos_integer()
  def max_bytes, do: @max_bytes

  @doc """
  Whether so little room is left that the next change may find none: less than 4 MiB, or the greatest number of records.
  Only then does the caller have to know which links it needs.
  """
  @spec tight?(t()) :: boolean()
  def tight?(mirror) do
    mirror.bytes > @max_bytes - @tight or map_size(mirror.records) >= @max_entries or
      map_size(mirror.configurations) >= @max_entries
  end

  @doc """
  The number of records and configurations that were dropped since the last call, and the last of them.
  """
  @spec dropped(t()) :: {{non_neg_integer(), String.t() | nil}, t()}
  def dropped(mirror), do: {mirror.dropped, %{mirror | dropped: {0, nil}}}

  @doc "Whether any known link begins or ends there."
  @spec end?(t(), String.t() | nil) :: boolean()
  def end?(mirror, name), do: is_map_key(mirror.ends, name)

  @doc "Notes that the store is read again from the beginning: no further change counts as old."
  @spec interrupt(t()) :: t()
  def interrupt(mirror), do: %{mirror | ahead: %{}}

  @doc "Notes that the store was replaced: its revisions begin again."
  @spec begin(t()) :: t()
  def begin(mirror) do
    records = Map.new(mirror.records, fn {key, {_, value, links}} -> {key, {0, value, links}} end)
    %{mirror | records: records, ahead: %{}}
  end

  @doc """
  Applies a change of the watch. Returns the keys of the links that may have changed. A record without room counts as
  missing, even if it was there before. `needed?` says whether this host needs a record with such links.
  """
  @spec tell(t(), change(), ([Link.t()] -> boolean()), non_neg_integer()) :: {t(), [Link.key()]}
  def tell(mirror, change, needed? \\ &nobody/1, revision \\ 0)

  def tell(
        %{ahead: ahead} = mirror,
        {:links, key, revision, _value, links} = change,
        needed?,
        _same
      ) do
    case ahead do
      %{^key => own} when own > revision ->
        {mirror, []}

      %{} ->
        take(
          %{mirror | ahead: Map.delete(ahead, key)},
          change,
          fn -> needed?.(links) end,
          needed?
        )
    end
  end

  def tell(mirror, {:deleted, key} = change, needed?, _revision) do
    take(%{mirror | ahead: Map.delete(mirror.ahead, key)}, change, fn -> true end, needed?)
  end

  def tell(mirror, {:configuration, name, values} = change, needed?, revision) do
    if values != nil and later?(mirror, name, revision) do
      {mirror, []}
    else
      {mirror, keys} = take(mirror, change, fn -> is_map_key(mirror.users, name) end, needed?)
      {note_revision(mirror, name, revision), keys}
    end
  end

  @doc "The text of a record; `nil` for a missing record, or one without links."
  @spec value(t(), Records.key()) :: binary() | nil
  def value(mirror, key) do
    with {_revision, value, _links} <- mirror.records[key], do: value
  end

  @doc "The configuration of this name, or `nil`."
  @spec configuration(t(), String.t()) :: Records.values() | nil
  def configuration(mirror, name), do: mirror.configurations[name]

  @doc "The keys of all links."
  @spec keys(t()) :: [Link.key()]
  def keys(mirror), do: Map.keys(mirror.holders)

  @doc "The keys of the links that name a configuration."
  @spec users(t(), String.t()) :: [Link.key()]
  def users(mirror, name), do: Enum.to_list(Map.get(mirror.users, name, []))

  @doc "The records that have links of a key."
  @spec holders(t(), Link.key()) :: [Records.key()]
  def holders(mirror, key), do: Enum.sort(Map.get(mirror.holders, key, []))

  @doc """
  The links of a key with their configuration, and the links that cannot be made yet, each with the name of a missing
  configuration. Of overlapping links of several records, that of the later record.
  """
  @spec wanted(t(), Link.key()) :: {[Link.t()], [{Link.t(), String.t()}]}
  def wanted(mirror, key) do
    mirror |> links(key) |> Enum.map(&resolve(mirror, &1)) |> Enum.split_with(&is_struct/1)
  end

  defp nobody(_links), do: false

  defp take(mirror, {:links, key, revision, value, links}, mine?, needed?) do
    before = read_links(mirror, key)
    {mirror, _keys} = drop(mirror, key)
    size = size(key, value)

    case make_room(mirror, {:record, key}, size, mine?, needed?) do
      {:ok, mirror, gone} ->
        mirror = put_record(mirror, key, {revision, value, links}, size)
        {mirror, Enum.uniq(gone ++ changed(mirror, before, links))}

      {:full, mirror} ->
        {note_dropped(mirror, key), keys_of(before)}
    end
  end

  defp take(mirror, {:deleted, key}, _mine?, _needed?), do: drop(mirror, key)

  defp take(mirror, {:configuration, name, values}, mine?, needed?) do
    before = mirror.configurations[name]
    mirror = drop_configuration(mirror, name)

    case values && make_room(mirror, {:configuration, name}, size(name, values), mine?, needed?) do
      nil ->
        {mirror, users(mirror, name, before, nil)}

      {:ok, mirror, gone} ->
        {put_configuration(mirror, name, values), users(mirror, name, before, values) ++ gone}

      {:full, mirror} ->
        {note_dropped(mirror, name), users(mirror, name, before, nil)}
    end
  end

  # A record has all links of a component, and a change of one link must not cause work for all others. If another
  # record has the link as well, it counts as changed: the later record applies, and this record is later now.
  defp changed(mirror, before, links) do
    same = MapSet.intersection(MapSet.new(before), MapSet.new(links))

    (before ++ links)
    |> Enum.reject(&(MapSet.member?(same, &1) and alone?(mirror, &1)))
    |> keys_of()
  end

  defp alone?(mirror, link), do: MapSet.size(mirror.holders[Link.key(link)]) == 1

  defp keys_of(links), do: links |> Enum.map(&Link.key/1) |> Enum.uniq()

  defp read_links(mirror, key) do
    with {_revision, _value, links} <- mirror.records[key], do: links, else: (nil -> [])
  end

  defp users(_mirror, _name, same, same), do: []
  defp users(mirror, name, _before, _values), do: Enum.to_list(Map.get(mirror.users, name, []))

  defp put_record(mirror, key, {_revision, _value, links} = record, size) do
    records = Map.put(mirror.records, key, record)
    mirror = enter(%{mirror | records: records}, {:record, key}, size)
    Enum.reduce(links, mirror, &hold(&2, key, &1))
  end

  defp put_configuration(mirror, name, values) do
    configurations = Map.put(mirror.configurations, name, values)
    enter(%{mirror | configurations: configurations}, {:configuration, name}, size(name, values))
  end

  defp enter(mirror, entry, size) do
    %{mirror | bytes: mirror.bytes + size, loose: Map.put(mirror.loose, entry, true)}
  end

  defp leave(mirror, entry, size) do
    %{mirror | bytes: mirror.bytes - size, loose: Map.delete(mirror.loose, entry)}
  end

  # Returns the keys of the links that were removed to make room.
  defp make_room(mirror, entry, size, mine?, needed?, gone \\ []) do
    cond do
      room?(mirror, entry, size) -> {:ok, mirror, gone}
      size > @max_bytes or not mine?.() -> {:full, mirror}
      true -> make_more(mirror, entry, size, needed?, gone)
    end
  end

  # Needed records are not examined again.
  defp make_more(mirror, entry, size, needed?, gone) do
    case :maps.next(:maps.iterator(mirror.loose)) do
      :none ->
        {:full, mirror}

      {other, true, _further} ->
        {mirror, keys} =
          let_loose(%{mirror | loose: Map.delete(mirror.loose, other)}, other, needed?)

        make_room(mirror, entry, size, fn -> true end, needed?, gone ++ keys)
    end
  end

  defp let_loose(mirror, {:record, key}, needed?) do
    {_revision, _value, links} = mirror.records[key]

    if needed?.(links) do
      {mirror, []}
    else
      {mirror, keys} = drop(mirror, key)
      {note_dropped(mirror, key), keys}
    end
  end

  defp let_loose(mirror, {:configuration, name}, _needed?) do
    if is_map_key(mirror.users, name),
      do: {mirror, []},
      else: {mirror |> drop_configuration(name) |> note_dropped(name), []}
  end

  defp room?(mirror, {kind, _name}, size) do
    there = if kind == :record, do: mirror.records, else: mirror.configurations
    mirror.bytes + size <= @max_bytes and map_size(there) < @max_entries
  end

  defp note_dropped(%{dropped: {count, _last}} = mirror, name) do
    %{mirror | dropped: {count + 1, name}}
  end

  defp size(key, value) when is_binary(value),
    do: byte_size(key) + @read * byte_size(value) + @overhead

  defp size(name, values) do
    Enum.reduce(values, byte_size(name) + @overhead, fn {key, value}, size ->
      size + byte_size(key) + byte_size(value) + @overhead
    end)
  end

  defp drop_configuration(mirror, name) do
    case Map.pop(mirror.configurations, name) do
      {nil, _configurations} ->
        mirror

      {values, configurations} ->
        entry = {:configuration, name}
        leave(%{mirror | configurations: configurations}, entry, size(name, values))
    end
  end

  defp revision(mirror, change) do
    with {revision, _value, _links} <- mirror.records[elem(change, 1)],
         do: revision,
         else: (nil -> 0)
  end

  defp ahead(mirror, {:links, key, _revision, _value, _links}, revision) do
    put_in(mirror.ahead[key], revision)
  end

  defp ahead(mirror, {:deleted, key}, revision), do: put_in(mirror.ahead[key], revision)

  # Whether a later revision of the configuration is known. Revision 0 means that the revision is unknown.

  defp later?(mirror, name, revision),
    do: revision > 0 and Map.get(mirror.ahead, {:configuration, name}, 0) > revision

  defp note_revision(mirror, name, revision) do
    if revision > 0 and is_map_key(mirror.configurations, name),
      do: put_in(mirror.ahead[{:configuration, name}], revision),
      else: forget_revision(mirror, name)
  end

  defp forget_revision(mirror, name),
    do: %{mirror | ahead: Map.delete(mirror.ahead, {:configuration, name})}

  # The later record comes first: of overlapping links, its link applies.
  defp links(mirror, key) do
    mirror
    |> holders(key)
    |> Enum.map(&{mirror.records[&1], &1})
    |> Enum.sort(:desc)
    |> Enum.flat_map(fn {{_revision, _value, links}, _record} -> links end)
    |> Enum.filter(&(Link.key(&1) == key))
    |> Enum.reduce([], fn link, taken ->
      if Enum.any?(taken, &Link.overlap?(&1, link)), do: taken, else: [link | taken]
    end)
    |> Enum.reverse()
  end

  defp resolve(mirror, link) do
    with {:ok, source} <- merge(mirror, link.source_configs, link.source_config),
         {:ok, target} <- merge(mirror, link.target_configs, link.target_config) do
      # The generated names mean nothing to users.
      Records.without_own_names(%{link | source_config: source, target_config: target})
    else
      {:missing, name} -> {link, name}
    end
  end

  defp merge(mirror, names, values) do
    Enum.reduce_while(names, {:ok, values}, fn name, {:ok, merged} ->
      case mirror.configurations do
        %{^name => values} -> {:cont, {:ok, Map.merge(merged, values)}}
        %{} -> {:halt, {:missing, name}}
      end
    end)
  end

  defp drop(mirror, key) do
    case Map.pop(mirror.records, key) do
      {nil, _records} ->
        {mirror, []}

      {{_revision, value, links}, records} ->
        mirror = leave(%{mirror | records: records}, {:record, key}, size(key, value))
        mirror = Enum.reduce(links, mirror, &let_go(&2, key, &1))
        {mirror, links |> Enum.map(&Link.key/1) |> Enum.uniq()}
    end
  end

  defp hold(mirror, record, link) do
    key = Link.key(link)
    users = Enum.reduce(names(link), mirror.users, &add(&2, &1, key))
    ends = Enum.reduce([link.source, link.target], mirror.ends, &count/2)
    %{mirror | holders: add(mirror.holders, key, record), users: users, ends: ends}
  end

  defp let_go(mirror, record, link) do
    key = Link.key(link)
    mirror = %{mirror | holders: remove(mirror.holders, key, record)}
    users = Enum.reduce(names(link), mirror.users, &remove(&2, &1, key))
    ends = Enum.reduce([link.source, link.target], mirror.ends, &discount/2)
    %{mirror | users: users, ends: ends}
  end

  defp names(link), do: Enum.uniq(link.source_configs ++ link.target_configs)

  defp count(name, ends), do: Map.update(ends, name, 1, &(&1 + 1))

  defp discount(name, ends) do
    case ends do
      %{^name => count} when count > 1 -> %{ends | name => count - 1}
      %{} -> Map.delete(ends, name)
    end
  end

  defp add(map, key, item), do: Map.update(map, key, MapSet.new([item]), &MapSet.put(&1, item))

  defp remove(map, key, item) do
    items = MapSet.delete(Map.get(map, key, MapSet.new()), item)
    if MapSet.size(items) == 0, do: Map.delete(map, key), else: Map.put(map, key, items)
  end
end
