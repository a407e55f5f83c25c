defmodule Exosuit.Host.LinkTable do
  @moduledoc """
  The table of a host's links. All processes read it, and `Exosuit.Host.Links` writes it. It belongs to the topmost
  supervisor, so that it survives a crash of the writer.

  | row | meaning |
  |---|---|
  | `{key, links}` | the links of a key that are in force |
  | `{{:pending, key}, link}` | a change that the router was asked for, and has not answered |
  | `{{:refused, id}, link, error, retry_at}` | a link that is wanted and not in force, and why |

  `retry_at` is a time of the monotonic clock in milliseconds, or `nil` if the refusal is final.

  A link may be in two rows: in force with its old settings, and refused with its new ones. The inventory then shows it
  once, as refused.

      iex> alias Exosuit.Host.LinkTable
      iex> table = LinkTable.new()
      iex> link = %Exosuit.Model.Link{source: "shop", target: "kv", namespace: "wasi", package: "keyvalue"}
      iex> LinkTable.hold(table, link)
      iex> LinkTable.refuse(table, link, Exosuit.Error.new(:unavailable, "the disk is full"), 5_000)
      iex> [status] = LinkTable.statuses(table, %{}, 2_000)
      iex> {status.status, status.retry_in_ms}
      {:refused, 3_000}
  """

  alias Exosuit.{Error, Retry, Router}
  alias Exosuit.Model.Link

  @typedoc "Identifies a wanted link, independent of its settings."
  @type id :: {Link.key(), interfaces :: [String.t()]}

  @typedoc """
  A wanted link that is not in force, the router's error, and the time of the retry, if there is one.
  """
  @type refusal :: {Link.t(), Error.t(), retry_at :: integer() | nil}

  @typedoc """
  - `:in_force`: calls through the link reach its target
  - `:waiting`: the link is made, and one of its ends does not run on this host
  - `:refused`: `error` says why, and `retry_in_ms` when it is tried again; `nil` if the refusal is final
  """
  @type status :: %{
          link: Link.t(),
          status: :in_force | :waiting | :refused,
          error: Error.t() | nil,
          retry_in_ms: non_neg_integer() | nil
        }

  # Reasons that depend on the actor's claims or code: an update or another start may remove them.
  @final_for_code [:missing_claim, :denied]

  @doc """
  Whether a refusal is final: it stays until the link, or one end of it, changes. Besides the reasons of
  `Exosuit.Retry.final?/1`, those are refusals by the claims of the actor.

      iex> refusals = for reason <- [:missing_claim, :unavailable], do: Exosuit.Error.new(reason, "")
      iex> Enum.map(refusals, &Exosuit.Host.LinkTable.final?/1)
      [true, false]
  """
  @spec final?(Error.t()) :: boolean()
  def final?(%Error{reason: reason}), do: Retry.final?(reason) or reason in @final_for_code

  @doc "Whether a link is refused because a configuration that it names does not exist."
  @spec missing?(Error.t()) :: boolean()
  def missing?(%Error{reason: reason}), do: reason == :not_found

  @doc "An empty table. It is public because its owner is not its writer, which may be restarted."
  @spec new() :: :ets.table()
  def new, do: :ets.new(:exosuit_links, [:ordered_set, :public, read_concurrency: true])

  @doc """
  The identity of a wanted link: its key and its interfaces. A change of its settings or its target keeps the identity.
  """
  @spec id(Link.t()) :: id()
  def id(%Link{} = link), do: {Link.key(link), link.interfaces}

  @doc "The links of a key that are in force."
  @spec fetch(:ets.tid(), Link.key()) :: [Link.t()]
  def fetch(table, key) do
    case :ets.lookup(table, key) do
      [{_key, links}] -> links
      [] -> []
    end
  end

  @doc "All links in force."
  @spec list(:ets.tid()) :: [Link.t()]
  def list(table) do
    Enum.concat(for [links] <- :ets.match(table, {{:_, :_, :_}, :"$1"}), do: links)
  end

  @doc """
  Puts a link in force, replaces links of its key that overlap it, and removes the note of `propose/2`.
  """
  @spec hold(:ets.tid(), Link.t()) :: :ok
  def hold(table, link) do
    key = Link.key(link)
    others = table |> fetch(key) |> Enum.reject(&Link.overlap?(&1, link))
    :ets.insert(table, {key, [link | others]})
    settle(table, key)
  end

  @doc "Removes the links of a key, including refused ones."
  @spec strike(:ets.tid(), Link.key()) :: :ok
  def strike(table, key) do
    :ets.delete(table, key)
    for {link, _error, _at} <- refusals(table, key), do: accept(table, id(link))
    :ok
  end

  @doc "Keeps only these links of a key in force. Refusals of the key stay."
  @spec keep(:ets.tid(), Link.key(), stay :: [Link.t()]) :: :ok
  def keep(table, key, stay) do
    if stay == [], do: :ets.delete(table, key), else: :ets.insert(table, {key, stay})
    :ok
  end

  @doc """
  Records a change before it is requested from the router. If the writer crashes before the answer, its successor
  finds the note, and requests the change again. There is one note for each key, because changes of a key run one at a
  time.
  """
  @spec propose(:ets.tid(), Link.t()) :: :ok
  def propose(table, link) do
    :ets.insert(table, {{:pending, Link.key(link)}, link})
    :ok
  end

  @doc "Notes that the router has answered."
  @spec settle(:ets.tid(), Link.key()) :: :ok
  def settle(table, key) do
    :ets.delete(table, {:pending, key})
    :ok
  end

  @doc "The changes that the router has not answered."
  @spec pending(:ets.tid()) :: [Link.t()]
  def pending(table) do
    for [link] <- :ets.match(table, {{:pending, :_}, :"$1"}), do: link
  end

  @doc "Records the refusal of a link that is still wanted."
  @spec refuse(:ets.tid(), Link.t(), Error.t(), integer() | nil) :: :ok
  def refuse(table, link, error, retry_at) do
    :ets.insert(table, {{:refused, id(link)}, link, error, retry_at})
    :ok
  end

  @doc "Removes a refusal: the link was accepted, or is not wanted any more."
  @spec accept(:ets.tid(), id()) :: :ok
  def accept(table, id) do
    :ets.delete(table, {:refused, id})
    :ok
  end

  @doc "The refusal of a wanted link."
  @spec refusal(:ets.tid(), id()) :: refusal() | nil
  def refusal(table, id) do
    case :ets.lookup(table, {:refused, id}) do
      [{_id, link, error, retry_at}] -> {link, error, retry_at}
      [] -> nil
    end
  end

  @doc "All refusals."
  @spec refusals(:ets.tid()) :: [refusal()]
  def refusals(table) do
    :ets.select(table, [{{{:refused, :_}, :"$1", :"$2", :"$3"}, [], [{{:"$1", :"$2", :"$3"}}]}])
  end

  @doc "The refusals of a key."
  @spec refusals(:ets.tid(), Link.key()) :: [refusal()]
  def refusals(table, key) do
    # The table is ordered and keys are texts, so this reads the rows of one key alone.
    :ets.select(table, [
      {{{:refused, {key, :_}}, :"$1", :"$2", :"$3"}, [], [{{:"$1", :"$2", :"$3"}}]}
    ])
  end

  @doc """
  Each link with its status, from the router and the refusals, in the order of the keys. A link whose new
  settings are refused occurs once, with its old settings, which are in force.

  `states` comes from `Exosuit.Router.link_states/1`, and `now` is a time of the monotonic clock in milliseconds. Time
  grows with the number of links times the number of refusals.
  """
  @spec statuses(:ets.tid(), Router.link_states(), integer()) :: [status()]
  def statuses(table, states, now) do
    held = list(table)
    refusals = refusals(table)
    alone = Enum.reject(refusals, fn {link, _, _} -> Enum.any?(held, &same?(&1, link)) end)

    statuses =
      Enum.map(held, &status(&1, refusals, states, now)) ++
        for({link, error, at} <- alone, do: refused(link, error, at, now))

    Enum.sort_by(statuses, &id(&1.link))
  end

  defp status(link, refusals, states, now) do
    refusal = Enum.find(refusals, fn {refused, _, _} -> same?(link, refused) end)

    case {refusal, states[{Link.key(link), link.target, link.interfaces}]} do
      {{_wanted, error, at}, _state} -> refused(link, error, at, now)
      # A refusal that is not in the table yet is retried at once.
      {nil, {:refused, error}} -> refused(link, error, if(final?(error), do: nil, else: now), now)
      {nil, :in_force} -> %{link: link, status: :in_force, error: nil, retry_in_ms: nil}
      {nil, _none} -> %{link: link, status: :waiting, error: nil, retry_in_ms: nil}
    end
  end

  defp refused(link, error, at, now) do
    %{link: link, status: :refused, error: error, retry_in_ms: at && max(at - now, 0)}
  end

  defp same?(link, other), do: Link.key(link) == Link.key(other) and Link.overlap?(link, other)
end
