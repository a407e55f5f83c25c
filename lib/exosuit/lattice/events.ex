defmodule Exosuit.Lattice.Events do
  @moduledoc """
  Sends the events of a host to its subscribers in this VM, for every kind of lattice.

  This needs no process that could fail: subscriptions are in the registry `Exosuit.Subscribers`, and end with the
  subscriber. The publishing process sends the messages itself, and does not wait.

  The memory of a slow subscriber is bounded: while 10 000 messages wait in its mailbox, further events are dropped
  for it. Before the next event that it gets, it gets an event `events_dropped` with their `count`. The count is a
  `:counters` reference in the registry's value, because any process of the host may publish.
  """

  alias Exosuit.{Event, Registries}

  # An occasional reader catches up with this many; they take some tens of megabytes at most.
  @max_waiting 10_000

  @typedoc "An `Exosuit.Instance`, or a handle of the local lattice."
  @type host :: %{:name => atom(), :source => String.t(), optional(atom()) => term()}

  @doc """
  Sends the calling process each further event of the host as `{:exosuit_event, event}`. A second call replaces the
  subscription of the first one. `name` is the host's name in this VM.
  """
  @spec subscribe(name :: atom()) :: :ok
  def subscribe(name) do
    unsubscribe(name)
    dropped = :counters.new(1, [])
    {:ok, _owner} = Registries.register(Registries.subscribers(), name, dropped)
    :ok
  end

  @doc "Ends the calling process's subscription."
  @spec unsubscribe(name :: atom()) :: :ok
  def unsubscribe(name), do: Registries.unregister(Registries.subscribers(), name)

  @doc "Sends an event to the subscribers. Does not wait."
  @spec publish(host(), Event.t()) :: :ok
  def publish(host, event) do
    subscribers = Registries.lookup(Registries.subscribers(), host.name)
    Enum.each(subscribers, fn {pid, dropped} -> deliver(host, pid, dropped, event) end)
  end

  @doc "Makes an event, and sends it to the subscribers."
  @spec announce(host(), Event.Types.fact()) :: :ok
  def announce(host, fact), do: publish(host, Event.new(host.source, fact))

  defp deliver(host, pid, dropped, event) do
    case Process.info(pid, :message_queue_len) do
      {:message_queue_len, waiting} when waiting >= @max_waiting ->
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
