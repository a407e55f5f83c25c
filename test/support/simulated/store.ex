defmodule Exosuit.Simulated.Store do
  @moduledoc false
  # The lattice's store: keys with revisions, compare-and-set, and what a watch has to tell after an interruption.
  # `deleted` has the revisions of deletions. `incarnation` tells a store that was wiped or restored from the one before.

  defstruct data: %{}, deleted: %{}, position: 0, incarnation: 1

  def get(store, key), do: Map.get(store.data, key, {nil, 0})

  # Gives the change that watches tell, or `:conflict`.
  def put(store, key, value, revision) do
    case get(store, key) do
      {nil, _revision} when revision == 0 -> write(store, key, value)
      {nil, _revision} when is_tuple(revision) -> create(store, key, value, revision)
      {_value, ^revision} -> write(store, key, value)
      _other -> :conflict
    end
  end

  # If nobody deleted the key after this position.
  defp create(store, key, value, {:create, position}) do
    if Map.get(store.deleted, key, 0) > position, do: :conflict, else: write(store, key, value)
  end

  def write(store, key, nil) do
    position = store.position + 1
    data = Map.delete(store.data, key)
    deleted = Map.put(store.deleted, key, position)
    {%{store | data: data, deleted: deleted, position: position}, {key, nil, position}}
  end

  def write(store, key, value) do
    position = store.position + 1
    data = Map.put(store.data, key, {value, position})
    {%{store | data: data, position: position}, {key, value, position}}
  end

  def wipe(store), do: %__MODULE__{incarnation: store.incarnation + 1}
  def restore(store, backup), do: %{backup | incarnation: store.incarnation + 1}

  # The changes since what a watch has told (`told`: key => revision).
  def changes(store, told) do
    puts =
      for {key, {value, revision}} <- store.data,
          told[key] != revision,
          do: {key, value, revision}

    gone = for {key, _revision} <- told, not is_map_key(store.data, key), do: key

    {Enum.sort_by(puts, &elem(&1, 2)),
     gone |> Enum.sort() |> Enum.map(&{&1, nil, store.position})}
  end

  def records(store),
    do: for({{:app, name}, {record, _}} <- store.data, into: %{}, do: {name, record})
end
