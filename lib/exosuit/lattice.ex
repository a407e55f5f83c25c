defmodule Exosuit.Lattice do
  @moduledoc """
  Publishes the events of a host by its lattice. The backends of `Exosuit.Lattice.Session` implement this behaviour.
  Over NATS, other hosts and tools receive the events as well.
  """

  alias Exosuit.{Event, Instance}
  alias Exosuit.Lattice.Session

  @doc "Sends an event to the host's subscribers and to the lattice. Does not wait."
  @callback publish(Instance.t(), Event.t()) :: :ok

  @doc "Publishes an event to the lattice only. Does not wait."
  @callback publish_remote(Instance.t(), Event.t()) :: :ok

  @doc "Sends queued messages, and leaves the lattice. Blocks the calling process."
  @callback leave(Instance.t()) :: :ok

  @doc "The number of events that could not be sent since the last call."
  @callback take_lost(Instance.t()) :: non_neg_integer()

  @doc """
  True at the first call in the life of a host over NATS. Called when the host has a connection.
  """
  @callback first_connection?(Instance.t()) :: boolean()

  @doc """
  Announces an event of this host to its subscribers and to the lattice. `Exosuit.Event.Types` lists the facts.
  """
  @spec announce(Instance.t(), Event.Types.fact()) :: :ok
  def announce(%Instance{} = instance, fact) do
    instance.lattice.backend.publish(instance, Event.new(instance.source, fact))
  end

  @doc "Publishes an event to the lattice only. Subscribers on this host do not receive it."
  @spec announce_remote(Instance.t(), Event.Types.fact()) :: :ok
  def announce_remote(%Instance{} = instance, fact) do
    instance.lattice.backend.publish_remote(instance, Event.new(instance.source, fact))
  end

  @doc """
  Waits for the outcome of a host's first attempt to connect to its lattice, for a bounded time. On a host without
  NATS, returns at once. Blocks the calling process.
  """
  @spec await_first(Instance.t()) :: :ok
  def await_first(%Instance{} = instance),
    do: Session.await_first(instance.lattice, instance.config)

  @doc "Sends queued messages, and leaves the lattice. Blocks the calling process."
  @spec leave(Instance.t()) :: :ok
  def leave(%Instance{lattice: lattice} = instance), do: lattice.backend.leave(instance)

  @doc "The number of events that could not be sent to the other hosts since the last call."
  @spec take_lost(Instance.t()) :: non_neg_integer()
  def take_lost(%Instance{lattice: lattice} = instance), do: lattice.backend.take_lost(instance)

  @doc """
  True at the first call in the life of a host over NATS. Call it when the host has a connection.
  """
  @spec first_connection?(Instance.t()) :: boolean()
  def first_connection?(%Instance{lattice: lattice} = instance),
    do: lattice.backend.first_connection?(instance)
end
