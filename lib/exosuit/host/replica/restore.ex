defmodule Exosuit.Host.Replica.Restore do
  @moduledoc """
  Puts back keys that the servers of a lattice lost, from the copy of this host.

  A bucket of JetStream that is not replicated is lost with its server. Every host has a copy of the records that it
  reads (`Exosuit.Lattice.Mirror`), so any of them can restore the bucket. The host with the lowest id does so at once.
  The others wait for 30 s, and then restore the keys that are still missing.

  A key that has a new value by now is left as it is. If a write fails, it is tried again when the next loss is
  reported. Claims are not restored: the hosts that run an actor or provider publish them again.
  """

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
