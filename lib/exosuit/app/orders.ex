defmodule Exosuit.App.Orders do
  @moduledoc """
  Orders to make a share, one at a time for each application, and the outcome of the last one. Pure. An order waits
  while another order of its application runs; a newer waiting order replaces an older one. Refused parts that may
  work later are tried again, see `Exosuit.Retry`.

  ## The life of an order

      add ──► {:run, …} ──► finished ──► done: steps, failures, retry
       │                       │
       └──► {:wait, …} ────────┘ becomes the next to run, unless a newer one has replaced it

  The outcome of an application's last order stays until `forget/2`. It answers callers that ask after the end, and it
  holds the links for the next order. An application has one running and one waiting order at most, so that the memory
  is bounded by the number of applications.

  A retry is a repetition of the last order by a timer of the caller. Its `token` tells whether that order is still the
  last one when the timer ends.
  """

  alias Exosuit.{Error, Retry}
  alias Exosuit.App.Runner

  @typedoc """
  The outcome of an order: its `steps`, the `failures` of workloads, the outcomes that were sent to the machine
  (`told`), the `error` if nothing could be done, and the `retry` of failures. `token` tells it apart from the same
  order made again.
  """
  @type done :: %{
          order: Runner.order(),
          steps: [Exosuit.Host.Deployment.outcome()],
          failures: %{optional(String.t()) => Error.t()},
          told: %{optional(String.t()) => term()},
          error: Error.t() | nil,
          retry: Retry.t(),
          token: reference()
        }

  @typedoc "By application: the order that runs and the one that waits, and the outcome of the last one."
  @type t :: %__MODULE__{
          running: %{optional(String.t()) => {Runner.order(), next :: Runner.order() | nil}},
          done: %{optional(String.t()) => done()}
        }

  defstruct running: %{}, done: %{}

  @doc "Whether an order of the application runs or waits."
  @spec busy?(t(), String.t()) :: boolean()
  def busy?(orders, app), do: is_map_key(orders.running, app)

  @doc "Whether an order for this version of the application runs or waits, as one that a caller may wait for."
  @spec busy?(t(), String.t(), non_neg_integer()) :: boolean()
  def busy?(orders, app, version) do
    case orders.running do
      %{^app => {order, next}} -> version in [order.version, next && next.version]
      %{} -> false
    end
  end

  @doc "The outcome of the last order of an application, or `nil`."
  @spec fetch(t(), String.t()) :: done() | nil
  def fetch(orders, app), do: orders.done[app]

  @doc "The outcome of the last order of each application."
  @spec all(t()) :: [{String.t(), done()}]
  def all(orders), do: Map.to_list(orders.done)

  @doc """
  Adds an order. With `:run`, the caller runs it now, and then calls `finished/3`. With `:wait`, another order of the
  application runs, and `finished/3` of that one returns this order.

      iex> alias Exosuit.App.{Orders, Runner}
      iex> {:run, orders} = Orders.add(%Orders{}, Runner.order("shop", 1, %{"echo" => 1}))
      iex> {:wait, orders} = Orders.add(orders, Runner.order("shop", 2, %{"echo" => 1}))
      iex> {:wait, orders} = Orders.add(orders, Runner.order("shop", 3, %{"echo" => 1}))
      iex> {Orders.busy?(orders, "shop", 2), Orders.busy?(orders, "shop", 3)}
      {false, true}
  """
  @spec add(t(), Runner.order()) :: {:run | :wait, t()}
  def add(%__MODULE__{running: running} = orders, %{app: app} = order) do
    case running do
      %{^app => {first, _next}} -> {:wait, put_in(orders.running[app], {first, order})}
      %{} -> {:run, put_in(orders.running[app], {order, nil})}
    end
  end

  @doc """
  Notes that an order has ended. Returns the order that the caller runs next, or `nil`. If the order is equal to the one
  before, its retries go on from where they were; otherwise they begin anew. An error of the whole order counts as a
  failure of each of its workloads.
  """
  @spec finished(t(), Runner.order(), {:ok, Runner.result()} | {:error, Error.t()}) ::
          {t(), Runner.order() | nil}
  def finished(orders, %{app: app} = order, result) do
    {{_order, next}, running} = Map.pop!(orders.running, app)
    running = if next, do: Map.put(running, app, {next, nil}), else: running
    done = Map.put(orders.done, app, done(orders.done[app], order, result))
    {%{orders | running: running, done: done}, next}
  end

  @doc """
  The milliseconds until the last order of an application is made again, or `nil` if a retry cannot help: all failures
  are final (`Exosuit.Retry.final?/1`), or there are none. `now` is monotonic, in milliseconds.
  """
  @spec retry(t(), String.t(), integer()) :: {non_neg_integer() | nil, t()}
  def retry(orders, app, now) do
    %{error: error, failures: failures, retry: retry} = done = orders.done[app]

    if Enum.any?([error | Map.values(failures)], &(&1 != nil and not Retry.final?(&1.reason))) do
      {delay, retry} = Retry.failed(retry, now)
      {delay, put_in(orders.done[app], %{done | retry: retry})}
    else
      {nil, orders}
    end
  end

  @doc "Notes outcomes of the last order that were sent to the machine since. The next look sends only what differs."
  @spec tell(t(), String.t(), map()) :: t()
  def tell(orders, app, outcomes), do: update_in(orders.done[app].told, &Map.merge(&1, outcomes))

  @doc "Forgets the outcome of an application that is gone."
  @spec forget(t(), String.t()) :: t()
  def forget(orders, app), do: %{orders | done: Map.delete(orders.done, app)}

  defp done(before, order, result) do
    Map.merge(
      %{order: order, retry: retry_of(before, order), token: make_ref()},
      result(order, result)
    )
  end

  # If the same order is made again, its retries go on.
  defp retry_of(%{order: before, retry: retry}, order) do
    if Map.delete(before, :former) == Map.delete(order, :former), do: retry, else: Retry.new()
  end

  defp retry_of(nil, _order), do: Retry.new()

  defp result(order, {:ok, %{steps: steps, workloads: outcomes}}) do
    %{steps: steps, failures: Runner.failures(steps, order.share), told: outcomes, error: nil}
  end

  # The error concerns the whole share.
  defp result(order, {:error, error}) do
    refused = {:refused, error, Retry.final?(error.reason)}

    %{
      steps: [],
      failures: Map.new(order.share, fn {id, _count} -> {id, error} end),
      told: Map.new(order.share, fn {id, _count} -> {id, refused} end),
      error: error
    }
  end
end
