defmodule Exosuit.Lattice do
  @moduledoc """
  The bus that hosts and their users share: a behaviour, so that one host alone needs none.

  `Exosuit.Lattice.Local`, which serves the processes of this VM, is the default. A host knows its
  own by its configuration (`bus`).
  """

  alias Exosuit.{Config, Event}

  @doc "Hands an event to everybody who subscribed to the host's events. Waits for nobody."
  @callback publish(Config.t(), Event.t()) :: :ok

  @doc "Tells an event to the other hosts and their tools alone. Waits for nobody."
  @callback share(Config.t(), Event.t()) :: :ok

  @doc "Sends what waits to be sent, and is gone from the lattice. Blocks the calling process."
  @callback leave(Config.t()) :: :ok

  @doc "Sends the calling process each further event of the host as `{:exosuit_event, event}`."
  @callback subscribe(host :: atom()) :: :ok

  @doc "Ends the calling process's subscription."
  @callback unsubscribe(host :: atom()) :: :ok

  @doc "Says what happened on a host: `type` as in `Exosuit.Event`."
  @spec announce(Config.t(), String.t(), map()) :: :ok
  def announce(%Config{} = config, type, data) do
    config.bus.publish(config, event(config, type, data))
  end

  @doc "Tells the other hosts and their tools alone what is the case: there is nothing new to it here."
  @spec tell_others(Config.t(), String.t(), map()) :: :ok
  def tell_others(%Config{} = config, type, data) do
    config.bus.share(config, event(config, type, data))
  end

  @doc """
  Waits for the outcome of a host's first attempt to connect to its lattice, and no longer than that may take. A
  host by itself has nothing to wait for. Blocks the calling process.
  """
  @spec await_first(Config.t()) :: :ok
  def await_first(%Config{session: session} = config), do: session.backend.await_first(config)

  # One that only some are told.
  @doc false
  @spec event(Config.t(), String.t(), map()) :: Event.t()
  def event(config, type, data) do
    %Event{
      id: uuid(),
      source: config.source,
      type: type,
      time: DateTime.utc_now(),
      data: data
    }
  end

  # Version 4, as RFC 9562 has it.
  defp uuid do
    <<a::48, _::4, b::12, _::2, c::62>> = :crypto.strong_rand_bytes(16)
    Event.Envelope.uuid(<<a::48, 4::4, b::12, 2::2, c::62>>)
  end
end
