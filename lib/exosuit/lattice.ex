defmodule Exosuit.Lattice do
  @moduledoc """
  The bus that hosts and their users share: a behaviour, so that one host alone needs none.

  `Exosuit.Lattice.Local`, which serves the processes of this VM, is the default. A host knows its
  own by its configuration (`bus`).
  """

  alias Exosuit.{Config, Event}

  @doc "Hands an event to everybody who subscribed to the host's events. Waits for nobody."
  @callback publish(host :: atom(), Event.t()) :: :ok

  @doc "Sends the calling process each further event of the host as `{:exosuit_event, event}`."
  @callback subscribe(host :: atom()) :: :ok

  @doc "Ends the calling process's subscription."
  @callback unsubscribe(host :: atom()) :: :ok

  @doc "Says what happened on a host: `type` as in `Exosuit.Event`."
  @spec announce(Config.t(), String.t(), map()) :: :ok
  def announce(%Config{} = config, type, data) do
    event = %Event{
      id: uuid(),
      source: config.source,
      type: type,
      time: DateTime.utc_now(),
      data: data
    }

    config.bus.publish(config.name, event)
  end

  # Version 4, as RFC 9562 has it.
  defp uuid do
    <<a::48, _::4, b::12, _::2, c::62>> = :crypto.strong_rand_bytes(16)
    hex = Base.encode16(<<a::48, 4::4, b::12, 2::2, c::62>>, case: :lower)
    <<p1::8-bytes, p2::4-bytes, p3::4-bytes, p4::4-bytes, p5::12-bytes>> = hex
    Enum.join([p1, p2, p3, p4, p5], "-")
  end
end
