defmodule Exosuit.Lattice.Mirror do
  @moduledoc false
  # What a host knows of what all share: the records that have links, and the configurations that
  # these name. It says which links that makes. Pure, and it gives the same whatever order changes
  # come in: where two records say something else of one link, the later one holds.
  #
  # What the host writes itself is known before it is told of it (`write/3`); what it is told
  # meanwhile of the time before is old, and passed over.

  alias Exosuit.Lattice.Records
  alias Exosuit.Model.Link

  # Far more than any lattice has. What comes past it is not taken, and told.
  @most 100_000

  @typedoc "A change of what is shared, with the revision that it came with."
  @type change ::
          {:links, Records.key(), non_neg_integer(), binary(), [Link.t()]}
          | {:deleted, Records.key()}
          | {:configuration, String.t(), Records.values() | nil}

  @type t :: %__MODULE__{
          records: %{Records.key() => {non_neg_integer(), binary(), [Link.t()]}},
          holders: %{Link.key() => MapSet.t(Records.key())},
          configurations: %{String.t() => Records.values()},
          users: %{String.t() => MapSet.t(Link.key())},
          ahead: %{Records.key() => non_neg_integer()}
        }

  defstruct records: %{}, holders: %{}, configurations: %{}, users: %{}, ahead: %{}

  @doc "Takes a change that this host made itself, and that came with this revision."
  @spec write(t(), change(), non_neg_integer()) :: {t(), [Link.key()]} | :full
  def write(mirror, change, revision) do
    # Told already, and what came after it as well.
    if revision(mirror, change) >= revision do
      {mirror, []}
    else
      with {mirror, keys} <- take(mirror, change), do: {ahead(mirror, change, revision), keys}
    end
  end

  @doc "Nothing that is told from now on is old: it is read anew."
  @spec interrupt(t()) :: t()
  def interrupt(mirror), do: %{mirror | ahead: %{}}

  @doc "What is shared is kept elsewhere now, and its revisions begin anew."
  @spec begin(t()) :: t()
  def begin(mirror) do
    records = Map.new(mirror.records, fn {key, {_, value, links}} -> {key, {0, value, links}} end)
    %{mirror | records: records, ahead: %{}}
  end

  @doc """
  Takes a change that was told. Gives the keys of the links that may be others now; `:full` takes
  nothing.
  """
  @spec tell(t(), change()) :: {t(), [Link.key()]} | :full
  def tell(%{ahead: ahead} = mirror, {:links, key, revision, _value, _links} = change) do
    case ahead do
      %{^key => own} when own > revision -> {mirror, []}
      %{} -> take(%{mirror | ahead: Map.delete(ahead, key)}, change)
    end
  end

  def tell(mirror, {:deleted, key} = change) do
    take(%{mirror | ahead: Map.delete(mirror.ahead, key)}, change)
  end

  def tell(mirror, {:configuration, _name, _values} = change), do: take(mirror, change)

  @doc "What a record says, as it was read; `nil` for one that is not there or has no links."
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

  @doc "The records that say something of the links of a key."
  @spec holders(t(), Link.key()) :: [Records.key()]
  def holders(mirror, key), do: Enum.sort(Map.get(mirror.holders, key, []))

  @doc """
  The links of a key with their configuration; and those that cannot be yet, each with the name of a
  configuration that is not there.
  """
  @spec wanted(t(), Link.key()) :: {[Link.t()], [{Link.t(), String.t()}]}
  def wanted(mirror, key) do
    mirror |> links(key) |> Enum.map(&resolve(mirror, &1)) |> Enum.split_with(&is_struct/1)
  end

  defp take(%{records: records}, {:links, key, _revision, _value, _links})
       when map_size(records) >= @most and not is_map_key(records, key),
       do: :full

  defp take(%{configurations: configurations}, {:configuration, name, %{}})
       when map_size(configurations) >= @most and not is_map_key(configurations, name),
       do: :full

  defp take(mirror, {:links, key, revision, value, links}) do
    {mirror, before} = drop(mirror, key)
    records = Map.put(mirror.records, key, {revision, value, links})
    mirror = Enum.reduce(links, %{mirror | records: records}, &hold(&2, key, &1))
    {mirror, Enum.uniq(before ++ Enum.map(links, &Link.key/1))}
  end

  defp take(mirror, {:deleted, key}), do: drop(mirror, key)

  defp take(mirror, {:configuration, name, values}) do
    configurations =
      if values,
        do: Map.put(mirror.configurations, name, values),
        else: Map.delete(mirror.configurations, name)

    same? = mirror.configurations[name] == values
    users = if same?, do: [], else: Enum.to_list(Map.get(mirror.users, name, []))
    {%{mirror | configurations: configurations}, users}
  end

  defp revision(_mirror, {:configuration, _name, _values}), do: 0

  defp revision(mirror, change) do
    with {revision, _value, _links} <- mirror.records[elem(change, 1)],
         do: revision,
         else: (nil -> 0)
  end

  defp ahead(mirror, {:links, key, _revision, _value, _links}, revision) do
    put_in(mirror.ahead[key], revision)
  end

  defp ahead(mirror, {:deleted, key}, revision), do: put_in(mirror.ahead[key], revision)
  defp ahead(mirror, {:configuration, _name, _values}, _revision), do: mirror

  # The later record first: what overlaps is taken from there.
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
      # The names that are ours alone tell nobody anything.
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

      {{_revision, _value, links}, records} ->
        mirror = Enum.reduce(links, %{mirror | records: records}, &let_go(&2, key, &1))
        {mirror, links |> Enum.map(&Link.key/1) |> Enum.uniq()}
    end
  end

  defp hold(mirror, record, link) do
    key = Link.key(link)
    users = Enum.reduce(names(link), mirror.users, &add(&2, &1, key))
    %{mirror | holders: add(mirror.holders, key, record), users: users}
  end

  defp let_go(mirror, record, link) do
    key = Link.key(link)
    mirror = %{mirror | holders: remove(mirror.holders, key, record)}
    users = Enum.reduce(names(link), mirror.users, &remove(&2, &1, key))
    %{mirror | users: users}
  end

  defp names(link), do: Enum.uniq(link.source_configs ++ link.target_configs)

  defp add(map, key, item), do: Map.update(map, key, MapSet.new([item]), &MapSet.put(&1, item))

  defp remove(map, key, item) do
    items = MapSet.delete(Map.get(map, key, MapSet.new()), item)
    if MapSet.size(items) == 0, do: Map.delete(map, key), else: Map.put(map, key, items)
  end
end
