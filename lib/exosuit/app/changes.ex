defmodule Exosuit.App.Changes do
  @moduledoc """
  Changes of the bucket `:applications` as events of `Exosuit.App.Machine`. Pure.

  An unreadable value gives `{:ignored, key, error, event}`: another program may have written it, and it must
  not stop a host. An unreadable record is left unchanged, like a record of a newer version of Exosuit.

  The event of an unreadable value is the careful reading of it:

  | key | is read as | because |
  |---|---|---|
  | `app` | a record of schema 0, never written again | a newer host, or a person, may repair it |
  | `status` | no status | its host writes it again |
  | `slots` | no slots, with this revision | the next member overwrites them |
  | `lease` | held by an unknown host, renewed just now | two hosts must never run one singleton |

  A key of an unknown kind gives `:none`: a newer Exosuit may have more kinds.
  """

  alias Exosuit.App.{Keys, Machine, Record, Status}
  alias Exosuit.App.Machine.{Lease, Slots}
  alias Exosuit.Error

  @typedoc "An event of the machine; with an error, the event to take after the error was announced."
  @type event ::
          Machine.event() | {:ignored, String.t(), Error.t(), Machine.event() | :none} | :none

  @doc """
  A key has a value. An event of a lease lacks the time, which the member adds.

      iex> Exosuit.App.Changes.put("generation", "f00d", 1)
      {:generation, "f00d"}
      iex> {:ignored, "lease.shop.db", error, event} = Exosuit.App.Changes.put("lease.shop.db", "?", 7)
      iex> {error.reason, event}
      {:invalid_input, {:lease, "shop", "db", %{holder: "?", length: 1}, 7}}
  """
  @spec put(String.t(), binary(), pos_integer()) :: event()
  def put(key, text, revision) do
    case Keys.decode(key) do
      {:record, name} -> record({key, text}, name, Record.decode(name, text), revision)
      {:status, host, app} -> status(key, host, app, Status.decode(text))
      {:slots, app} -> slots(key, app, Slots.decode(text), revision)
      {:lease, app, workload} -> lease(key, {app, workload}, Lease.decode(text), revision)
      :generation -> {:generation, text}
      :unknown -> :none
    end
  end

  @doc """
  A key was deleted.

      iex> Exosuit.App.Changes.deleted("app.shop")
      {:record_deleted, "shop"}
      iex> Exosuit.App.Changes.deleted("slots.shop")
      {:slots, "shop", nil, 0}
  """
  @spec deleted(String.t()) :: event()
  def deleted(key) do
    case Keys.decode(key) do
      {:record, name} -> {:record_deleted, name}
      other -> absent(other)
    end
  end

  @doc """
  The store was replaced by another one, which lacks these keys. All records come in one event, so that they are put
  back, and announced, together.
  """
  @spec lost([String.t()]) :: [event()]
  def lost(keys) do
    keys = Enum.map(keys, &Keys.decode/1)
    records = for {:record, name} <- keys, do: name
    others = for key <- keys, not match?({:record, _name}, key), do: absent(key)
    others ++ [{:records_lost, records}]
  end

  defp absent({:status, host, app}), do: {:status, host, app, nil}
  defp absent({:slots, app}), do: {:slots, app, nil, 0}
  defp absent({:lease, app, workload}), do: {:lease, app, workload, nil, 0}
  defp absent(:generation), do: {:generation, nil}
  defp absent(:unknown), do: :none

  defp record(_key, name, {:ok, record}, revision), do: {:record, name, record, revision}

  defp record({_key, text}, name, {:newer, schema}, revision),
    do: {:record, name, {:newer, schema, text}, revision}

  defp record({key, _text}, name, {:error, error}, revision) do
    {:ignored, key, error, {:record, name, {:newer, 0, nil}, revision}}
  end

  defp status(_key, host, app, {:ok, status}), do: {:status, host, app, status}

  defp status(key, host, app, {:error, error}) do
    {:ignored, key, error, {:status, host, app, nil}}
  end

  defp slots(_key, app, {:ok, slots}, revision), do: {:slots, app, slots, revision}

  defp slots(key, app, {:error, error}, revision) do
    {:ignored, key, error, {:slots, app, nil, revision}}
  end

  defp lease(_key, {app, workload}, {:ok, lease}, revision),
    do: {:lease, app, workload, lease, revision}

  # An unreadable lease counts as just renewed by another host.
  defp lease(key, {app, workload}, {:error, error}, revision) do
    {:ignored, key, error, {:lease, app, workload, Lease.unreadable(), revision}}
  end
end
