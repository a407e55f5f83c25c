defmodule Exosuit.Host.Statuses do
  @moduledoc """
  The reasons and retry times of everything that is specified and does not run.

  The table belongs to the topmost supervisor, so that the inventory answers while processes restart. It has three
  kinds of rows:

  | key | written by | meaning |
  |---|---|---|
  | `{:actor \\| :provider, id}` | `Exosuit.Host.Reconciler` | why the item does not run; no row while it runs |
  | `{:option, item}` | `Exosuit.Startup` | an item of the host's options; `:done` once it was applied |
  | `{:provisional, link_key}` | `Exosuit.App.Runner` | a link that this host made while the lattice was unreachable |

  `Exosuit.Host.Replica` removes a row of the third kind as soon as it sees a record of the link.

  The number of rows is bounded by the number of specifications, options and links.
  """

  alias Exosuit.{Directory, Error, Instance}
  alias Exosuit.Host.Attempts
  alias Exosuit.Model.Link

  @type key :: Directory.key() | {:option, term()} | {:provisional, Link.key()}

  @typedoc """
  `reason` and `error` are `nil` before the first failure. `retry_in_ms` counts from the time of the read; `nil` if
  nothing is scheduled.
  """
  @type status :: %{
          status: Attempts.status() | :done,
          reason: Error.reason() | nil,
          error: String.t() | nil,
          retry_in_ms: non_neg_integer() | nil
        }

  @doc "An empty table. It is public because its owner is not its writer, which may be restarted."
  @spec table() :: :ets.table()
  def table, do: :ets.new(:exosuit_statuses, [:set, :public, read_concurrency: true])

  @doc "Stores why an item does not run, and the milliseconds until its retry, or `nil` if there is none."
  @spec put(
          Instance.t(),
          key(),
          Attempts.status() | :done,
          Error.t() | nil,
          non_neg_integer() | nil
        ) :: :ok
  def put(instance, key, status, error, delay) do
    :ets.insert(instance.tables.statuses, {key, status, error, delay && now() + delay})
    :ok
  end

  @doc """
  Notes that an item waits for its first try, unless it has a status already. A status from before a crash of the
  writer is therefore kept.
  """
  @spec want(Instance.t(), key()) :: :ok
  def want(instance, key) do
    :ets.insert_new(instance.tables.statuses, {key, :starting, nil, nil})
    :ok
  end

  @doc "Removes the status of an item that runs, or that is not wanted any more."
  @spec delete(Instance.t(), key()) :: :ok
  def delete(instance, key) do
    :ets.delete(instance.tables.statuses, key)
    :ok
  end

  @doc "The status of a specification that does not run. Without a row, it is `:starting`."
  @spec fetch(Instance.t(), key()) :: status()
  def fetch(instance, key) do
    case :ets.lookup(instance.tables.statuses, key) do
      [row] -> status(row)
      [] -> %{status: :starting, reason: nil, error: nil, retry_in_ms: nil}
    end
  end

  @doc """
  The options of the host that were tried, or added, with their keys and statuses. Applied ones are `:done`.
  """
  @spec options(Instance.t()) :: [{key(), status()}]
  def options(instance) do
    rows = :ets.match_object(instance.tables.statuses, {{:option, :_}, :_, :_, :_})
    for row <- rows, do: {elem(row, 0), status(row)}
  end

  @doc """
  Stores links that this host made while the lattice was unreachable. They stay in force until
  `confirm_links/2`, although the lattice has no records of them.
  """
  @spec put_provisional(Instance.t(), [Link.key()]) :: :ok
  def put_provisional(instance, keys) do
    Enum.each(keys, &put(instance, {:provisional, &1}, :done, nil, nil))
  end

  @doc "Removes the mark of a link, since the lattice has a record of it."
  @spec confirm_link(Instance.t(), Link.key()) :: :ok
  def confirm_link(instance, key), do: delete(instance, {:provisional, key})

  @doc "The keys of provisional links."
  @spec provisional(Instance.t()) :: [Link.key()]
  def provisional(instance) do
    Enum.concat(:ets.match(instance.tables.statuses, {{:provisional, :"$1"}, :_, :_, :_}))
  end

  @doc """
  Removes the marks of `put_provisional/2` from these keys, because the lattice's records apply to them now. Returns
  the keys that had a mark.
  """
  @spec confirm_links(Instance.t(), [Link.key()]) :: [Link.key()]
  def confirm_links(instance, keys) do
    confirmed = Enum.filter(provisional(instance), &(&1 in keys))
    Enum.each(confirmed, &delete(instance, {:provisional, &1}))
    confirmed
  end

  defp status({_key, status, error, retry_at}) do
    %{
      status: status,
      reason: error && error.reason,
      error: error && Exception.message(error),
      retry_in_ms: retry_at && max(retry_at - now(), 0)
    }
  end

  defp now, do: System.monotonic_time(:millisecond)
end
