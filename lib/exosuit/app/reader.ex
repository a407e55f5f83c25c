defmodule Exosuit.App.Reader do
  @moduledoc """
  Answers questions about applications from the table of snapshots (`Exosuit.App.Snapshots`). The calling process does
  all of the work. It waits only while the host's member starts.

  The answers are this host's view. While the lattice is away, they are the last that it knew; at the start of a host,
  those of its copy. `Exosuit.App.RecordStore` reads the store itself, for callers that must not miss a change.

  While the processes of applications restart, `status/2` gives the error `:unavailable`, and the lists are empty.
  """

  alias Exosuit.{Error, Instance}
  alias Exosuit.App.{Overview, Record, Shares, Snapshot, Snapshots}

  @doc """
  All applications, as `Exosuit.App.Overview.line/1` has them, sorted by name. Computes the placement of each one, for
  its status.
  """
  @spec list(Instance.t()) :: [map()]
  def list(instance) do
    all(instance, fn snapshot, candidates -> Overview.line({snapshot, candidates, %{}}) end)
  end

  @doc "The records of all applications that this host knows."
  @spec records(Instance.t()) :: [Record.t()]
  def records(instance), do: all(instance, fn snapshot, _candidates -> snapshot.record end)

  @doc """
  The running and the missing parts of an application, see `Exosuit.App.Overview.status/1`. `:not_found` if this host
  knows no record of it.
  """
  @spec status(Instance.t(), String.t()) :: {:ok, map()} | {:error, Error.t()}
  def status(instance, app) do
    read(instance, fn table ->
      known = Snapshots.get(table, app) || %Snapshot{}

      case Overview.status({known, Snapshots.candidates(table), Shares.names(instance)}) do
        nil -> {:error, Overview.absent(app)}
        status -> {:ok, status}
      end
    end)
  end

  defp all(instance, fun) do
    read = fn table ->
      candidates = Snapshots.candidates(table)

      for app <- Snapshots.apps(table),
          snapshot = Snapshots.get(table, app),
          result = fun.(snapshot, candidates),
          do: result
    end

    with {:error, _starting} <- read(instance, read), do: []
  end

  defp read(instance, fun) do
    with {:ok, table} <- Shares.table(instance), do: fun.(table)
  rescue
    # The process that owns the table has ended.
    ArgumentError -> {:error, Shares.starting()}
  end
end
