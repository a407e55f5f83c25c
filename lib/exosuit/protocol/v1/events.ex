defmodule Exosuit.Protocol.V1.Events do
  @moduledoc """
  Encodes events for the tools of wasmCloud 1.x, with the names and fields that they know.

  The tools refuse an event that lacks a field. An event of Exosuit may become several of theirs, or none.
  `guides/events.md` lists the names.
  """

  alias Exosuit.Event
  alias Exosuit.Protocol.Envelope

  @doc """
  The CloudEvents for an event, each with the name that ends its subject; an empty list if the tools of 1.x do not know
  it. The id of the first is a ULID with the time of the event, written as a UUID.

  1.x has one event for all changes of a component, `component_scaled` with the number of instances. A stop is a scale
  to
  0. Each set of annotations has an event of its own, because tools count instances by annotations.
  """
  @spec encode(Event.t()) :: [{String.t(), map()}]
  def encode(%Event{} = event) do
    for {{name, data}, n} <- event |> facts() |> Enum.with_index(),
        do: {name, Envelope.wrap(event, name, data, ulid(event), n)}
  end

  @doc """
  The inventory of a host in the form of 1.x: only running items, and an entry for each set of annotations.
  """
  @spec inventory(map()) :: map()
  def inventory(it) do
    it
    |> Map.take([:host_id, :friendly_name, :labels, :version, :uptime_human, :uptime_seconds])
    |> Map.put(:components, for(%{status: :running} = a <- it.actors, c <- components(a), do: c))
    |> Map.put(:providers, for(%{status: :running} = p <- it.providers, do: provider(p)))
  end

  defp facts(%{type: type, data: data}) when type in ~w(host_started host_stopped) do
    [{type, Map.take(data, [:labels, :friendly_name, :uptime_seconds, :version])}]
  end

  defp facts(%{type: "host_heartbeat", data: data}) do
    own = Map.take(data, [:heartbeat_interval_ms, :mac])
    [{"host_heartbeat", Map.merge(inventory(data), own)}]
  end

  defp facts(%{type: type} = event) when type in ~w(actor_started actor_updated) do
    for {annotations, count} <- Envelope.shares(event.data),
        do: {"component_scaled", scaled(event, annotations, count)}
  end

  defp facts(%{type: "actor_stopped"} = event) do
    for {annotations, _count} <- Envelope.shares(event.data),
        do: {"component_scaled", scaled(event, annotations, 0)}
  end

  defp facts(%{type: "actor_scaled", data: data} = event) do
    before = Map.new(Envelope.shares(%{shares: data.before}))
    now = Map.new(Envelope.shares(data))

    for annotations <- Map.keys(Map.merge(before, now)),
        do: {"component_scaled", scaled(event, annotations, Map.get(now, annotations, 0))}
  end

  defp facts(%{type: type, data: data} = event)
       when type in ~w(actor_start_failed actor_update_failed) do
    for {annotations, count} <- Envelope.shares(data) do
      {"component_scale_failed", Map.put(scaled(event, annotations, count), :error, data.error)}
    end
  end

  defp facts(%{type: "provider_started", data: data} = event) do
    started = Map.merge(placed(event), legacy(data))

    [{"provider_started", Map.put(started, :image_ref, data.image_ref)}]
  end

  defp facts(%{type: "provider_start_failed", data: data} = event) do
    failed = %{
      provider_id: data.id,
      provider_ref: data.image_ref,
      host_id: event.source,
      error: data.error,
      link_name: Map.get(data, :link_name, "default")
    }

    [{"provider_start_failed", failed}]
  end

  defp facts(%{type: "provider_stopped", data: data} = event) do
    stopped = Map.merge(placed(event), legacy(data))
    [{"provider_stopped", Map.put(stopped, :reason, to_string(data.reason))}]
  end

  defp facts(%{type: "health_check_" <> _how = type} = event), do: [{type, health(event)}]

  defp facts(%{type: "linkdef_set_failed", data: data}) do
    [{"linkdef_set_failed", Map.put(link(data), :error, data.error)}]
  end

  defp facts(%{type: type, data: data}) when type in ~w(linkdef_set linkdef_deleted) do
    [{type, link(data)}]
  end

  defp facts(%{type: type, data: data}) when type in ~w(config_set config_deleted) do
    [{type, data}]
  end

  defp facts(%{type: "labels_changed", data: data, source: host_id}) do
    [{"labels_changed", %{host_id: host_id, labels: data.labels}}]
  end

  defp facts(_other), do: []

  defp scaled(%{data: data} = event, annotations, count) do
    given = [public_key: Map.get(data, :public_key), claims: Envelope.claims(data[:claims])]

    Map.merge(given(given), %{
      component_id: data.id,
      image_ref: data.image_ref,
      max_instances: count,
      host_id: event.source,
      annotations: annotations
    })
  end

  defp placed(%{data: data} = event) do
    Map.put(health(event), :annotations, Envelope.annotations(data))
  end

  defp health(event), do: %{host_id: event.source, provider_id: event.data.id}

  # Fields for tools from between the two generations.
  defp legacy(data) do
    key = Map.get(data, :public_key) || data.id
    %{instance_id: data.id, public_key: key, link_name: Map.get(data, :link_name, "default")}
  end

  defp link(data) do
    %{
      source_id: data.source,
      target: data.target,
      name: data.name,
      wit_namespace: data.namespace,
      wit_package: data.package,
      interfaces: Map.get(data, :interfaces, []),
      source_config: Map.get(data, :source_configs, []),
      target_config: Map.get(data, :target_configs, [])
    }
  end

  # Makes an entry for each set of annotations, because the tools count instances by annotations.
  defp components(actor) do
    for {annotations, count} <- Envelope.shares(actor) do
      Map.merge(given(name: actor.claims[:name]), %{
        id: actor.id,
        image_ref: actor.image_ref,
        annotations: annotations,
        revision: Envelope.revision(actor.claims[:revision]),
        max_instances: count
      })
    end
  end

  defp provider(provider) do
    %{
      id: provider.id,
      image_ref: provider.image_ref,
      name: provider.id,
      revision: 0,
      annotations: Envelope.annotations(provider)
    }
  end

  # A ULID from the event's time and the random part of its id, written as a UUID.
  defp ulid(event) do
    <<_::48, chance::10-bytes>> =
      event.id |> String.replace("-", "") |> Base.decode16!(case: :lower)

    Event.uuid(<<DateTime.to_unix(event.time, :millisecond)::48, chance::binary>>)
  end

  defp given(fields), do: for({key, value} <- fields, value != nil, into: %{}, do: {key, value})
end
