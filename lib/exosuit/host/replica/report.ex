defmodule Exosuit.Host.Replica.Report do
  @moduledoc """
  The events by which `Exosuit.Host.Replica` reports changes of the shared links, and errors in the records.

  The host that makes a link announces `linkdef_set` itself. If the router or a provider refuses a link, the data plane
  emits `linkdef_set_failed`. The events of this module are about this host, and come besides:

  | event | when |
  |---|---|
  | `link_applied`, `link_removed` | a link of the lattice came into force here, or is no longer in force |
  | `linkdef_set_failed` | a link has named a configuration that does not exist for two seconds |
  | `record_refused`, `records_refused` | records cannot be read: the first at once, then a count once a second |
  | `lattice_state_dropped` | there was no room for records: the first at once, then a count once a second |
  | `lattice_state_lost` | the servers have lost keys of a bucket |
  | `lattice_state_unavailable` | a bucket cannot be read |
  """

  alias Exosuit.{Error, Event, Instance, Lattice}
  alias Exosuit.Host.LinkChange
  alias Exosuit.Lattice.Store
  alias Exosuit.Model.Link

  @doc "Reports the links that came into force on this host, and the links that are no longer in force."
  @spec changes(Instance.t(), LinkChange.report()) :: :ok
  def changes(instance, changes) do
    for link <- changes.deleted,
        do: Lattice.announce(instance, Event.LinkRemoved.new(Link.public(link)))

    for link <- changes.put,
        do: Lattice.announce(instance, Event.LinkApplied.new(Link.public(link)))

    :ok
  end

  @doc "Reports that a link names a configuration that does not exist."
  @spec incomplete(Instance.t(), Link.t(), String.t()) :: :ok
  def incomplete(instance, link, name) do
    error = Error.new(:not_found, "there is no configuration #{inspect(name)}")
    failure = %{reason: error.reason, error: Exception.message(error)}
    fields = Map.merge(Link.public(link), failure)
    Lattice.announce(instance, Event.LinkdefSetFailed.new(fields))
  end

  @doc "Reports the number of records for which there was no room, and the key of the last one."
  @spec dropped(Instance.t(), Store.bucket(), pos_integer(), String.t()) :: :ok
  def dropped(instance, bucket, count, key) do
    Lattice.announce(instance, %Event.LatticeStateDropped{
      bucket: bucket,
      count: count,
      key: String.slice(key, 0, 300)
    })
  end

  @doc "Reports that a record cannot be read."
  @spec unreadable(Instance.t(), String.t(), Error.t()) :: :ok
  def unreadable(instance, key, error) do
    Lattice.announce(instance, %Event.RecordRefused{
      key: key,
      reason: error.reason,
      error: Exception.message(error)
    })
  end

  @doc "Reports that this number of further records cannot be read."
  @spec unreadable(Instance.t(), pos_integer()) :: :ok
  def unreadable(instance, count) do
    Lattice.announce(instance, %Event.RecordsRefused{count: count})
  end

  @doc "Reports that the servers have lost this number of keys of a bucket."
  @spec lost(Instance.t(), Store.bucket(), non_neg_integer()) :: :ok
  def lost(instance, bucket, count) do
    Lattice.announce(instance, %Event.LatticeStateLost{bucket: bucket, count: count})
  end

  @doc "Reports that a bucket cannot be read now."
  @spec unavailable(Instance.t(), Store.bucket(), Error.t()) :: :ok
  def unavailable(instance, bucket, error) do
    Lattice.announce(instance, %Event.LatticeStateUnavailable{
      bucket: bucket,
      reason: error.reason,
      error: Exception.message(error)
    })
  end
end
