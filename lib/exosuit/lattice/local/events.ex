defmodule Exosuit.Lattice.Local.Events do
  @moduledoc false
  # Hands the events of a host to its subscribers in this VM, see `Exosuit.Lattice.Local`.

  alias Exosuit.{Event, Registries}

  # What somebody who reads once in a while catches up with: some tens of megabytes at the most.
  @most_waiting 10_000

  @typedoc "An `Exosuit.Instance`, or a handle of the local lattice."
  @type host :: %{:name => atom(), :source => String.t(), optional(atom()) => term()}

  @doc "Hands an event to the subscribers. Waits for nobody."
  @spec publish(host(), Event.t()) :: :ok
  def publish(host, event) do
    subscribers = Registries.lookup(Registries.subscribers(), host.name)
    Enum.each(subscribers, fn {pid, dropped} -> deliver(host, pid, dropped, event) end)
  end

  @doc "Makes an event, and hands it to the subscribers."
  @spec announce(host(), Event.Types.fact()) :: :ok
  def announce(host, fact), do: publish(host, Event.new(host.source, fact))

  defp deliver(host, pid, dropped, event) do
    case Process.info(pid, :message_queue_len) do
      {:message_queue_len, waiting} when waiting >= @most_waiting ->
        :counters.add(dropped, 1, 1)

      {:message_queue_len, _few} ->
        tell_dropped(host, pid, dropped)
        send(pid, {:exosuit_event, event})

      nil ->
        :ended
    end
  end

  defp tell_dropped(host, pid, dropped) do
    count = :counters.get(dropped, 1)

    if count > 0 do
      :counters.sub(dropped, 1, count)
      dropped = %Event.EventsDropped{count: count, subscriber: true}
      send(pid, {:exosuit_event, Event.new(host.source, dropped)})
    end
  end
end
