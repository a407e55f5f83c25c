defmodule Exosuit.Lattice.Local do
  @moduledoc """
  The lattice of one VM: events go from process to process, and nothing leaves.

  There is no process of its own to fail: subscriptions live in `Exosuit.Subscribers`, a registry,
  and end with the subscriber. Whoever publishes sends, and waits for nobody.

  A subscriber that does not read costs no memory without bound: while 10 000 messages wait in its
  mailbox, further events are dropped for it. The first event that it gets after that follows an
  `events_dropped` with their `count`.
  """
  @behaviour Exosuit.Lattice

  alias Exosuit.{Lattice, Registries}

  # What somebody who reads once in a while catches up with: some tens of megabytes at the most.
  @most_waiting 10_000

  @impl Exosuit.Lattice
  def publish(config, event) do
    subscribers = Registries.lookup(Registries.subscribers(), config.name)
    Enum.each(subscribers, fn {pid, dropped} -> deliver(config, pid, dropped, event) end)
  end

  @impl Exosuit.Lattice
  def share(_config, _event), do: :ok

  @impl Exosuit.Lattice
  def leave(_config), do: :ok

  @impl Exosuit.Lattice
  def subscribe(host) do
    unsubscribe(host)
    dropped = :counters.new(1, [])
    {:ok, _owner} = Registries.register(Registries.subscribers(), host, dropped)
    :ok
  end

  @impl Exosuit.Lattice
  def unsubscribe(host), do: Registries.unregister(Registries.subscribers(), host)

  defp deliver(config, pid, dropped, event) do
    case Process.info(pid, :message_queue_len) do
      {:message_queue_len, waiting} when waiting >= @most_waiting ->
        :counters.add(dropped, 1, 1)

      {:message_queue_len, _few} ->
        tell_dropped(config, pid, dropped)
        send(pid, {:exosuit_event, event})

      nil ->
        :ended
    end
  end

  defp tell_dropped(config, pid, dropped) do
    count = :counters.get(dropped, 1)

    if count > 0 do
      :counters.sub(dropped, 1, count)
      data = %{count: count, subscriber: true}
      send(pid, {:exosuit_event, Lattice.event(config, "events_dropped", data)})
    end
  end
end
