defmodule Exosuit.Protocol.Otp.Events do
  @moduledoc """
  Encodes events for the tools of the wasmCloud OTP era, with the names and fields that they know.

  An event of Exosuit may become several of theirs, or none. An actor is named by its public key, or by its id if it
  is unsigned. `guides/events.md` lists the names.
  """

  alias Exosuit.Event
  alias Exosuit.Model.Instances
  alias Exosuit.Protocol.Envelope
  alias Exosuit.Protocol.Otp.Records

  # The OTP era has an event for each instance. Beyond this number, only the event with the sum is sent.
  @max_single 256

  @doc """
  The CloudEvents for an event; an empty list if the tools of that era do not know it.

  The era has an event for each instance of an actor: one event of Exosuit about a start or a stop becomes
  `actors_started` with the number, and `actor_started` for each of the first 256 instances. An instance has an id that
  is a hash of host, actor, annotations and number, so that later events name the same instances.
  """
  @spec encode(Event.t()) :: [map()]
  def encode(%Event{} = event) do
    for {{name, data}, n} <- event |> facts() |> Enum.with_index(),
        do: Envelope.wrap(event, name, data, event.id, n)
  end

  defp facts(%{type: type, data: data}) when type in ~w(host_started host_stopped) do
    fields = [:labels, :friendly_name, :uptime_seconds, :version]
    [{type, Map.take(data, fields)}]
  end

  defp facts(%{type: "host_heartbeat", data: data}) do
    summary = %{
      actors:
        for(%{status: :running} = it <- data.actors, into: %{}, do: {key(it), it.instances}),
      providers: for(%{status: :running} = it <- data.providers, do: provider(it))
    }

    own = [:labels, :friendly_name, :version, :uptime_seconds, :uptime_human]
    own = own ++ [:heartbeat_interval_ms, :mac]
    [{"host_heartbeat", Map.merge(summary, Map.take(data, own))}]
  end

  defp facts(%{type: "actor_started"} = event) do
    Enum.flat_map(Envelope.shares(event.data), fn {annotations, count} ->
      started(event, annotations, 0, count)
    end)
  end

  defp facts(%{type: "actor_stopped"} = event) do
    Enum.flat_map(Envelope.shares(event.data), fn {annotations, count} ->
      stopped(event, annotations, count, 0)
    end)
  end

  defp facts(%{type: "actor_scaled", data: data} = event) do
    before = Map.new(Envelope.shares(%{shares: data.before}))
    now = Map.new(Envelope.shares(data))

    Enum.flat_map(Map.keys(Map.merge(before, now)), fn annotations ->
      case {Map.get(before, annotations, 0), Map.get(now, annotations, 0)} do
        {same, same} -> []
        {less, more} when less < more -> started(event, annotations, less, more)
        {more, less} -> stopped(event, annotations, more, less)
      end
    end)
  end

  defp facts(%{type: "actor_start_failed", data: data, source: host_id}) do
    several = %{
      public_key: Map.get(data, :public_key) || "N/A",
      image_ref: data.image_ref,
      annotations: Envelope.annotations(data),
      host_id: host_id,
      error: data.error
    }

    [
      {"actor_start_failed", %{actor_ref: data.image_ref, error: data.error}},
      {"actors_start_failed", several}
    ]
  end

  defp facts(%{type: "actor_updated", data: data} = event) do
    for {annotations, count} <- Envelope.shares(data), id <- ids(event, annotations, 0, count) do
      {"actor_updated",
       %{public_key: key(data), revision: Envelope.revision(data.revision), instance_id: id}}
    end
  end

  defp facts(%{type: "actor_update_failed", data: data} = event) do
    [id | _more] = ids(event, Envelope.annotations(data), 0, 1)
    about = %{public_key: key(data), revision: 0, instance_id: id, reason: data.error}
    [{"actor_update_failed", about}]
  end

  defp facts(%{type: "provider_started", data: data} = event) do
    started = %{
      image_ref: data.image_ref,
      instance_id: instance_id(event),
      annotations: Envelope.annotations(data),
      claims: provider_claims(data)
    }

    [{"provider_started", Map.merge(provider(data), started)}]
  end

  defp facts(%{type: "provider_start_failed", data: data}) do
    link_name = Map.get(data, :link_name, "default")

    [
      {"provider_start_failed",
       %{provider_ref: data.image_ref, link_name: link_name, error: data.error}}
    ]
  end

  defp facts(%{type: "provider_stopped", data: data} = event) do
    stopped = %{
      instance_id: instance_id(event),
      annotations: Envelope.annotations(data),
      reason: to_string(data.reason)
    }

    [{"provider_stopped", Map.merge(provider(data), stopped)}]
  end

  defp facts(%{type: type, data: data})
       when type in ~w(health_check_passed health_check_failed health_check_status) do
    [{type, provider(data)}]
  end

  defp facts(%{type: type, data: link}) when type in ~w(linkdef_set linkdef_deleted) do
    contract = "#{link.namespace}:#{link.package}"

    definition = %{
      id: Records.id({link.source, contract, link.name}),
      actor_id: link.source,
      provider_id: link.target,
      link_name: link.name,
      contract_id: contract,
      # Values may be secrets. Tools that may read them find them in the store.
      values: %{}
    }

    [{type, definition}]
  end

  defp facts(%{type: "refmap_set", data: data}), do: [{"refmap_set", data}]
  defp facts(_other), do: []

  defp started(%{data: data} = event, annotations, from, count) do
    about = %{
      public_key: key(data),
      image_ref: data.image_ref,
      annotations: annotations,
      claims: Envelope.claims(data[:claims]) || %{}
    }

    several = Map.merge(about, %{host_id: event.source, count: count - from})
    one = Map.put(about, :api_version, "n/a")

    [
      {"actors_started", several}
      | for(
          id <- ids(event, annotations, from, count),
          do: {"actor_started", Map.put(one, :instance_id, id)}
        )
    ]
  end

  defp stopped(%{data: data} = event, annotations, count, remaining) do
    several = %{
      host_id: event.source,
      public_key: key(data),
      count: count - remaining,
      remaining: remaining,
      annotations: annotations
    }

    one = %{public_key: key(data), annotations: annotations}

    [
      {"actors_stopped", several}
      | for(
          id <- ids(event, annotations, remaining, count),
          do: {"actor_stopped", Map.put(one, :instance_id, id)}
        )
    ]
  end

  defp ids(event, annotations, from, count) do
    for n <- Enum.take((from + 1)..count//1, @max_single),
        do: Instances.id(event.source, event.data.id, annotations, n)
  end

  defp instance_id(%{data: data} = event) do
    Instances.id(event.source, data.id, Envelope.annotations(data), 1)
  end

  defp provider(data) do
    %{
      public_key: key(data),
      link_name: Map.get(data, :link_name, "default"),
      contract_id: List.first(Map.get(data, :contracts, [])) || ""
    }
  end

  # A provider is part of the host and has no token. wadm refuses a list of tags for providers, and accepts `nil`.
  defp provider_claims(data) do
    %{
      issuer: "",
      tags: nil,
      name: data.id,
      version: "",
      not_before_human: "immediately",
      expires_human: "never"
    }
  end

  defp key(data), do: Map.get(data, :public_key) || data.id
end
