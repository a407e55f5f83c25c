defmodule Exosuit.Event do
  @moduledoc """
  A fact about a host, as a CloudEvent 1.0.

  `type` is the short name (`"actor_started"`); `to_cloud_event/1` gives the envelope that the
  lattice carries, with the type in full (`"com.wasmcloud.lattice.actor_started"`).

  In a lattice of many hosts others are told, by both generations of its tools: `Exosuit.Event.Otp` and
  `Exosuit.Event.V1` are what each event is for them. What has no name there stays with the host.

  In an app that has `:telemetry`, each is executed as `[:exosuit, :event]`, with the fields of this
  struct and the `:host`'s name as metadata, and `:system_time` as measurement.

  | type | data |
  |---|---|
  | `host_started`, `host_stopped` | `labels`, and `version` for the first |
  | `actor_started` | `id`, `public_key`, `revision`, `image_ref`, `annotations`, `shares`, `claims` |
  | `actor_start_failed` | `id`, `image_ref`, `reason`, `error` |
  | `actor_stopped` | `id`, `public_key`, `annotations`, `reason` |
  | `actor_scaled` | `id`, `public_key`, `instances`, `shares`, `before` (the shares), `image_ref`, `annotations`, `claims` |
  | `actor_updated` | as `actor_started`: what serves from now on |
  | `actor_update_failed` | `id`, `image_ref` (the new one), `reason`, `error`; the old code goes on |
  | `provider_started`, `provider_stopped` | `id`, `public_key`, `contracts`, `link_name`, `image_ref`, `annotations`, `endpoints` or `reason` |
  | `provider_start_failed` | `id`, `image_ref`, `reason`, `error` |
  | `restarting` | `id`, `role`, `reason`, `error`, `after_ms`: when it is started again |
  | `retry_slow` | as `restarting`, once: it has failed for a quarter of a minute, and is tried once a minute in the end |
  | `health_check_passed`, `health_check_failed` | `id`, `public_key`, `contracts`, `link_name`, and `error` for the second: what a provider says of its health, when it says something else than before |
  | `health_check_status` | as `health_check_passed`, with `healthy`: what it says is as it was |
  | `startup_applied`, `startup_failed` | `option`: what of the host's options, and `reason`, `error`, `after_ms` of the second |
  | `identity_not_kept` | `reason`, `error`: the host is another one when it is started again |
  | `linkdef_set`, `linkdef_deleted` | the link's fields; told by the host that made the change |
  | `linkdef_set_failed` | the link's fields, `reason`, `error`: it does not hold on this host; a link that had other settings goes on with those |
  | `link_warning` | the link's fields, `warning`: a part of it has no effect, though it is made |
  | `provider_warning` | `id`, `warning`: a part of its configuration has no effect, or its service is impaired |
  | `provider_recovered` | `id`, `what`: what a warning told of is over |
  | `link_applied`, `link_removed` | the link's fields: this host follows the lattice |
  | `config_set`, `config_deleted` | `config_name` |
  | `record_refused` | `key`, `reason`, `error`: what is shared under it cannot be read |
  | `records_refused` | `count`: further ones within a second |
  | `lattice_state_unavailable` | `bucket`, `reason`, `error`: what is shared cannot be read now; what is known goes on |
  | `lattice_state_dropped` | `bucket`, `key`, `count`: records for which a host has no room are passed over; the last of them |
  | `lattice_state_lost` | `bucket`, `count`: records that the servers lack; they are put back |
  | `lattice_state_damaged` | `path`, `kept_as`, `reason`, `error`: the file of a host without NATS; what can be read is in use |
  | `lattice_state_not_kept` | `reason`, `error`: the data directory cannot be written; what is stored is lost when the host stops |
  | `application_failed` | `app`, `version`, `reason`: the version failed on this host, and the one before is deployed again |
  | `application_ignored` | `key`, `reason`, `error`: what is stored under it cannot be read, or there is no room for it |
  | `applications_put_back` | `apps`: records that the store lacked; this host wrote them again |
  | `applications_not_kept` | `reason`, `error`: the copy of the applications cannot be read or written |
  | `lattice_connected`, `lattice_disconnected` | `connection`: `control` or `rpc` |
  | `lattice_unreachable` | `connection`, `reason`, `error`: why there is no connection; told once for each reason |
  | `lattice_refused` | `connection`, `reason`, `error`: the server does not allow something |
  | `lattice_clock_skew` | `connection`, `source`, `skew_ms`: the clock of the host of that actor or provider is ahead, or behind; from 30 s on, its calls are refused |
  | `lattice_slow_consumer`, `lattice_lame_duck` | `connection` (`local` without NATS): messages were lost; the server will stop |
  | `invocations_refused` | `target`, `kind`, `count`, `reason`, `error`: calls from other hosts |
  | `certificate_changed` | `provider`, `file`: new files are in use |
  | `certificate_refused` | `provider`, `file`, `reason`, `error`: changed files cannot be used; the old certificate stays in use |
  | `alias_refused` | `id`, `call_alias`, `reason`, `error` |
  | `control_failed` | `path`, `reason`, `error`: the host serves without its control socket |
  | `invocation_failed` | `source`, `target`, `operation`, `reason`, `error` |
  | `host_lost` | `host_id`, `friendly_name`: another host of the lattice is not heard of any more |
  | `hosts_ignored` | `host_id`, `most`, `most_bytes`: there are more hosts, or they say more, than is kept in mind; the last one that was not |
  | `heartbeat_shortened` | `count` (of actors), `max_payload`: heartbeats do not fit into a message, and have counts in place of lists |
  | `events_dropped` | `count`: events that the lattice was not told while there was no connection; with `subscriber`, events that this subscriber was not sent, as it reads too slowly |
  | `notices_dropped` | `count`: facts of the data plane that came faster than they were read |
  """

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

  @doc "The envelope of the specification, ready to be encoded."
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
end
