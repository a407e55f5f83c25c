defmodule Exosuit.Event.Types do
  @moduledoc """
  All types of events, with their fields: one table, from which one struct for each type is made.

  `Exosuit.Event.ActorStarted` is the struct of `actor_started`. `Exosuit.Lattice.announce/2` takes such a
  struct, so an event with a misspelt type or field does not compile. Subscribers get an `Exosuit.Event`, whose
  `data` has the fields of the struct. A required field is always in `data`, an optional one only if it has a
  value.

  `guides/events.md` is made from this table. To add a type: add a row, a line in `Exosuit.Edge.LogLines`, and
  run `EXOSUIT_WRITE_GUIDES=1 mix test test/exosuit/event/reference_test.exs`.

  ## How the table is read

  A row has a struct, a type, the sentence for the guide, and two lists of fields: required ones, which a struct must
  have, and optional ones. A field in a list is a key of `@fields`, where its form and meaning are. A pair there
  (`source: {:text, "the caller"}`) gives the field another meaning for this type. So a field that several types have in
  common is described once, and means the same everywhere.

  Each row becomes a module with a struct, its type `t`, docs, and `new/1`. Facts of the data plane come from Rust as a
  name and a map; `cast/2` makes a struct of them, and a test compares the table with Rust's.
  """

  alias Exosuit.Event

  @typedoc "A struct of one of the types."
  @type fact :: struct()

  @typedoc """
  The form of a field.

  - `:text`, `:texts`: a text, a list of texts; `:word`: an atom of a fixed set
  - `:number`, `:flag`: an integer, true or false
  - `:map`: texts by texts; `:maps`: a list of maps; `:claims`: the claims of an actor, or `nil`
  - `…_or_nil`: the field is always there, and may be empty
  """
  @type form ::
          :text
          | :text_or_nil
          | :word
          | :number
          | :number_or_nil
          | :flag
          | :texts
          | :map
          | :maps
          | :claims

  @typedoc "A field of a type. The data of an event always has a required field, and an optional one if it has a value."
  @type field :: %{name: atom(), form: form(), meaning: String.t(), required?: boolean()}

  @typedoc "A type: its section in the guide, its struct, its name, when it is sent, and its fields."
  @type description :: %{
          section: String.t(),
          module: module(),
          type: String.t(),
          sent: String.t(),
          fields: [field()]
        }

  # Each field that an event may have. A row of the table below may give another form and meaning.
  @fields %{
    actors: {:maps, "the actors of the host"},
    after_ms: {:number, "milliseconds until the next try"},
    annotations: {:map, "the annotations of the actor or provider"},
    app: {:text, "the name of the application"},
    apps: {:texts, "the names of the applications"},
    before: {:maps, "`shares` before the change"},
    bucket: {:word, "`data` (links and claims), `configurations` or `applications`"},
    call_alias: {:text, "the call alias in the actor's token"},
    claims: {:claims, "the claims of the actor; nothing if it is unsigned"},
    config_name: {:text, "the name of the configuration"},
    connection: {:text, "`control`, `rpc`, or `local` on a host without NATS"},
    contracts: {:texts, "the contracts that the provider implements"},
    count: {:number, "how many: records, calls, events or notices"},
    endpoints: {:texts, "the addresses at which the provider listens"},
    error: {:text, "the reason, for people to read"},
    file: {:text, "the file of the certificate"},
    friendly_name: {:text_or_nil, "the friendly name of the host"},
    healthy: {:flag, "whether the provider is healthy"},
    heartbeat_interval_ms: {:number, "milliseconds between heartbeats"},
    host_id: {:text, "the public key of the host"},
    id: {:text, "the id of the actor or provider"},
    image_ref: {:text, "the reference of the code"},
    instances: {:number, "the number of calls of the actor that may run at a time"},
    interfaces: {:texts, "the interfaces of the link; all of its package if there are none"},
    kept_as: {:text, "the path under which the damaged file is kept"},
    key: {:text, "the key in the store"},
    kind: {:text, "the kind of the refusal: `replayed`, …"},
    labels: {:map, "the labels of the host"},
    link_name: {:text, "the link name of the provider"},
    mac: {:number, "the version of calls with a MAC that the host accepts"},
    max_payload: {:number, "the largest message that the server accepts, in bytes"},
    max: {:number, "the maximum number of hosts in the table"},
    max_bytes: {:number, "the maximum number of bytes of these hosts"},
    name: {:text, "the name of the link"},
    namespace: {:text, "the namespace of the link's contract"},
    oci_url: {:text, "the reference of the provider"},
    operation: {:text, "the operation that was called"},
    option: {:text, "the option of the host, and the item in it"},
    package: {:text, "the package of the link's contract"},
    path: {:text, "the path of the file or socket"},
    provider: {:text, "the id of the provider"},
    providers: {:maps, "the providers of the host"},
    public_key:
      {:text_or_nil, "the public key of the actor or provider; nothing if it is unsigned"},
    reason: {:word, "the reason, for code to match: one of `Exosuit.Error`"},
    revision: {:number_or_nil, "the revision in the claims; nothing if it is unsigned"},
    role: {:word, "`actor`, `provider` or `link`"},
    shares: {:maps, "`instances` for each set of `annotations`"},
    skew_ms:
      {:number, "milliseconds by which the other clock is ahead; negative if it is behind"},
    source: {:text, "the source of the link"},
    source_configs: {:texts, "the names of the configurations of the source"},
    subscriber: {:flag, "true if a subscriber on the host lost them"},
    target: {:text, "the target of the link or call"},
    target_configs: {:texts, "the names of the configurations of the target"},
    uptime_human: {:text, "the time since the host started, for people to read"},
    uptime_seconds: {:number, "seconds since the host started"},
    version: {:text, "the version of Exosuit"},
    warning: {:text, "the part without effect, the reason, and what would be right"},
    what: {:text, "the part that works again"}
  }

  @actor ~w(public_key revision image_ref annotations shares claims)a
  @provider ~w(public_key contracts link_name image_ref annotations endpoints)a
  @checked ~w(id public_key contracts link_name image_ref annotations)a
  @link ~w(source target name namespace package interfaces source_configs target_configs)a
  @failure ~w(reason error)a

  @version {:number, "the version of the application"}
  @caller {:text, "the caller"}
  @why {:text, "why it ended"}

  # Section, and its rows: struct, type, when the event is sent, required fields, optional fields.
  @table [
    {"Hosts",
     [
       {Event.HostStarted, "host_started", "A host started.",
        [:labels, :friendly_name, :version, :uptime_seconds], []},
       {Event.HostStopped, "host_stopped",
        "A host stops. Its running calls have ended, or their time is up.", [:labels], []},
       {Event.HostHeartbeat, "host_heartbeat",
        "A host with NATS reports what runs on it, at regular intervals. Not sent to subscribers on the host.",
        ~w(host_id friendly_name labels version uptime_seconds uptime_human)a ++
          ~w(actors providers heartbeat_interval_ms mac)a, []},
       {Event.LabelsChanged, "labels_changed", "A label was put or deleted.", [:labels], []},
       {Event.IdentityNotKept, "identity_not_kept",
        "The host cannot keep its identity in the data directory: after a restart it has another one.",
        @failure, []},
       {Event.HostLost, "host_lost", "Another host of the lattice missed two heartbeats.",
        [:host_id, :friendly_name], []},
       {Event.HostsIgnored, "hosts_ignored",
        "The table of other hosts is full: further hosts are ignored. Names the last ignored host.",
        [:host_id, :max, :max_bytes], []},
       {Event.StartupApplied, "startup_applied", "An option of the host was applied.", [:option],
        []},
       {Event.StartupFailed, "startup_failed",
        "An option of the host could not be applied. Without `after_ms`, it is not tried again.",
        [:option | @failure], [:after_ms]},
       {Event.ControlFailed, "control_failed",
        "The control socket cannot be opened. The host runs without it, and tries again.",
        [:path | @failure], []}
     ]},
    {"Actors",
     [
       {Event.ActorStarted, "actor_started", "An actor started.", [:id | @actor], []},
       {Event.ActorStartFailed, "actor_start_failed", "An actor could not start.",
        [:id, :image_ref, :annotations | @failure],
        ~w(public_key revision shares claims instances)a},
       {Event.ActorStopped, "actor_stopped", "An actor was stopped, or its process ended.",
        [:id | @actor] ++ [reason: @why], []},
       {Event.ActorScaled, "actor_scaled", "The number of an actor's instances changed.",
        ~w(id public_key instances shares before image_ref annotations claims)a, []},
       {Event.ActorUpdated, "actor_updated",
        "The code or the settings of an actor were replaced. The fields are those after the update.",
        [:id | @actor], []},
       {Event.ActorUpdateFailed, "actor_update_failed",
        "The code of an actor could not be replaced. The old code keeps running.",
        [:id, :annotations | @failure] ++ [image_ref: {:text, "the reference of the new code"}],
        ~w(shares instances)a},
       {Event.AliasRefused, "alias_refused",
        "An actor runs, but cannot be called by the alias in its token.",
        [:id, :call_alias | @failure], []}
     ]},
    {"Providers",
     [
       {Event.ProviderStarted, "provider_started", "A provider started.", [:id | @provider], []},
       {Event.ProviderStartFailed, "provider_start_failed", "A provider could not start.",
        [:id, :image_ref, :annotations | @failure],
        ~w(public_key contracts link_name endpoints)a},
       {Event.ProviderStopped, "provider_stopped",
        "A provider was stopped, or its process ended.", [:id | @provider] ++ [reason: @why], []},
       {Event.HealthCheckPassed, "health_check_passed",
        "A provider is healthy, for the first time or again.", @checked ++ [:healthy], []},
       {Event.HealthCheckFailed, "health_check_failed",
        "A provider is not healthy any more, or failed its first check.",
        @checked ++ [:healthy | @failure], []},
       {Event.HealthCheckStatus, "health_check_status",
        "A provider's health was checked, and has not changed.", @checked ++ [:healthy],
        @failure},
       {Event.ProviderWarning, "provider_warning",
        "A part of a provider's configuration has no effect, or its service is impaired.",
        [:id, :warning], []},
       {Event.ProviderRecovered, "provider_recovered",
        "A provider works as it should again, after a warning.", [:id, :what], []},
       {Event.CertificateChanged, "certificate_changed",
        "A provider uses a new certificate: its files changed.", [:provider, :file], []},
       {Event.CertificateRefused, "certificate_refused",
        "The changed files of a certificate cannot be used. The old certificate stays in use.",
        [:provider, :file | @failure], []}
     ]},
    {"Retries",
     [
       {Event.Restarting, "restarting",
        "An actor or provider failed to start, or its process ended. It is started again.",
        [:id, :role, :after_ms | @failure], Enum.uniq(@actor ++ @provider)},
       {Event.RetrySlow, "retry_slow",
        "An actor, provider or link has failed for about 15 s. Retries become slower, down to one a minute.",
        [:role, :after_ms | @failure], Enum.uniq([:id] ++ @actor ++ @provider ++ @link)}
     ]},
    {"Links and configurations",
     [
       {Event.LinkdefSet, "linkdef_set", "A link was made. Sent by the host that made it.", @link,
        []},
       {Event.LinkdefSetFailed, "linkdef_set_failed",
        "A link has no effect on this host. If it was to replace a link, the old link stays in force.",
        ~w(source target name namespace package)a ++ @failure,
        ~w(interfaces source_configs target_configs)a},
       {Event.LinkdefDeleted, "linkdef_deleted",
        "A link was deleted. Sent by the host that deleted it.", @link, []},
       {Event.LinkApplied, "link_applied", "A link of the lattice came into force on this host.",
        @link, []},
       {Event.LinkRemoved, "link_removed",
        "A link of the lattice is no longer in force on this host.", @link, []},
       {Event.LinkWarning, "link_warning", "A link was made, but a part of it has no effect.",
        ~w(source target name namespace package warning)a, []},
       {Event.ConfigSet, "config_set", "A configuration was stored.", [:config_name], []},
       {Event.ConfigDeleted, "config_deleted", "A configuration was deleted.", [:config_name],
        []},
       {Event.RefmapSet, "refmap_set",
        "A host recorded in the lattice which public key a provider's reference has. Not sent to subscribers on the host.",
        [:oci_url, :public_key], []}
     ]},
    {"Applications",
     [
       {Event.ApplicationFailed, "application_failed",
        "A version of an application failed on this host. The version before it is deployed again.",
        [:app, version: @version, reason: {:text, "why it failed"}], []},
       {Event.ApplicationIgnored, "application_ignored",
        "A record in the store cannot be read, or there is no room for it.", [:key], @failure},
       {Event.ApplicationsPutBack, "applications_put_back",
        "The store lacked records of applications. This host wrote them again.", [:apps], []},
       {Event.ApplicationsNotKept, "applications_not_kept",
        "The host's own copy of the applications cannot be read or written.", @failure, []},
       {Event.WadmApiServing, "wadm_api_serving",
        "The wadm of the lattice is gone. This host answers wadm's API again.", [], []},
       {Event.WadmApiSilent, "wadm_api_silent",
        "A wadm runs in the lattice. This host leaves wadm's API to it.", [], []}
     ]},
    {"Calls",
     [
       {Event.InvocationFailed, "invocation_failed", "A call was refused, or failed.",
        [:target, :operation] ++ @failure ++ [source: @caller], []},
       {Event.InvocationsRefused, "invocations_refused",
        "Calls from other hosts were refused. Sent once a second at most for each kind of reason.",
        [:kind, :count, :target | @failure], []}
     ]},
    {"Lattice",
     [
       {Event.LatticeConnected, "lattice_connected", "A connection to NATS was made.",
        [:connection], []},
       {Event.LatticeDisconnected, "lattice_disconnected", "A connection to NATS was lost.",
        [:connection], []},
       {Event.LatticeUnreachable, "lattice_unreachable",
        "No connection to NATS can be made. Sent once for each reason.", [:connection | @failure],
        []},
       {Event.LatticeRefused, "lattice_refused",
        "The NATS server refused an operation of the host.", [:connection | @failure], []},
       {Event.LatticeSlowConsumer, "lattice_slow_consumer",
        "The host reads too slowly: messages were lost.", [:connection], []},
       {Event.LatticeLameDuck, "lattice_lame_duck", "The NATS server is going to stop.",
        [:connection], []},
       {Event.LatticeClockSkew, "lattice_clock_skew",
        "The clock of another host differs. From 30 seconds on, its calls are refused.",
        [:connection, :skew_ms, source: {:text, "the actor or provider on that host"}], []},
       {Event.LatticeStateUnavailable, "lattice_state_unavailable",
        "The shared state cannot be read now. The host goes on with its copy.",
        [:bucket | @failure], []},
       {Event.LatticeStateDropped, "lattice_state_dropped",
        "The host has no room for some records, and ignores them. Names the last ignored record.",
        [:bucket, :key, :count], []},
       {Event.LatticeStateLost, "lattice_state_lost",
        "The NATS servers lost records. The hosts write them again.", [:bucket, :count], []},
       {Event.LatticeStateDamaged, "lattice_state_damaged",
        "The file of a host without NATS is damaged. The host uses its readable part.",
        [:path, :kept_as | @failure], []},
       {Event.LatticeStateNotKept, "lattice_state_not_kept",
        "The data directory cannot be written. The host keeps its store in memory, and loses it when it stops.",
        @failure, []},
       {Event.RecordRefused, "record_refused", "A shared record cannot be read.",
        [:key | @failure], []},
       {Event.RecordsRefused, "records_refused",
        "Further shared records cannot be read. Sent within a second after `record_refused`.",
        [:count], []},
       {Event.HeartbeatShortened, "heartbeat_shortened",
        "Full heartbeats would be too large for a message. They have counts instead of lists.",
        [:max_payload, count: {:number, "the number of actors of the host"}], []},
       {Event.EventsDropped, "events_dropped",
        "Events were lost: there was no connection, or a subscriber reads too slowly.", [:count],
        [:subscriber]},
       {Event.NoticesDropped, "notices_dropped",
        "Facts of the data plane were lost: they came faster than the host reads them.", [:count],
        []}
     ]}
  ]

  @forms %{
    text: quote(do: String.t()),
    text_or_nil: quote(do: String.t() | nil),
    word: quote(do: atom()),
    number: quote(do: integer()),
    number_or_nil: quote(do: integer() | nil),
    flag: quote(do: boolean()),
    texts: quote(do: [String.t()]),
    map: quote(do: %{optional(String.t()) => String.t()}),
    maps: quote(do: [map()]),
    claims: quote(do: map() | nil)
  }

  describe = fn fields, names, required? ->
    for entry <- names do
      {name, {form, meaning}} =
        if is_atom(entry), do: {entry, Map.fetch!(fields, entry)}, else: entry

      %{name: name, form: form, meaning: meaning, required?: required?}
    end
  end

  @descriptions (for {section, rows} <- @table,
                     {module, type, sent, required, optional} <- rows do
                   required = describe.(@fields, required, true)
                   fields = required ++ describe.(@fields, optional, false)
                   %{section: section, module: module, type: type, sent: sent, fields: fields}
                 end)

  for description <- @descriptions do
    {required, optional} = Enum.split_with(description.fields, & &1.required?)
    required_types = for field <- required, do: {field.name, @forms[field.form]}

    optional_types =
      for field <- optional, do: {field.name, quote(do: unquote(@forms[field.form]) | nil)}

    docs = for field <- description.fields, do: "- `#{field.name}`: #{field.meaning}\n"

    defmodule description.module do
      @moduledoc "The event `#{description.type}`. #{description.sent}\n\n#{docs}"

      @enforce_keys for field <- required, do: field.name
      defstruct for field <- required ++ optional, do: field.name

      @type t :: %__MODULE__{unquote_splicing(required_types ++ optional_types)}

      @doc "The event with these fields. Raises if it has other fields, or lacks a required one."
      @spec new(map()) :: t()
      def new(fields), do: struct!(__MODULE__, fields)
    end
  end

  @modules Map.new(@descriptions, &{&1.type, &1.module})

  @doc "Describes all types, in the order of the table."
  @spec all() :: [description()]
  def all, do: @descriptions

  @doc "The form and the meaning of each field. A type may give a field another form and meaning."
  @spec fields() :: %{atom() => {form(), String.t()}}
  def fields, do: @fields

  @doc """
  The name of a struct's type.

      iex> Exosuit.Event.Types.type(Exosuit.Event.ActorStarted)
      "actor_started"
  """
  @spec type(module()) :: String.t()
  for %{module: module, type: type} <- @descriptions do
    def type(unquote(module)), do: unquote(type)
  end

  @doc """
  The fields of a struct for `Exosuit.Event`: optional ones without a value are left out.

      iex> alias Exosuit.Event
      iex> failed = %Event.StartupFailed{option: "actors[0]", reason: :io, error: "no such file"}
      iex> Map.has_key?(Event.Types.data(failed), :after_ms)
      false
      iex> Event.Types.data(%{failed | after_ms: 1_000}).after_ms
      1000
  """
  @spec data(fact()) :: %{optional(atom()) => term()}
  def data(%module{} = fact) do
    optional = optional(module)

    :maps.filter(
      fn name, value -> value != nil or name not in optional end,
      Map.from_struct(fact)
    )
  end

  @doc """
  The struct of a type by its name, with these fields. `:error` if the table has no such type or fields. A name from
  outside makes no atom.

      iex> alias Exosuit.Event
      iex> Event.Types.cast("config_set", %{config_name: "db"})
      {:ok, %Event.ConfigSet{config_name: "db"}}
      iex> Event.Types.cast("config_set", %{})
      :error
  """
  @spec cast(String.t(), %{optional(atom()) => term()}) :: {:ok, fact()} | :error
  def cast(type, data) do
    with {:ok, module} <- Map.fetch(@modules, type),
         names = Map.keys(data),
         true <- required(module) -- names == [] and names -- names(module) == [] do
      {:ok, struct!(module, data)}
    else
      _unknown -> :error
    end
  end

  defp names(module), do: required(module) ++ optional(module)

  for %{module: module, fields: fields} <- @descriptions do
    defp required(unquote(module)), do: unquote(for it <- fields, it.required?, do: it.name)
    defp optional(unquote(module)), do: unquote(for it <- fields, not it.required?, do: it.name)
  end
end
