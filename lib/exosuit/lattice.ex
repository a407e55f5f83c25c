defmodule Exosuit.Lattice do
  @moduledoc """
  Publishes the events of a host by its lattice. The backends of `Exosuit.Lattice.Session` implement this behaviour.
  Over NATS, other hosts and tools receive the events as well.

  The room of the lattice, from the top:

  | module | |
  |---|---|
  | `Exosuit.Lattice` | events |
  | `Exosuit.Lattice.Bus`, `.Store` | messages; keys, values and objects, with compare-and-set and watches |
  | `.Session`, `.Join` | the handle of a host to its lattice, and how it gets one |
  | `.Nats`, `.Local` | the two backends (`Exosuit.Lattice.Backend`): many hosts, one host |
  | `.Ledger`, `.Records`, `.LinkRecord` | writing links and configurations; which record holds a link |
  | `.Mirror` | a host's copy of these records, pure |
  | `.Known`, `.Peers` | bounded tables of remote claims and remote hosts |
  | `.Events` | delivery of events to subscribers in this VM |

  An event never fails and never blocks the process that announces it. Without a connection, the remote part of
  an event is lost and counted (`take_lost/1`); local subscribers get it in any case.
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
  Announces an event of this host to its subscribers and to the lattice. `Exosuit.Event.Types` lists the facts. The
  calling process sends the messages itself, and does not wait.
  """
  @spec announce(Instance.t(), Event.Types.fact()) :: :ok
  def announce(%Instance{} = instance, fact) do
    instance.lattice.backend.publish(instance, Event.new(instance.source, fact))
  end

  @doc """
  Publishes an event to the lattice only. Subscribers on this host do not receive it. For events that
  local subscribers have already, such as the announcement of a start, which is repeated after the first connection.
  """
  @spec announce_remote(Instance.t(), Event.Types.fact()) :: :ok
  def announce_remote(%Instance{} = instance, fact) do
    instance.lattice.backend.publish_remote(instance, Event.new(instance.source, fact))
  end

  @doc """
  Waits for the outcome of a host's first attempt to connect to its lattice, for its connect timeout at most. On a host
  without NATS, returns at once. Blocks the calling process.

  A host starts without waiting for its lattice. This function spares the first requests after a start an error.
  """
  @spec await_first(Instance.t()) :: :ok
  def await_first(%Instance{} = instance),
    do: Session.await_first(instance.lattice, instance.config)

  @doc """
  Sends queued messages, and leaves the lattice. Blocks the calling process, for a minute at most.
  """
  @spec leave(Instance.t()) :: :ok
  def leave(%Instance{lattice: lattice} = instance), do: lattice.backend.leave(instance)

  @doc """
  The number of events that could not be sent to the other hosts since the last call. Sets the number to zero.
  """
  @spec take_lost(Instance.t()) :: non_neg_integer()
  def take_lost(%Instance{lattice: lattice} = instance), do: lattice.backend.take_lost(instance)

  @doc """
  True at the first call in the life of a host over NATS. Call it when the host has a connection.
  """
  @spec first_connection?(Instance.t()) :: boolean()
  def first_connection?(%Instance{lattice: lattice} = instance),
    do: lattice.backend.first_connection?(instance)
end
