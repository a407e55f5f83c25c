defmodule Exosuit.Host.Replica.Restore do
  @moduledoc false
  # Puts back keys that the servers of a lattice lost, from the copy of this host. Leaves out keys that have a new
  # value by now. If a write fails, it is tried again when the next loss is reported.

  alias Exosuit.Json
  alias Exosuit.Lattice.{Mirror, Session, Store}

  @doc "Starts a process that puts back these keys of a bucket. Does not block."
  @spec start(Session.t(), Store.bucket(), [String.t()], Mirror.t()) :: {:ok, pid()}
  def start(session, bucket, keys, mirror) do
    known = known(mirror, bucket, keys)

    Task.start(fn ->
      for {key, value} <- known do
        Store.update(session, bucket, key, fn old -> if old, do: :keep, else: {:put, value} end)
      end
    end)
  end

  # The hosts that run an actor or provider put back its claims themselves.
  defp known(mirror, :data, keys) do
    for key <- keys, value = Mirror.value(mirror, key), do: {key, value}
  end

  defp known(mirror, :configurations, keys) do
    for key <- keys,
        values = Mirror.configuration(mirror, key),
        {:ok, value} = Json.encode(values),
        do: {key, value}
  end
end
