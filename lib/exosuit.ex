defmodule Exosuit do
  @moduledoc """
  An OTP host for WebAssembly: signed actors and the capabilities they may use, supervised.

  A host is a child of your supervision tree; several may live in one VM and do not see each other:

      children = [
        {Exosuit,
         name: MyApp.Host,
         trusted_issuers: ["ACOJJN6WUP4ODD75XEBKKTCCUJJCY5ZKQ56XVKYK4BEJWGVAOOQHZMCW"],
         manifests: ["priv/app.yaml"]}
      ]

  The options `:manifests`, `:actors`, `:start_providers` and `:put_links` are applied at each start of the
  host, also when its supervisor restarts it. `start_link/1` waits until each was tried once. Refused items
  are retried, and `inventory/1` shows them as `:pending`.

  Start an actor, and call it from any process:

      {:ok, id} = Exosuit.start_actor(MyApp.Host, "echo.wasm", id: "echo")
      {:ok, "hello"} = Exosuit.call(MyApp.Host, "echo", "Echo.Say", "hello")

  A capability that an actor uses must be named in its signed claims, and a link must join the two:

      {:ok, "kv"} = Exosuit.start_provider(MyApp.Host, "keyvalue", id: "kv")
      :ok = Exosuit.put_link(MyApp.Host, source: id, target: "kv", contract: "wasmcloud:keyvalue")

  Or write all of it in a manifest, and apply that: `apply_manifest/2`. `Exosuit.App` shows applications, deploys
  their versions, and rolls them back.

      Exosuit (one_for_one)
      ├── Nameplate     registers the host in the VM under its names
      ├── Writer        without NATS: keeps what a lattice shares, see `Exosuit.Lattice.Local`
      ├── Host          the serving part: see `Exosuit.Host`
      ├── Applications  makes the host run its share of applications: see `Exosuit.App.Supervisor`
      ├── Edge          the connections to the outside: see `Exosuit.Edge`
      └── Drain         refuses new calls and lets running ones finish when the host stops

  Specifications, links and the router's table belong to this supervisor, and survive a crash of any child.
  The children crash independently. After more than three crashes in five seconds, the whole host ends. Its
  supervisor then restarts it with the items of its options, and with its share of the applications in its store.

  Every function takes the host's name first. It raises `ArgumentError` if no such host runs, or if an
  argument or option has the wrong type. Errors are `Exosuit.Error`. Hosts emit events, see `subscribe/1`.

  `call/5` and `inventory/1` pass through no process. Functions that change a host call one of its processes
  and wait for it. If that process is killed in the meantime, the caller exits as with `GenServer.call/3`, and
  may call again.

  ## Options

  #{Exosuit.Config.docs()}

  ## Limits of the engine

  All hosts of a VM share one engine. Its limits are options of the application (`instance :exosuit,
  engine: [pool_slots: 2_000]`) or environment variables (`guides/release.md`):

  #{Exosuit.Config.Engine.docs()}
  """
  use Supervisor

  alias Exosuit.{
    App,
    Claims,
    Config,
    Control,
    Directory,
    Drain,
    Edge,
    Error,
    Host,
    Input,
    Instance,
    Lattice,
    Manifest,
    Options,
    Origin,
    Router,
    Settings,
    Startup,
    Wasm
  }

  alias Exosuit.Provider.Builtin

  alias Exosuit.Host.{
    Configurations,
    Facts,
    Identity,
    Inventory,
    Linking,
    Links,
    Roster,
    Specifications,
    Statuses
  }

  alias Exosuit.Model

  alias Exosuit.Model.{
    ActorSpecification,
    Grants,
    Instances,
    Limits,
    Link,
    ProviderSpecification,
    Warm
  }

  @type host :: atom()
  @type id :: String.t()

  @annotations [
    type: :string_map,
    default: %{},
    doc: "annotations, shown in events and the inventory."
  ]
  @update [
    force: [
      type: :boolean,
      default: false,
      doc: "whether the same revision, and code without claims, is accepted as well."
    ]
  ]
  @issuer_change [
    allow_issuer_change: [
      type: :boolean,
      default: false,
      doc:
        "whether code of another issuer may replace the running code, and inherit its links and data."
    ]
  ]
  @grants [
    arguments: [
      type: {:secret, {"a list of strings without zero bytes", &Grants.arguments?/1}},
      default: [],
      doc: "its command-line arguments, after the name of the program."
    ],
    environment: [
      type:
        {:secret,
         {"a map from names without `=` to strings, without zero bytes", &Grants.environment?/1}},
      default: %{},
      doc: "its environment variables."
    ],
    directories: [
      type:
        {"at most 16 of [host: path, guest: \"/data\", access: :read or :write]",
         &Grants.directories?/1},
      default: [],
      doc:
        "existing directories of this machine, under their names in the guest; without `:access` " <>
          "it may only read. Neither a path nor a symbolic link leads out of them."
    ]
  ]
  @warm [
    pool: [
      type: :number,
      default: %Warm{}.pool,
      doc: "how many idle instances are kept at most; more may run at once."
    ],
    calls: [
      type: :number,
      default: %Warm{}.calls,
      doc: "the number of calls after which an instance is dropped."
    ],
    idle: [
      type: :milliseconds,
      default: %Warm{}.idle,
      doc: "the milliseconds without a call after which an instance is dropped."
    ]
  ]
  @actor [
    id: [type: :string, default: nil, doc: "its id on this host."],
    instances: [type: :instances, default: 1, doc: "how many calls may run at a time."],
    warm: [
      type: {:options, @warm},
      default: nil,
      doc:
        "keeps instances, with the guest's state, between calls; this is faster than a fresh " <>
          "instance for each call. An instance that traps, exits, reaches a limit or is " <>
          "interrupted is dropped. All are dropped when the actor restarts or is updated. `[]` " <>
          "uses the defaults."
    ],
    memory_limit: [
      type: :bytes,
      default: nil,
      doc: "bytes of linear memory of an instance; by default the host's."
    ],
    queue: [
      type: :amount,
      default: nil,
      doc: "calls that may wait while all instances are busy; by default the host's."
    ],
    deadline: [
      type: :milliseconds,
      default: nil,
      doc: "milliseconds that a call may take at most, whatever its caller asks for."
    ],
    config: [
      type: :string_map,
      default: %{},
      doc:
        "its configuration, which a component reads by `wasi:config`; a wasmbus actor has no way " <>
          "to read it."
    ],
    grants: [
      type: {:options, @grants},
      doc: "the parts of the host that WASI shows it; none without a grant."
    ],
    annotations: @annotations
  ]
  @provider [
    id: [
      type: :string,
      default: nil,
      doc: "its id on this host; by default its name, `\"clock\"` for `MyApp.Clock`."
    ],
    config: [type: :string_map, default: %{}, doc: "its own configuration."],
    link_name: [
      type: :string,
      default: "default",
      doc: "the link name by which hosts of the OTP era distinguish providers of one kind."
    ],
    annotations: @annotations
  ]
  @provider_module {
    "the name of a built-in one or a module that uses Exosuit.Provider",
    &Options.provider?/1
  }
  @provider_forms "NAME or wasmcloud+builtin://NAME for a built-in provider, or exosuit+module://NAME"
  @contract {"a contract like \"wasmcloud:keyvalue\"", &__MODULE__.contract?/1}
  @link_key [
    source: [
      type: :string,
      doc: "the id or public key of the caller: an actor, or a provider that calls a component."
    ],
    contract: [type: @contract, doc: "the capability that the link is for."],
    name: [
      type: :string,
      default: "default",
      doc: "distinguishes several links for one contract."
    ]
  ]
  @link @link_key ++
          [
            target: [type: :string, doc: "the id or key of the provider, or of another actor."],
            interfaces: [
              type: {"a list of names of interfaces", &__MODULE__.interfaces?/1},
              default: [],
              doc:
                "the interfaces of the package that the link covers, `[\"store\"]`; `[]` means all."
            ],
            source_config: [
              type: :string_map,
              default: %{},
              doc: "the configuration of the source."
            ],
            target_config: [
              type: :string_map,
              default: %{},
              doc: "the configuration of the target."
            ],
            source_configs: [
              type: :names,
              default: [],
              doc: "names of stored configurations (`put_config/3`), instead of `:source_config`."
            ],
            target_configs: [type: :names, default: [], doc: "the same for `:target_config`."],
            outlives: [
              type: :boolean,
              default: false,
              doc:
                "whether different code that later runs under the id of a stopped actor gets the link."
            ]
          ]
  @call [
    timeout: [
      type: :milliseconds,
      default: nil,
      doc: "milliseconds that it may take; by default the host's `:call_timeout`."
    ],
    execution: [
      type: {:in, [:auto, :inline, :async]},
      default: :auto,
      doc:
        "`:inline` polls the guest once on this scheduler, `:async` never does, and `:auto` " <>
          "chooses by the actor's earlier calls."
    ],
    origin: [
      type: {"nil, `:host` or `{:provider, id, contract, link_name}`", &__MODULE__.origin?/1},
      default: nil,
      doc:
        "the caller, see `Exosuit.Origin`; by default the provider whose call this process " <>
          "handles, else the host."
    ]
  ]

  @doc "The child specification of a host; its `:name` is its id, too."
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(options) do
    %{
      id: options[:name] || __MODULE__,
      start: {__MODULE__, :start_link, [options]},
      type: :supervisor
    }
  end

  @doc "Starts a host. See the options above."
  @spec start_link(keyword()) :: Supervisor.on_start()
  def start_link(options) do
    config = Config.new!(options)
    items = startup(config)
    # These options may hold secrets, and only one process needs them.
    config = %{config | actors: [], start_providers: [], put_links: [], manifests: []}

    with :ok <- unused(config.name),
         {:ok, facts, unkept} <- prepare(config),
         {:ok, pid} <- Supervisor.start_link(__MODULE__, {facts, items}) do
      instance = instance!(config.name)
      Lattice.announce(instance, "host_started", host_facts(instance))
      Lattice.Local.started(instance.lattice)
      if unkept, do: announce_unkept(instance, unkept)
      if items != [], do: Startup.await(instance)
      {:ok, pid}
    end
  end

  @doc """
  Starts an actor from a path or from `{:bytes, wasm}` and waits until it runs.

  Its `:id` is by default the subject of its claims (`M…`); an unsigned actor needs one. Where it
  cannot start, nothing of it is left behind.

  ## Options

  #{Options.docs(@actor)}
  """
  @spec start_actor(host(), Path.t() | {:bytes, binary()}, keyword()) ::
          {:ok, id()} | {:error, Error.t()}
  def start_actor(host, code, options \\ []) do
    instance = instance!(host)
    options = Options.validate!(options, @actor)

    with {:ok, artifact} <- artifact(code),
         {:ok, {bytes, artifact}} <- Exosuit.Artifact.fetch(artifact),
         {:ok, id} <- actor_id(bytes, options[:id], instance) do
      started(instance, actor_specification(instance, id, artifact, options))
    else
      {:error, error} -> not_started(instance, :actor, reference(code), options, error)
    end
  end

  @doc "Stops an actor; calls that run finish within the host's drain timeout."
  @spec stop_actor(host(), id()) :: :ok | {:error, Error.t()}
  def stop_actor(host, id), do: Roster.stop(instance!(host), {:actor, id})

  @doc "Changes how many calls of an actor may run at a time."
  @spec scale_actor(host(), id(), pos_integer()) :: :ok | {:error, Error.t()}
  def scale_actor(host, id, instances) do
    instances = Options.argument!(instances, "the number of instances", :instances)
    Roster.scale(instance!(host), id, instances)
  end

  # For those who manage hosts from outside, see `Exosuit.Model.Instances`.
  @doc false
  @spec resize_actor(host(), id(), Instances.change()) :: :ok | {:error, Error.t()}
  def resize_actor(host, id, change), do: Roster.resize(instance!(host), id, change)

  @doc """
  Replaces the code of a running actor without losing a call, and waits until that is done.

  The code comes from a path or from `{:bytes, wasm}`. It must be signed for the same public key, and
  its issuer the same, and its revision greater. It is checked, compiled and instantiated once first. Then
  new calls go to it, and running calls finish in the old code, within the host's drain timeout. Links,
  limits and instances stay. The specification gets the new code, so that the new code starts after a crash.
  If the new code cannot start, nothing changes, and the event `actor_update_failed` has the reason.

  ## Options

  #{Options.docs(@update ++ @issuer_change)}
  """
  @spec update_actor(host(), id(), Path.t() | {:bytes, binary()}, keyword()) ::
          :ok | {:error, Error.t()}
  def update_actor(host, id, code, options \\ []) do
    instance = instance!(host)
    options = Options.validate!(options, @update ++ @issuer_change)

    with {:ok, artifact} <- artifact(code),
         do: Roster.update(instance, id, artifact, Map.new(options))
  end

  @doc """
  Starts a provider and waits until it runs: a built-in one, `"http-client"`, `"http-server"`
  (`guides/http.md`), `"keyvalue"` or `"messaging"` (`guides/messaging.md`), or a module of yours, see
  `Exosuit.Provider`.

  Where there is only text, as on the control socket, it is named as in a manifest:
  `"exosuit+module://NAME"` is one of the host's `:providers`, and its id by default that name.

  ## Options

  #{Options.docs(@provider)}
  """
  @spec start_provider(host(), String.t() | module(), keyword()) ::
          {:ok, id()} | {:error, Error.t()}
  def start_provider(host, provider, options \\ []) do
    instance = instance!(host)
    options = Options.validate!(options, @provider)

    case provider_artifact(provider, instance) do
      {:ok, {name, artifact}} ->
        fields = [artifact: artifact] ++ Keyword.put(options, :id, options[:id] || name)
        started(instance, struct!(ProviderSpecification, fields))

      {:error, error} ->
        not_started(instance, :provider, provider, options, error)
    end
  end

  @doc "Stops a provider: its sockets are closed and its files let go of."
  @spec stop_provider(host(), id()) :: :ok | {:error, Error.t()}
  def stop_provider(host, id), do: Roster.stop(instance!(host), {:provider, id})

  @doc """
  Makes a link, or changes its configuration. It replaces links of the same `:source`, `:contract` and
  `:name` that share an interface with it.

  When an actor is stopped, its links stay for its own code: the same issuer and public key. For unsigned
  code on a host without a lattice, it is the identical code. Different code under that id gets the links
  when they are put again, or at once with `outlives: true`; until then they are refused.

  Refused if the claims of the actor are known and do not name the contract. In a lattice, the link is
  written for all hosts; if that fails, this host does not get the link either.

  ## Options

  #{Options.docs(@link)}
  """
  @spec put_link(host(), keyword()) :: :ok | {:error, Error.t()}
  def put_link(host, fields) do
    link = link(fields)
    with :ok <- check_ends(link), do: Linking.put(instance!(host), link)
  end

  @doc """
  Removes a link, by `:source`, `:contract` and `:name`, whatever interfaces it covers: the next call
  through it is refused.
  """
  @spec delete_link(host(), keyword()) :: :ok | {:error, Error.t()}
  def delete_link(host, fields) do
    [source: source, contract: contract, name: name] = Options.validate!(fields, @link_key)
    Linking.delete(instance!(host), {source, contract, name})
  end

  @doc """
  The warnings about the links of a `:source`, `:contract` and `:name`, a sentence each. Examples are a
  setting that the provider does not know, or a name that no call of a component uses.
  """
  @spec link_warnings(host(), keyword()) :: {:ok, [String.t()]} | {:error, Error.t()}
  def link_warnings(host, fields) do
    [source: source, contract: contract, name: name] = Options.validate!(fields, @link_key)
    Router.link_warnings(instance!(host).router, {source, contract, name})
  end

  @doc "The links in force on a host: those of its lattice, except the ones that the host refused."
  @spec links(host()) :: [Link.t()]
  def links(host), do: Links.list(instance!(host))

  @doc """
  Stores a configuration under a name, for all hosts of the lattice. Links that name it use it from now on.
  An event reports the change.
  """
  @spec put_config(host(), String.t(), %{optional(String.t()) => String.t()}) ::
          :ok | {:error, Error.t()}
  def put_config(host, name, values) do
    values = Options.argument!(values, "the configuration", :string_map)
    Configurations.put(instance!(host), name, values)
  end

  @doc "The configuration of this name."
  @spec get_config(host(), String.t()) ::
          {:ok, %{optional(String.t()) => String.t()}} | {:error, Error.t()}
  def get_config(host, name), do: Configurations.fetch(instance!(host), name)

  @doc """
  Deletes a configuration, if it exists. In a lattice of many hosts, links that name it are not in force
  until it is stored again.
  """
  @spec delete_config(host(), String.t()) :: :ok | {:error, Error.t()}
  def delete_config(host, name), do: Configurations.delete(instance!(host), name)

  @doc """
  Calls an actor by id, public key or call alias, and waits for its answer.

      {:ok, "hello"} = Exosuit.call(MyApp.Host, "echo", "Echo.Say", "hello")

  For a function of a component, pass a list of arguments; the result is converted as in `Exosuit.Wit`:

      {:ok, 3} = Exosuit.call(MyApp.Host, "calculator", "my:math/calculator@1.0.0#add", [1, 2])
      {:ok, {:error, "by zero"}} = Exosuit.call(MyApp.Host, "calculator", "my:math/calculator@1.0.0#divide", [1, 0])

  A function with a single string or list of bytes may be called with a binary as well, which is cheaper. A
  `result` of the function is then the result of the call.

  Every call returns, at the deadline at the latest, with an error. The call is checked and begins in the
  calling process. If that process ends, the call is interrupted.

  ## Options

  #{Options.docs(@call)}
  """
  @spec call(host(), String.t(), String.t(), binary() | [Exosuit.Wit.value()], keyword()) ::
          {:ok, Exosuit.Wit.value()} | {:error, Error.t()}
  def call(host, target, operation, payload, options \\ [])
      when is_binary(target) and is_binary(operation) and
             (is_binary(payload) or is_list(payload)) do
    {router, default_timeout} = Directory.fetch!(host, :calls)
    {origin, timeout, execution} = call_options(options, default_timeout)
    Wasm.call(router, target, operation, payload, origin, timeout, execution)
  end

  @doc """
  Applies a manifest; a second apply changes only what differs. New code and new settings of a running actor
  are prepared first, and then replace the old ones. If they cannot start, the old ones keep running, and the
  outcome of the step has the reason.

  The manifest is stored as a new version of its application, and each host of the lattice runs its share of it from
  then on, see `Exosuit.App`. Files that the manifest names are read on this machine, and stored as well. The
  calling process waits until this host has made its share.

  `{:ok, outcomes, warnings}` lists each step on this host and its outcome. After `{:error, diagnostics}`, nothing
  was changed: the manifest has mistakes, or the lattice is not reachable.

  ## Options

  #{Options.docs(@issuer_change)}
  """
  @spec apply_manifest(host(), Path.t(), keyword()) ::
          {:ok, [App.Server.step()], [Manifest.diagnostic()]} | {:error, [Manifest.diagnostic()]}
  def apply_manifest(host, path, options \\ []) do
    options = Options.validate!(options, @issuer_change)
    instance = instance!(host)

    with {:ok, steps, warnings} <- App.apply_and_wait(host, path, options) do
      supersede(instance, path)
      {:ok, steps, warnings}
    end
  end

  @doc """
  Deletes an application by its name, on all hosts of the lattice: stops its actors and providers, and
  deletes its links. Its manifests that this host still tries to apply are not tried again. The calling process
  waits until this host has done so. The error is `:not_found` if there is no such application.
  """
  @spec delete_app(host(), String.t()) :: {:ok, [App.Server.step()]} | {:error, Error.t()}
  def delete_app(host, app) do
    supersede(instance!(host), app, nil)
    with :ok <- App.delete(host, app), do: App.await_deleted(host, app)
  end

  @doc "The names of the hosts that run in this VM."
  @spec hosts() :: [host()]
  def hosts, do: Directory.hosts()

  @doc """
  The hosts of a lattice, this one first: their ids, names, labels and numbers of actors and providers, and
  the milliseconds since their last heartbeat.
  """
  @spec hosts(host()) :: [map()]
  def hosts(host), do: Inventory.hosts(instance!(host))

  # For those who ask which hosts there are: it tells them as events, too.
  @doc false
  @spec heartbeat(host()) :: :ok
  def heartbeat(host), do: Edge.Heartbeat.beat(instance!(host))

  @doc """
  The specified actors, providers and links of a host, as maps, without their configuration.

  The `:status` of an actor or provider is `:running`, `:starting`, `:crashing` (its own code fails),
  `:refused` (something that it needs is missing or refuses it), or `:failed` (it cannot start, and is not
  retried). The map has `:reason`, `:error` and `:retry_in_ms` as well, and for a provider the result of its
  last health check (`:health`). `:pending` lists the options of the host that are not applied yet.
  """
  @spec inventory(host()) :: map()
  def inventory(host) do
    instance = instance!(host)
    instance |> Inventory.take() |> Map.put(:pending, Startup.pending(instance))
  end

  @doc """
  An actor by its id or its public key, as in the inventory. If several actors have the key, the error is a
  `:conflict` with their ids.
  """
  @spec fetch_actor(host(), String.t()) :: {:ok, map()} | {:error, Error.t()}
  def fetch_actor(host, name), do: Inventory.fetch_actor(instance!(host), name)

  @doc "A provider by its id, as the inventory shows it."
  @spec fetch_provider(host(), id()) :: {:ok, map()} | {:error, Error.t()}
  def fetch_provider(host, id), do: Inventory.fetch_provider(instance!(host), id)

  @doc "What the host says of itself: who it is, its labels, since when it runs."
  @spec facts(host()) :: map()
  def facts(host), do: Facts.take(instance!(host))

  @doc "Labels the host; those of `hostcore.*` are its own. Told by an event `labels_changed`."
  @spec put_label(host(), String.t(), String.t()) :: :ok | {:error, Error.t()}
  def put_label(host, key, value) do
    instance = instance!(host)
    with :ok <- Settings.put_label(instance, key, value), do: announce_labels(instance)
  end

  @doc "Removes a label, if it is there."
  @spec delete_label(host(), String.t()) :: :ok | {:error, Error.t()}
  def delete_label(host, key) do
    instance = instance!(host)
    with :ok <- Settings.delete_label(instance, key), do: announce_labels(instance)
  end

  @doc """
  The known actors and providers of the lattice, including those of other hosts, with their public keys and
  their claims. Providers have a `:contract_id`.
  """
  @spec claims(host()) :: [map()]
  def claims(host), do: Inventory.claims(instance!(host))

  # What may be shown to registries, for the time when they are read. Nothing gives it back.
  @doc false
  @spec put_registries(host(), %{String.t() => struct()}) :: :ok | {:error, Error.t()}
  def put_registries(host, registries), do: Settings.put_registries(instance!(host), registries)

  @doc """
  Stops a host as its supervisor would: it refuses new calls, lets running ones finish, and ends. It is not
  restarted. Returns at once.
  """
  @spec stop(host()) :: :ok
  def stop(host) do
    pid = GenServer.whereis(Directory.via(instance!(host).name, __MODULE__))
    # Of nobody who ends with the host.
    _stopper = spawn(fn -> Drain.end_host(pid) end)
    :ok
  end

  # For command receivers: a stopping host refuses commands.
  @doc false
  @spec stopping?(host()) :: boolean()
  def stopping?(host), do: Settings.stopping?(instance!(host))

  @doc "The process of an actor or a provider, or `nil` while it does not run."
  @spec whereis(host(), id()) :: pid() | nil
  def whereis(host, id) do
    %Instance{} = instance!(host)

    Enum.find_value([:actor, :provider], fn role ->
      with {:ok, {pid, _facts}} <- Directory.fetch(host, {role, id}),
           do: pid,
           else: (_absent -> nil)
    end)
  end

  @doc """
  Sends the calling process each further event of the host as `{:exosuit_event, event}`.

  The host need not run yet. A subscriber that reads too slowly loses events: while 10 000 messages wait in
  its mailbox, none is added. The next event that it gets follows an event `events_dropped` with the `count`
  of lost events. The subscriber is linked to the registry of subscribers. If the registry crashes, the
  subscriber ends as well, unless it traps exits; its supervisor restarts it, and it subscribes again.
  """
  @spec subscribe(host()) :: :ok
  def subscribe(host), do: Lattice.Local.subscribe(host)

  @doc "Ends the calling process's subscription."
  @spec unsubscribe(host()) :: :ok
  def unsubscribe(host), do: Lattice.Local.unsubscribe(host)

  @doc false
  def origin?(origin), do: is_nil(origin) or Origin.valid?(origin)

  @doc false
  def contract?(text), do: Input.name?(:contract, text)

  @doc false
  def interfaces?(names) do
    is_list(names) and not List.improper?(names) and
      Enum.all?(names, &Input.name?(:interface, &1))
  end

  # For `Exosuit.Startup`: applies one of the options, unless that was done before. An earlier try may
  # have been interrupted: what it has specified is waited for.
  @doc false
  @spec start_option(host(), Startup.item()) :: :ok | {:error, Error.t()}
  def start_option(host, {:actor, [code, options]}) do
    instance = instance!(host)

    with {:ok, id} <- option_id(code, options[:id], instance),
         true <- specified?(instance, {:actor, id}) do
      Roster.resume(instance, {:actor, id})
    else
      _absent -> started_option(start_actor(host, code, options))
    end
  end

  def start_option(host, {:provider, [provider, options]}) do
    instance = instance!(host)

    with {:ok, {name, _artifact}} <- provider_artifact(provider, instance),
         key = {:provider, options[:id] || name},
         true <- specified?(instance, key) do
      Roster.resume(instance, key)
    else
      _absent -> started_option(start_provider(host, provider, options))
    end
  end

  def start_option(host, {:link, [link]}), do: put_link(host, link)

  # What of its share cannot start is retried by the host. Without the lattice, the host serves it alone.
  def start_option(host, {:manifest, [path]}) do
    with {:ok, _steps} <- App.serve_alone(host, path),
         {:ok, _steps, _warnings} <- App.apply_and_wait(host, path, from_here: true) do
      :ok
    else
      {:error, [%{error: %Error{} = error} | _more]} -> {:error, error}
      {:error, [%{text: text} | _more]} -> {:error, Error.new(:invalid_manifest, text)}
    end
  end

  # Has a manifest applied, and tried again until that succeeds.
  @doc false
  @spec want_manifest(host(), Path.t()) :: :ok
  def want_manifest(host, path),
    do: Startup.add(instance!(host), {:manifest, [Path.expand(path)]})

  @impl Supervisor
  def init({facts, items}) do
    instance = instance(facts)

    # The options last: a host that is one too many on its data directory starts nothing.
    above = [
      {Control, {instance, __MODULE__}},
      {Control.Nats, {instance, __MODULE__}},
      {Startup, {instance, __MODULE__, items}}
    ]

    :ok = Directory.Nameplate.register(instance, __MODULE__, self())
    nameplate = {Directory.Nameplate, {instance, __MODULE__, self()}}

    children = [
      {Host, instance},
      {App.Supervisor, instance},
      {Edge, {instance, above}},
      {Drain, instance}
    ]

    lattice = Lattice.Local.children(instance.lattice)
    Supervisor.init([nameplate | lattice] ++ children, strategy: :one_for_one)
  end

  # The tables belong to the calling process, the topmost supervisor.
  defp instance(%{config: config} = facts) do
    tables = %{
      specifications: Specifications.table(),
      links: Links.table(),
      configurations: Configurations.table(),
      peers: Lattice.Peers.table(),
      known: Lattice.Known.table(),
      settings: Settings.table(config),
      statuses: Statuses.table()
    }

    struct!(
      Instance,
      Map.merge(facts, %{
        name: config.name,
        tables: tables,
        lattice: facts.lattice || local_session(facts),
        lost_events: :counters.new(3, []),
        started_at: System.monotonic_time(:second)
      })
    )
  end

  defp local_session(%{config: config, source: source}) do
    Lattice.Local.session(config, source, Directory.via(config.name, Lattice.Local.Writer))
  end

  # What no process owns, and what may be wrong with the options that only Rust can tell.
  defp prepare(config) do
    with {:ok, config} <- keep_secrets(config),
         {:ok, %{public_key: key, friendly_name: name}, unkept} <- Identity.fetch(config),
         router = Router.new(config),
         {:ok, joined} <- join(config, key, router) do
      facts = %{config: config, source: key, friendly_name: name, router: router}
      {:ok, Map.merge(facts, joined), unkept}
    end
  end

  defp keep_secrets(%Config{nats: nil} = config), do: {:ok, config}

  defp keep_secrets(config) do
    with {:ok, nats} <- Lattice.Nats.keep_secrets(config.nats), do: {:ok, %{config | nats: nats}}
  end

  # What the options name, each checked as the function that it is an argument of checks it.
  defp startup(config) do
    Enum.map(config.actors, &{:actor, arguments(&1, @actor)}) ++
      Enum.map(config.start_providers, &{:provider, arguments(&1, @provider)}) ++
      Enum.map(config.put_links, &{:link, [checked(&1, @link)]}) ++
      Enum.map(config.manifests, &{:manifest, [Path.expand(&1)]})
  end

  defp arguments({what, options}, schema) when is_list(options),
    do: [what, checked(options, schema)]

  defp arguments({id, path}, schema), do: arguments({path, [id: to_string(id)]}, schema)
  defp arguments(what, schema), do: arguments({what, []}, schema)

  defp checked(options, schema) do
    Options.validate!(options, schema)
    options
  end

  defp specified?(instance, key), do: match?({:ok, _found}, Specifications.fetch(instance, key))

  defp option_id(_code, id, _instance) when is_binary(id), do: {:ok, id}

  defp option_id(code, nil, instance) do
    with {:ok, artifact} <- artifact(code),
         {:ok, {bytes, _artifact}} <- Exosuit.Artifact.fetch(artifact),
         do: actor_id(bytes, nil, instance)
  end

  defp started_option({:ok, _id}), do: :ok
  defp started_option(error), do: error

  defp announce_unkept(instance, error) do
    data = %{reason: error.reason, error: Exception.message(error)}
    Lattice.announce(instance, "identity_not_kept", data)
  end

  defp join(%Config{nats: nil}, _key, _router),
    do: {:ok, %{bus: Lattice.Local, lattice: nil, nats_lattice: nil}}

  defp join(config, key, router) do
    with {:ok, lattice} <- Lattice.Nats.open(config, key, router),
         session = %Lattice.Session{backend: Lattice.Nats, handle: lattice},
         do: {:ok, %{bus: Lattice.Nats, lattice: session, nats_lattice: lattice}}
  end

  defp host_facts(instance) do
    Map.take(Facts.take(instance), [:labels, :version, :friendly_name, :uptime_seconds])
  end

  defp announce_labels(instance) do
    Lattice.announce(instance, "labels_changed", %{labels: Settings.labels(instance)})
  end

  defp unused(name) do
    case Directory.Nameplate.holder(name, __MODULE__) do
      nil -> :ok
      pid -> {:error, {:already_started, pid}}
    end
  end

  # Another manifest of the same application would undo what was applied now. Mostly, none is left to apply.
  defp supersede(instance, path) do
    if Startup.manifests(instance) != [],
      do: supersede(instance, app(path), Path.expand(path))
  end

  defp supersede(instance, app, applied) do
    for path <- Startup.manifests(instance),
        path != applied,
        app(path) == app,
        do: Startup.forget(instance, {:manifest, [path]})
  end

  defp app(path) do
    case Manifest.parse(path, nil) do
      {:ok, parsed} -> parsed.manifest["name"]
      {:error, _unreadable} -> nil
    end
  end

  defp instance!(host), do: Directory.fetch!(host, :instance)

  defp artifact({:bytes, bytes}) when is_binary(bytes), do: {:ok, {:bytes, bytes, nil}}

  # Bytes without the `:bytes` tag may be megabytes: the error explains the tag, and shows only their beginning.
  defp artifact(<<0, "asm", _rest::binary>>) do
    raise ArgumentError,
          "expected the actor as a path or {:bytes, wasm}, got the bytes themselves"
  end

  defp artifact(text) when is_binary(text) do
    case Input.parse_reference(text) do
      {:ok, {:file, path}} -> {:ok, {:file, Path.expand(path), nil}}
      {:ok, {:registry, image}} -> Input.refuse_registry(image)
      {:ok, {kind, _name}} -> {:error, Error.new(:invalid_input, no_actor(kind, text))}
      {:error, error} -> {:error, error}
    end
  end

  defp artifact(other) do
    shown = inspect(other, limit: 5, printable_limit: 100)
    raise ArgumentError, "expected the actor as a path or {:bytes, wasm}, got: #{shown}"
  end

  # The name for events. A text that is not a reference is shown unchanged, if it is printable.
  defp reference({:bytes, bytes}), do: Model.Artifact.reference({:bytes, bytes, nil})

  defp reference(text) do
    case artifact(text) do
      {:ok, artifact} -> Model.Artifact.reference(artifact)
      {:error, _error} -> if String.valid?(text), do: text, else: inspect(text)
    end
  end

  defp no_actor(kind, text) do
    "expected a Wasm file as the actor, got #{inspect(text)}, which is a provider (#{kind})"
  end

  defp started(instance, specification) do
    with :ok <- Roster.start(instance, specification), do: {:ok, specification.id}
  end

  # Of what got further, its start tells.
  defp not_started(instance, role, reference, options, error) do
    id = options[:id] || reference
    Roster.announce_failure(instance, role, id, reference, options[:annotations], error)
    {:error, error}
  end

  defp provider_artifact(text, instance) when is_binary(text) do
    case text |> Options.argument!("the provider", :string) |> Input.parse_reference() do
      {:ok, {:builtin, name}} -> provider_builtin(name)
      {:ok, {:module, name}} -> provider_module(name, instance.config.providers)
      {:ok, {:registry, image}} -> Input.refuse_registry(image)
      {:ok, {:file, ^text}} -> provider_name(text)
      {:ok, {:file, _path}} -> {:error, Error.new(:invalid_input, no_provider(text))}
      {:error, error} -> {:error, error}
    end
  end

  defp provider_artifact(module, _instance) do
    name = module |> Options.argument!("the provider", @provider_module) |> inspect()
    id = name |> String.split(".") |> List.last() |> Macro.underscore()
    {:ok, {id, {:module, name, module}}}
  end

  defp provider_builtin(name) do
    with {:ok, _facts} <- Builtin.fetch(name), do: {:ok, {name, {:builtin, name}}}
  end

  # Without a scheme it is that of a built-in one.
  defp provider_name(text) do
    if Input.name?(:id, text),
      do: provider_builtin(text),
      else: {:error, Error.new(:invalid_input, no_provider(text))}
  end

  defp no_provider(text) do
    "expected #{@provider_forms}, got #{inspect(text, printable_limit: 200)}: providers from a file " <>
      "are not supported yet"
  end

  # By the name that the host has for it, which is text: none is made into an atom.
  defp provider_module(name, modules) do
    case modules do
      %{^name => module} ->
        {:ok, {name, {:module, name, module}}}

      _without ->
        known = modules |> Map.keys() |> Enum.map_join(", ", &inspect/1)
        detail = "#{inspect(name)} is not among the host's `providers:` (known: #{known})"
        {:error, Error.new(:not_found, detail)}
    end
  end

  defp actor_id(_bytes, id, _instance) when is_binary(id), do: {:ok, id}

  defp actor_id(bytes, nil, instance) do
    case Claims.admit(bytes, instance.config) do
      {:ok, :unsigned} -> {:error, Error.new(:invalid_input, "an unsigned actor needs an :id")}
      {:ok, claims} -> {:ok, claims.subject}
      {:error, error} -> {:error, error}
    end
  end

  defp actor_specification(instance, id, artifact, options) do
    %ActorSpecification{
      id: id,
      artifact: artifact,
      instances: options[:instances],
      warm: options[:warm] && struct!(Warm, options[:warm]),
      limits: %Limits{
        memory: options[:memory_limit] || instance.config.memory_limit,
        queue: options[:queue] || instance.config.queue,
        deadline: options[:deadline]
      },
      config: options[:config],
      grants: Grants.new(options[:grants]),
      annotations: options[:annotations]
    }
  end

  defp link(fields) do
    {contract, fields} = fields |> Options.validate!(@link) |> Keyword.pop!(:contract)
    [namespace, package] = String.split(contract, ":", parts: 2)
    struct!(Link, [namespace: namespace, package: package] ++ fields)
  end

  # They become parts of keys and subjects.
  defp check_ends(link) do
    with :ok <- Input.check_name(:id, link.source),
         :ok <- Input.check_name(:id, link.target),
         do: Input.check_name(:link_name, link.name)
  end

  # Most calls are given none, and they are many.
  defp call_options([], default_timeout), do: {Origin.get(), default_timeout, :auto}

  defp call_options(options, default_timeout) do
    options = Options.validate!(options, @call)
    {options[:origin] || Origin.get(), options[:timeout] || default_timeout, options[:execution]}
  end
end
