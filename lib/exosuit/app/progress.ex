defmodule Exosuit.App.Progress do
  @moduledoc """
  Decides whether a host has made its share of an application, for callers that wait for it. Pure. `known` has the
  snapshot of the application (`nil` without one), the members, the names of hosts, and the orders of this host.

  For a caller that waits for a version, the first line that holds decides:

  | situation | result |
  |---|---|
  | an order of this version runs or waits | wait |
  | the last order was this version, with a share | its steps |
  | the record is not known, or has no such version yet | wait: the store has not told of it |
  | another version should run | the error `:conflict`, with the reason if this one failed |
  | placement gives this host nothing of it | no steps, apart from instances without a place |
  | anything else: objects are fetched, a slot is awaited | wait |

  A caller may ask before this host has heard of its own apply, since the store accepts the write first and the watch
  tells of it later. So a version that is not in the record counts as one that is coming.
  """

  alias Exosuit.App.{Orders, Overview, Placement, Record, Snapshot}
  alias Exosuit.Error

  @typedoc "A step of this host, or a workload that has no place in the lattice."
  @type step ::
          Exosuit.Host.Deployment.outcome()
          | {{:nowhere, {:unplaced, String.t(), spread :: String.t(), pos_integer()}},
             {:error, Error.t()}}

  @typedoc """
  The goal of a caller: a version runs, an application has ended, or it was started without the lattice.
  """
  @type goal :: pos_integer() | :deleted | :alone

  @typedoc "The facts of this host. `store` says whether the store is up, and `own` is the id of this host."
  @type known :: %{
          snapshot: Snapshot.t() | nil,
          candidates: Placement.candidates() | nil,
          names: Overview.names(),
          orders: Orders.t(),
          store: :up | :down,
          own: String.t()
        }

  @doc """
  Returns the steps that were taken, an error if there are none, or `:wait` while the work goes on. An error of the
  whole share is the result; an error of a single step is in the steps.
  """
  @spec result(known(), String.t(), goal()) :: {:ok, [step()]} | {:error, Error.t()} | :wait
  def result(known, app, :alone) do
    if Orders.busy?(known.orders, app), do: :wait, else: steps(known, app)
  end

  def result(known, app, :deleted) do
    cond do
      Orders.busy?(known.orders, app) or known.store == :down -> :wait
      match?(%{record: %{state: :deployed}}, known.snapshot) -> :wait
      true -> steps(known, app)
    end
  end

  def result(known, app, version) do
    record = known.snapshot && known.snapshot.record

    cond do
      Orders.busy?(known.orders, app, version) -> :wait
      made?(known, app, version) -> steps(known, app)
      record == nil or version > Record.newest(record) -> :wait
      record.version != version -> {:error, Overview.superseded(record, version)}
      Snapshot.nothing_for?(known.snapshot, known.candidates, known.own) -> {:ok, unplaced(known)}
      true -> :wait
    end
  end

  @doc "The error `:deadline` after the timeout of a caller, with what is missing until then."
  @spec late(known(), String.t()) :: Error.t()
  def late(known, app), do: Error.new(:deadline, Overview.unfinished(of_app(known), app))

  # When an application ends, its share is empty, whatever its version was.
  defp made?(known, app, version) do
    case Orders.fetch(known.orders, app) do
      %{order: %{version: ^version, share: share}} -> share != %{}
      _another -> false
    end
  end

  defp steps(known, app) do
    case Orders.fetch(known.orders, app) do
      nil -> {:ok, unplaced(known)}
      %{error: nil, steps: steps} -> {:ok, unplaced(known) ++ steps}
      %{error: error} -> {:error, error}
    end
  end

  # Instances that no member runs, as failed steps.
  defp unplaced(%{snapshot: nil}), do: []

  defp unplaced(known) do
    for {id, spread, count, why} <- Overview.unplaced(of_app(known)),
        do: {{:nowhere, {:unplaced, id, spread, count}}, {:error, Error.new(:unavailable, why)}}
  end

  defp of_app(%{snapshot: nil}), do: nil
  defp of_app(known), do: {known.snapshot, known.candidates, known.names}
end
