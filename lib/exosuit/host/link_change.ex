defmodule Exosuit.Host.LinkChange do
  @moduledoc false
  # A change of the links of a key: its remaining steps, and the results of the steps so far. Pure.

  alias Exosuit.Error
  alias Exosuit.Model.Link

  # `:delete` deletes the links of the key that are not in `stay`. Withheld links keep their binding.
  @type step :: {:delete, stay :: [Link.t()], withheld :: [Link.t()]} | {:put, Link.t()}
  @type result :: {:ok, term()} | {:error, Error.t()}
  @type report :: %{
          put: [Link.t()],
          deleted: [Link.t()],
          refused: [{Link.t(), Error.t()}]
        }
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

  @doc "Notes the result of the first step."
  @spec taken(t(), result()) :: t()
  def taken(%__MODULE__{steps: [step | later]} = change, result) do
    note(%{change | steps: later}, step, result)
  end

  @doc "The answer for the caller of the change."
  @spec reply(t(), Link.key()) :: :ok | {:ok, [Link.t()]} | {:error, Error.t()}
  def reply(%__MODULE__{put: [_link | _]}, _key), do: :ok
  def reply(%__MODULE__{refused: [_link | _], result: error}, _key), do: error
  def reply(%__MODULE__{deleted: [], count: 0}, key), do: {:error, absent(key)}
  def reply(%__MODULE__{result: :ok, deleted: links}, _key), do: {:ok, links}
  def reply(%__MODULE__{result: error}, _key), do: error

  @doc "The changed and the refused links."
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
