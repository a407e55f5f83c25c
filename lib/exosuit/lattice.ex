defmodule Exosuit.Lattice do
  @moduledoc """
  The bus that hosts and their users share: a behaviour, so that one host alone needs none.

  `Exosuit.Lattice.Local`, which serves the processes of this VM, is the default. A host knows its
  own by its `Exosuit.Instance` (`bus`).
  """

  alias Exosuit.{Event, Instance}

  @doc "Hands an event to everybody who subscribed to the host's events. Waits for nobody."
  @callback publish(Instance.t(), Event.t()) :: :ok

  @doc "Tells an event to the other hosts and their tools alone. Waits for nobody."
  @callback share(Instance.t(), Event.t()) :: :ok

  @doc "Sends what waits to be sent, and is gone from the lattice. Blocks the calling process."
  @callback leave(Instance.t()) :: :ok

  @doc "Sends the calling process each further event of the host as `{:exosuit_event, event}`."
  @callback subscribe(host :: atom()) :: :ok

  @doc "Ends the calling process's subscription."
  @callback unsubscribe(host :: atom()) :: :ok

  @doc "Says what happened on a host: `type` as in `Exosuit.Event`."
  @spec announce(Instance.t(), String.t(), map()) :: :ok
  def announce(%Instance{} = instance, type, data) do
    instance.bus.publish(instance, event(instance, type, data))
  end

  @doc "Announces an event of this host: to its subscribers, and to the lattice."
  @spec announce(Instance.t(), Event.Types.fact()) :: :ok
  def announce(%Instance{} = instance, fact) do
    instance.bus.publish(instance, Event.new(instance.source, fact))
  end

  @doc "Tells the other hosts and their tools alone what is the case: there is nothing new to it here."
  @spec tell_others(Instance.t(), String.t(), map()) :: :ok
  def tell_others(%Instance{} = instance, type, data) do
    instance.bus.share(instance, event(instance, type, data))
  end

  @doc """
  Waits for the outcome of a host's first attempt to connect to its lattice, and no longer than that may take. A
  host by itself has nothing to wait for. Blocks the calling process.
  """
  @spec await_first(Instance.t()) :: :ok
  def await_first(%Instance{lattice: lattice} = instance),
    do: lattice.backend.await_first(instance)

  # One that only some are told.
  @doc false
  @spec event(%{:source => String.t(), optional(atom()) => term()}, String.t(), map()) ::
          Event.t()
  def event(host, type, data) do
    %Event{
      id: uuid(),
      source: host.source,
      type: type,
      time: DateTime.utc_now(),
      data: data
    }
  end

  # Version 4, as RFC 9562 has it.
  defp uuid do
    <<a::48, _::4, b::12, _::2, c::62>> = :crypto.strong_rand_bytes(16)
    Event.uuid(<<a::48, 4::4, b::12, 2::2, c::62>>)
  end
end
