defmodule Exosuit.Actor.Handover do
  @moduledoc """
  Loaded code on its way to the process of its actor: a table with a row for each start under way.

  The reconciler and the supervisor, which stand between the two, get a reference alone. With the code in a message,
  they would hold its bytes until their next garbage collection, which on an idle host may never come.

  | row | |
  |---|---|
  | `{reference, lender, loaded}` | the calling process that lends, and the code |

  The lender removes its row at the end of the start. If the lender is killed, the row stays until the next `lend/3`
  finds that its process has ended: the number of rows is that of the starts under way, and of the killed ones since.
  """

  alias Exosuit.Artifact.Loaded
  alias Exosuit.Instance

  @doc "An empty table. Public, as its owner writes nothing."
  @spec table() :: :ets.tid()
  def table, do: :ets.new(:exosuit_handover, [:set, :public])

  @doc """
  Lends code to `start`, which gets the reference for `take/2`. Removes the code afterwards, also if `start` raises or
  exits. Returns the result of `start`.
  """
  @spec lend(Instance.t(), Loaded.t(), (reference() -> result)) :: result when result: term()
  def lend(%Instance{tables: %{handover: table}}, loaded, start) do
    delete_abandoned(table)
    reference = make_ref()
    :ets.insert(table, {reference, self(), loaded})

    try do
      start.(reference)
    after
      :ets.delete(table, reference)
    end
  end

  @doc """
  Takes the code out; `nil` if it was taken before, or if its lender gave up. A later start of the actor then loads the
  artifact of its specification.
  """
  @spec take(Instance.t(), reference()) :: Loaded.t() | nil
  def take(%Instance{tables: %{handover: table}}, reference) do
    case :ets.take(table, reference) do
      [{_reference, _lender, loaded}] -> loaded
      [] -> nil
    end
  end

  # Removes the rows of killed processes. The rows are few.
  defp delete_abandoned(table) do
    for [reference, lender] <- :ets.match(table, {:"$1", :"$2", :_}),
        not Process.alive?(lender),
        do: :ets.delete(table, reference)
  end
end
