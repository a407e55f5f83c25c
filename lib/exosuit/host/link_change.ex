defmodule Exosuit.Host.LinkChange do
  @moduledoc """
  A change of the links of one key: its remaining steps, and the results of the steps that were carried out. Pure.

  `Exosuit.Host.Links` makes a change when it begins with a request, asks the router for one step after the other,
  notes each answer by `taken/2`, and at the end answers its caller with `reply/2` or `report/1`. A refused step does
  not stop the later ones.

      iex> alias Exosuit.Host.LinkChange
      iex> link = %Exosuit.Model.Link{source: "shop", target: "kv", namespace: "wasi", package: "keyvalue"}
      iex> change = LinkChange.new([{:put, link}], :strict)
      iex> LinkChange.reply(LinkChange.taken(change, {:ok, nil}), {"shop", "wasi:keyvalue", "default"})
      :ok
      iex> refusal = Exosuit.Error.new(:missing_claim, "wasi:keyvalue")
      iex> change = LinkChange.taken(change, {:error, refusal})
      iex> LinkChange.reply(change, {"shop", "wasi:keyvalue", "default"}) == {:error, refusal}
      true
  """

  alias Exosuit.Error
  alias Exosuit.Model.Link

  # `:delete` deletes the links of the key that are not in `stay`. Withheld links keep their binding.
  @typedoc """
  A question to the router:

  - `{:delete, stay, withheld}`: delete the links of the key that are not in `stay`. The links in `withheld` lose their
    effect for now, and keep the code that they are bound to (`Exosuit.Router.withhold_links/3`)
  - `{:put, link}`: make a link, or change its settings
  """
  @type step :: {:delete, stay :: [Link.t()], withheld :: [Link.t()]} | {:put, Link.t()}

  @typedoc "The router's answer. For a deletion, the term is the number of deleted links."
  @type result :: {:ok, term()} | {:error, Error.t()}

  @typedoc """
  The outcome for `Exosuit.Host.Replica`. `put` has only links that were not in force in this form before.
  """
  @type report :: %{
          put: [Link.t()],
          deleted: [Link.t()],
          refused: [{Link.t(), Error.t()}]
        }

  @typedoc """
  - `steps`: those that the router has not answered, the next one first
  - `mode`: with `:keep`, a refused link stays wanted
  - `from`: the caller, as `Exosuit.Host.Links` keeps it
  - `before`: the links in force when the change began
  - `put`, `refused`: the latest first
  - `deleted`: the links that the change removes, known when it begins
  - `result`: the last error, else `:ok`
  - `count`: how many links the router has deleted; 1 if a provider failed to release one
  """
  @type t :: %__MODULE__{
          steps: [step()],
          mode: :strict | :keep,
          from: term(),
          before: [Link.t()],
          put: [Link.t()],
          deleted: [Link.t()],
          refused: [{Link.t(), Error.t()}],
          result: :ok | {:error, Error.t()},
          count: non_neg_integer()
        }

  defstruct steps: [],
            mode: :strict,
            from: nil,
            before: [],
            put: [],
            deleted: [],
            refused: [],
            result: :ok,
            count: 0

  @doc "A change of these steps. With `:keep`, a refused link stays wanted."
  @spec new([step()], :strict | :keep) :: t()
  def new(steps, mode), do: %__MODULE__{steps: steps, mode: mode}

  @doc """
  Notes the result of the first step. A failed deletion counts as a deletion: calls are refused from then on in any
  case, and only the provider failed to release the link.
  """
  @spec taken(t(), result()) :: t()
  def taken(%__MODULE__{steps: [step | later]} = change, result) do
    note(%{change | steps: later}, step, result)
  end

  @doc """
  The answer for the caller of the change. The first that applies:

  1. a link was made: `:ok`
  2. a link was refused: its error
  3. nothing was deleted: `:not_found`
  4. `{:ok, links}` with the deleted links, or the error of the provider that failed to release one
  """
  @spec reply(t(), Link.key()) :: :ok | {:ok, [Link.t()]} | {:error, Error.t()}
  def reply(%__MODULE__{put: [_link | _]}, _key), do: :ok
  def reply(%__MODULE__{refused: [_link | _], result: error}, _key), do: error
  def reply(%__MODULE__{deleted: [], count: 0}, key), do: {:error, absent(key)}
  def reply(%__MODULE__{result: :ok, deleted: links}, _key), do: {:ok, links}
  def reply(%__MODULE__{result: error}, _key), do: error

  @doc """
  The changed and the refused links, in the order of the steps. Links that were in force before in the same form are
  left out of `put`.
  """
  @spec report(t()) :: report()
  def report(%__MODULE__{} = change) do
    put = Enum.reverse(change.put) -- change.before
    %{put: put, deleted: change.deleted, refused: Enum.reverse(change.refused)}
  end

  @doc "The error if there is no link of this key."
  @spec absent(Link.key()) :: Error.t()
  def absent({source, contract, name}) do
    Error.new(:not_found, "there is no link from #{source} for #{contract} named #{name}")
  end

  defp note(change, {:delete, _stay, _withheld}, {:ok, count}), do: %{change | count: count}

  # The router refuses calls from now on in any case: only the provider failed to release the link.
  defp note(change, {:delete, _stay, _withheld}, error), do: %{change | result: error, count: 1}
  defp note(change, {:put, link}, {:ok, _none}), do: %{change | put: [link | change.put]}

  defp note(change, {:put, link}, {:error, error}) do
    %{change | refused: [{link, error} | change.refused], result: {:error, error}}
  end
end
