defmodule Exosuit.Event do
  @moduledoc """
  A fact about a host, as a CloudEvent 1.0.

  `type` is the short name (`"actor_started"`). `to_cloud_event/1` returns the envelope that is published to the
  lattice, with the full type (`"com.wasmcloud.lattice.actor_started"`).

  In a lattice over NATS, an event is also published for the tools of both generations of wasmCloud, if they have a
  name for it (`Exosuit.Protocol.Otp.Events`, `Exosuit.Protocol.V1.Events`).

  In an app that has `:telemetry`, each event is also executed as `[:exosuit, :event]`. Its metadata are the fields
  of this struct and the name of the `:host`; its measurement is `:system_time`.

  `Exosuit.Event.Types` has all types and the fields of their `data`; `guides/events.md` lists them.

  ## The life of an event

      a process of the host ── Lattice.announce(instance, %Event.ActorStarted{…})
                                   │ new/2: id, source, time
                                   ▼
            subscribers in this VM: {:exosuit_event, event}    over NATS: the lattice, for each generation of tools
                 │
                 ├── Edge.EventLogger      a line in the log
                 ├── Edge.EventForwarder   :telemetry, claims, peers
                 ├── App.Shares            a look at the workloads
                 └── the app that embeds the host (`Exosuit.subscribe/1`)

  Events are facts, not commands: nothing waits for a subscriber, and a lost event changes nothing that runs. A
  subscriber that needs the present state reads it (`Exosuit.inventory/1`), and takes an event as a reason to read it
  again.
  """

  alias Exosuit.Event.Types

  @type t :: %__MODULE__{
          id: String.t(),
          source: String.t(),
          type: String.t(),
          time: DateTime.t(),
          data: %{optional(atom()) => term()}
        }

  @enforce_keys [:id, :source, :type, :time, :data]
  defstruct [:id, :source, :type, :time, :data]

  @prefix "com.wasmcloud.lattice."

  @doc """
  Returns an event of now, from a struct of `Exosuit.Event.Types`. `source` is the public key of the host.

      iex> event = Exosuit.Event.new("N1", %Exosuit.Event.HostStopped{labels: %{"zone" => "eu"}})
      iex> {event.type, event.source, event.data}
      {"host_stopped", "N1", %{labels: %{"zone" => "eu"}}}
  """
  @spec new(String.t(), Types.fact()) :: t()
  def new(source, %module{} = fact) do
    %__MODULE__{
      id: random_uuid(),
      source: source,
      type: Types.type(module),
      time: DateTime.utc_now(),
      data: Types.data(fact)
    }
  end

  @doc """
  Returns the CloudEvent as a map that can be encoded as JSON.

      iex> time = ~U[2026-01-01 12:00:00Z]
      iex> event = %Exosuit.Event{id: "1", source: "N1", type: "actor_started", time: time, data: %{}}
      iex> cloud_event = Exosuit.Event.to_cloud_event(event)
      iex> {cloud_event.type, cloud_event.time}
      {"com.wasmcloud.lattice.actor_started", "2026-01-01T12:00:00Z"}
  """
  @spec to_cloud_event(t()) :: map()
  def to_cloud_event(%__MODULE__{} = event) do
    %{
      specversion: "1.0",
      id: event.id,
      source: event.source,
      type: @prefix <> event.type,
      time: DateTime.to_iso8601(event.time),
      datacontenttype: "application/json",
      data: event.data
    }
  end

  # Writes sixteen bytes as a UUID.
  @doc false
  @spec uuid(<<_::128>>) :: String.t()
  def uuid(bytes) do
    <<p1::8-bytes, p2::4-bytes, p3::4-bytes, p4::4-bytes, p5::12-bytes>> =
      Base.encode16(bytes, case: :lower)

    Enum.join([p1, p2, p3, p4, p5], "-")
  end

  # Version 4 of RFC 9562.
  defp random_uuid do
    <<a::48, _::4, b::12, _::2, c::62>> = :crypto.strong_rand_bytes(16)
    uuid(<<a::48, 4::4, b::12, 2::2, c::62>>)
  end
end
