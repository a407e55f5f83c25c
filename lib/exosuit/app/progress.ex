defmodule Exosuit.App.Progress do
  @moduledoc """
  Whether a host has made its share of an application, for those who wait for it. Pure.

  `known` is what the member knows: its machine, its orders, whether the store is up, the host's id, and the names of
  hosts.
  """

  alias Exosuit.App.{Machine, Orders, Overview, Record}
  alias Exosuit.Error

  @typedoc "A step of this host, or a workload that has no place in the lattice."
  @type step ::
          Exosuit.Host.Deployment.outcome()
          | {{:nowhere, {:unplaced, String.t(), spread :: String.t(), pos_integer()}},
             {:error, Error.t()}}

  @typedoc "What is waited for: a version, the end of an application, or its start without the lattice."
  @type goal :: pos_integer() | :deleted | :alone
  @type known :: %{
          machine: Machine.t(),
          orders: Orders.t(),
          store: :up | :down,
          own: String.t(),
          names: Overview.names()
        }

  @doc "The steps that were taken, why there are none, or that it is not over yet."
  @spec result(known(), String.t(), goal()) :: {:ok, [step()]} | {:error, Error.t()} | :wait
  def result(known, app, :alone) do
    if Orders.busy?(known.orders, app), do: :wait, else: steps(known, app)
  end

  def result(known, app, :deleted) do
    cond do
      Orders.busy?(known.orders, app) or known.store == :down -> :wait
      match?(%{state: :deployed}, Machine.record(known.machine, app)) -> :wait
      true -> steps(known, app)
    end
  end

  def result(known, app, version) do
    record = Machine.record(known.machine, app)

    cond do
      Orders.busy?(known.orders, app, version) -> :wait
      made?(known, app, version) -> steps(known, app)
      record == nil or version > Record.newest(record) -> :wait
      record.version != version -> {:error, Overview.superseded(record, version)}
      nothing_here?(known.machine, app, known.own) -> {:ok, unplaced(known, app)}
      true -> :wait
    end
  end

  @doc "Whether placement gives a member nothing of an application."
  @spec nothing_here?(Machine.t(), String.t(), String.t()) :: boolean()
  def nothing_here?(machine, app, member) do
    case Machine.placement(machine, app) do
      {shares, _unplaced} -> not is_map_key(shares, member)
      :unknown -> false
    end
  end

  defp made?(known, app, version) do
    match?(%{order: %{version: ^version}}, Orders.fetch(known.orders, app))
  end

  defp steps(known, app) do
    case Orders.fetch(known.orders, app) do
      nil -> {:ok, unplaced(known, app)}
      %{error: nil, steps: steps} -> {:ok, unplaced(known, app) ++ steps}
      %{error: error} -> {:error, error}
    end
  end

  # What no member runs, as steps that failed.
  defp unplaced(known, app) do
    for {id, spread, count, why} <- Overview.unplaced(known.machine, app, known.names),
        do: {{:nowhere, {:unplaced, id, spread, count}}, {:error, Error.new(:unavailable, why)}}
  end
end
