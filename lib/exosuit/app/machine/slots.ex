defmodule Exosuit.App.Machine.Slots do
  @moduledoc """
  The slots of an application: the members that are being updated now.

  All slots of an application are in one key of the store and change by compare-and-set, so that the limit holds
  even if members see different states. If a holder is no longer a member, the next member that needs a slot removes
  it. If the version that should run changes, a member keeps its slot.

  A slot has no time limit. A member that holds one either finishes its update, or fails it by the progress deadline,
  or is lost. In each case the slot comes back. Members do not queue: after a release, all that wait try to write, and
  the compare-and-set picks one. The others see the new holder and wait again.

  All functions are pure. `Exosuit.App.Machine.Share` says when a slot is needed.
  """

  alias Exosuit.{Error, Json}

  @typedoc "The ids of the members that update now, sorted, and the version for which the last of them took a slot."
  @type t :: %{version: pos_integer(), holders: [String.t()]}

  @max_bytes 65_536

  @doc "Whether this member has a slot. `nil`: nobody has taken one yet."
  @spec holds?(t() | nil, String.t()) :: boolean()
  def holds?(nil, _id), do: false
  def holds?(slots, id), do: id in slots.holders

  @doc """
  Takes a slot for this member. Returns the new slots, or `:full` if `max` members have one.

      iex> alias Exosuit.App.Machine.Slots
      iex> slots = %{version: 1, holders: ["N1", "lost"]}
      iex> member? = fn id -> id != "lost" end
      iex> Slots.take(slots, 2, "N2", member?, 2)
      {:ok, %{version: 2, holders: ["N1", "N2"]}}
      iex> Slots.take(slots, 2, "N2", member?, 1)
      :full
  """
  @spec take(t() | nil, pos_integer(), String.t(), (String.t() -> boolean()), pos_integer()) ::
          {:ok, t()} | :full
  def take(slots, version, id, member?, max) do
    holders = if slots, do: Enum.filter(slots.holders, member?), else: []

    if length(holders) < max,
      do: {:ok, %{version: version, holders: Enum.sort([id | holders])}},
      else: :full
  end

  @doc "Gives back the slot of this member. The key stays, even without holders, so that its revision rises."
  @spec release(t(), String.t()) :: t()
  def release(slots, id), do: %{slots | holders: List.delete(slots.holders, id)}

  @doc "As JSON."
  @spec encode(t()) :: {:ok, String.t()} | {:error, Error.t()}
  def encode(slots), do: Json.encode(slots)

  @doc "Reads slots; any text may be given. `:invalid_input` for a text that is not valid, or above 64 KiB."
  @spec decode(binary()) :: {:ok, t()} | {:error, Error.t()}
  def decode(text) when byte_size(text) <= @max_bytes do
    with {:ok, fields} <- Json.decode(text) do
      case fields do
        %{"version" => version, "holders" => holders}
        when is_integer(version) and is_list(holders) ->
          if Enum.all?(holders, &is_binary/1),
            do: {:ok, %{version: version, holders: holders}},
            else: invalid()

        _other ->
          invalid()
      end
    end
  end

  def decode(_text), do: invalid()

  defp invalid do
    {:error,
     Error.new(:invalid_input, "the slots are not valid: expected a version and ids of holders")}
  end
end
