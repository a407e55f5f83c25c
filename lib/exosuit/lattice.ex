defmodule Exosuit.Lattice do
  @moduledoc """
  The bus that hosts and their users share: a behaviour, so that one host alone needs none.

  `Exosuit.Lattice.Local`, which serves the processes of this VM, is the default. A host knows its
  own by its `Exosuit.Instance` (`bus`).
  """

  alias Exosuit.{Event, Instance}

  @doc "Sends an event to the host's subscribers and to the lattice. Waits for nobody."
  @callback publish(Instance.t(), Event.t()) :: :ok

  @doc "Publishes an event to the lattice only. Waits for nobody."
  @callback publish_remote(Instance.t(), Event.t()) :: :ok

  @doc "Sends what is still queued, and leaves the lattice. Blocks the calling process."
  @callback leave(Instance.t()) :: :ok

  @doc "Sends the calling process each further event of the host as `{:exosuit_event, event}`."
  @callback subscribe(host :: atom()) :: :ok

  @doc "Ends the calling process's subscription."
  @callback unsubscribe(host :: atom()) :: :ok

  @doc "Announces an event of this host to its subscribers and to the lattice. `fact` as in `Exosuit.Event.Types`."
  @spec announce(Instance.t(), Event.Types.fact()) :: :ok
  def announce(%Instance{} = instance, fact) do
    instance.bus.publish(instance, Event.new(instance.source, fact))
  end

  @doc "Publishes an event to the lattice only. Subscribers on this host do not receive it."
  @spec announce_remote(Instance.t(), Event.Types.fact()) :: :ok
  def announce_remote(%Instance{} = instance, fact) do
    instance.bus.publish_remote(instance, Event.new(instance.source, fact))
  end

  @doc """
  Waits for the outcome of a host's first attempt to connect to its lattice, and no longer than that may take. A
  host by itself has nothing to wait for. Blocks the calling process.
  """
  @spec await_first(Instance.t()) :: :ok
  def await_first(%Instance{lattice: lattice} = instance),
    do: lattice.backend.await_first(instance)
end
