defmodule Exosuit.App.Changes do
  @moduledoc """
  Changes of the bucket `:applications` as events of `Exosuit.App.Machine`. Pure.

  An unreadable value gives `{:ignored, key, error, event}`: another program may have written it, and it must
  not stop a host. An unreadable record is left unchanged, like a record of a newer version of Exosuit.
  """

  alias Exosuit.App.{Keys, Machine, Record, Status}
  alias Exosuit.App.Machine.{Lease, Slots}
  alias Exosuit.Error

  @type event ::
          Machine.event() | {:ignored, String.t(), Error.t(), Machine.event() | :none} | :none

  @doc "A key has a value."
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

  @doc "A key was deleted."
  @spec deleted(String.t()) :: event()
  def deleted(key) do
    case Keys.decode(key) do
      {:record, name} -> {:record_deleted, name}
      other -> absent(other)
    end
  end

  @doc "The store was replaced by another one, which lacks these keys."
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
