defmodule Exosuit.App.Snapshots do
  @moduledoc """
  A table of snapshots of all applications. `Exosuit.App.Shares` is its only writer, and any process reads it.
  Questions about applications therefore neither wait for a process nor delay one.

  | row | content |
  |---|---|
  | `{:candidates, candidates}` | the members, prepared for placement |
  | `{{:app, name}, snapshot}` | one application |

  Rows are written one by one, so that a reader may see the members of one moment and an application of another. Each
  row by itself is consistent, and the next look shows the rest.

  The table belongs to its writer and ends with it. A reader that holds it at that moment gets an `ArgumentError`, which
  `Exosuit.App.Reader` turns into the error `:unavailable`. The table is found through the registry of names, because a
  named table would need an atom for each host.
  """

  alias Exosuit.{Instance, Registries}
  alias Exosuit.App.{Placement, Snapshot}

  @typedoc "The table. Everybody may read it, and only its owner writes."
  @type table :: :ets.tid()

  @doc """
  An empty table of the calling process, which is registered under this role of the host. The table becomes a part of
  the registered value, and disappears with the registration.
  """
  @spec new(atom(), module()) :: table()
  def new(host, role) do
    table = :ets.new(:exosuit_applications, [:set, :protected, read_concurrency: true])

    {_new, _old} =
      Registry.update_value(Registries.names(), {host, role}, &put_elem(&1, 0, table))

    table
  end

  @doc "Writes the snapshot of an application, or `nil` if the application is gone."
  @spec put(table(), String.t(), Snapshot.t() | nil) :: true
  def put(table, app, nil), do: :ets.delete(table, {:app, app})
  def put(table, app, snapshot), do: :ets.insert(table, {{:app, app}, snapshot})

  @doc "Writes the members. From then on, the table counts as filled, so the first applications are written before."
  @spec put_candidates(table(), Placement.candidates()) :: true
  def put_candidates(table, candidates), do: :ets.insert(table, {:candidates, candidates})

  @doc "The table of the process of this role; `nil` while it starts again."
  @spec table(Instance.t(), module()) :: table() | nil
  def table(instance, role) do
    case Registries.lookup(Registries.names(), {instance.name, role}) do
      [{_pid, {table, _supervisors}}] when table != nil -> table
      _absent -> nil
    end
  end

  @doc "The snapshot of an application, or `nil`."
  @spec get(table(), String.t()) :: Snapshot.t() | nil
  def get(table, app) do
    case :ets.lookup(table, {:app, app}) do
      [{_key, snapshot}] -> snapshot
      [] -> nil
    end
  end

  @doc "The names of all applications, sorted. Copies the names alone."
  @spec apps(table()) :: [String.t()]
  def apps(table) do
    table |> :ets.select([{{{:app, :"$1"}, :_}, [], [:"$1"]}]) |> Enum.sort()
  end

  @doc "Whether the members were written."
  @spec filled?(table()) :: boolean()
  def filled?(table), do: :ets.member(table, :candidates)

  @doc "The members, as placement takes them; `nil` before the table is filled."
  @spec candidates(table()) :: Placement.candidates() | nil
  def candidates(table) do
    case :ets.lookup(table, :candidates) do
      [{_key, candidates}] -> candidates
      [] -> nil
    end
  end
end
