defmodule Exosuit.App.Versions do
  @moduledoc """
  Decides which version of an application should run: deploys, undeploys, rolls back and deletes. Each function changes
  the record of the application, and blocks the calling process; the hosts of the lattice follow the record.

  The rules are those of `Exosuit.App.Record`, which is pure. This module reads the record, applies a rule, and writes
  it by compare-and-set. If somebody writes in between, the rule is applied to the new record. No function waits until
  hosts have followed, apart from `await_deleted/2`.

  All of them return `:not_found` without such an application, and `:unavailable` if the store cannot be reached or a
  newer Exosuit wrote the record.
  """

  alias Exosuit.{App, Error, Instance, Lattice}
  alias Exosuit.App.{Member, Overview, Progress, Reader, Record, RecordStore, Shares}

  # In this time, actors finish their calls, and providers close.
  @timeout 310_000

  @doc "The versions of an application, and which of them should run."
  @spec history(Instance.t(), String.t()) :: {:ok, map()} | {:error, Error.t()}
  def history(instance, app) do
    with {:ok, record} <- RecordStore.fetch(instance, app), do: {:ok, Overview.history(record)}
  end

  @doc "Deploys a version; for `nil`, the newest that did not fail. The error is `:not_found` if there is none."
  @spec deploy(Instance.t(), String.t(), pos_integer() | nil) ::
          {:ok, App.stored()} | {:error, Error.t()}
  def deploy(instance, app, version), do: change(instance, app, &Record.deploy(&1, version))

  @doc "Stops an application on all hosts. Its versions stay."
  @spec undeploy(Instance.t(), String.t()) :: {:ok, App.stored()} | {:error, Error.t()}
  def undeploy(instance, app), do: change(instance, app, &{:ok, Record.undeploy(&1)})

  @doc """
  Undeploys the applications that this host applied from its own options, except those of these names. Returns the names
  of those that were undeployed. An application that cannot be changed now is left out; the next start of the host
  tries it again.
  """
  @spec undeploy_others(Instance.t(), [String.t()]) :: [String.t()]
  def undeploy_others(instance, names) do
    for %Record{state: :deployed, name: name, origin: origin} when origin == instance.source <-
          Reader.records(instance),
        name not in names,
        {:ok, _stored} <- [undeploy(instance, name)],
        do: name
  end

  @doc "Deploys the version before the current one that did not fail."
  @spec rollback(Instance.t(), String.t()) :: {:ok, App.stored()} | {:error, Error.t()}
  def rollback(instance, app), do: change(instance, app, &Record.rollback/1)

  @doc """
  Stops an application on all hosts, and forgets its versions. The key of the record is deleted first; each host stops
  its share when it hears of that. Then the keys that no member deletes are removed (`Exosuit.App.Member.leftovers/2`).
  If the caller dies between the two, statuses are left for the hourly sweep.
  """
  @spec delete(Instance.t(), String.t()) :: :ok | {:error, Error.t()}
  def delete(instance, app) do
    with :ok <- Lattice.await_first(instance),
         :ok <- RecordStore.delete(instance, app),
         # Members delete their own statuses. Statuses of lost members, and the slots, have to be deleted here.
         do: RecordStore.delete_keys(instance, Member.leftovers(instance, app))
  end

  @doc """
  Waits until this host runs nothing more of an application that was deleted, for 310 s at most: its actors finish their
  calls first. The error is `:deadline` after that.
  """
  @spec await_deleted(Instance.t(), String.t()) :: {:ok, [Progress.step()]} | {:error, Error.t()}
  def await_deleted(instance, app), do: Shares.await(instance, app, :deleted, @timeout)

  @doc "Forgets a version of an application; with the last one, the application."
  @spec delete_version(Instance.t(), String.t(), pos_integer()) :: :ok | {:error, Error.t()}
  def delete_version(instance, app, version) do
    changed =
      change(instance, app, fn record ->
        with :last <- Record.delete_version(record, version), do: {:error, :last}
      end)

    case changed do
      {:ok, _stored} -> :ok
      {:error, :last} -> delete(instance, app)
      error -> error
    end
  end

  defp change(instance, app, change) do
    changed =
      RecordStore.update(instance, app, fn
        nil -> {:error, Overview.absent(app)}
        record -> change.(record)
      end)

    with {:ok, stored} <- changed,
         do: {:ok, stored |> Map.delete(:origin) |> Map.put(:warnings, [])}
  end
end
