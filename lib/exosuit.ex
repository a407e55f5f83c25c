defmodule Exosuit do
  @moduledoc """
  An OTP host for WebAssembly. It supervises actors and the capabilities that they may use.

  A host is a child of your supervision tree. Several hosts may run in one VM, and do not see each other:

      children = [
        {Exosuit,
         name: MyApp.Host,
         trusted_issuers: ["ACOJJN6WUP4ODD75XEBKKTCCUJJCY5ZKQ56XVKYK4BEJWGVAOOQHZMCW"],
         manifests: ["priv/app.yaml"]}
      ]

  The options `:manifests`, `:actors`, `:start_providers` and `:put_links` are applied at each start of the host,
  also when its supervisor restarts it. `start_link/1` waits until each item was tried once. Refused items are
  retried, and `inventory/1` shows them as `:pending`.

  Start an actor, and call it from any process:

      {:ok, id} = Exosuit.start_actor(MyApp.Host, "echo.wasm", id: "echo")
      {:ok, "hello"} = Exosuit.call(MyApp.Host, "echo", "Echo.Say", "hello")

  To use a capability, an actor must have signed claims that name it, and a link to a provider of it:

      {:ok, "kv"} = Exosuit.start_provider(MyApp.Host, "keyvalue", id: "kv")
      :ok = Exosuit.put_link(MyApp.Host, source: id, target: "kv", contract: "wasmcloud:keyvalue")

  An unsigned actor runs only on a host with `unsigned: :allow`, and needs only the link.

  A manifest describes actors, providers and links as one application, and `apply_manifest/2` applies it.
  `Exosuit.App` shows applications, deploys their versions, and rolls them back.

  All processes of a host are supervised, see `Exosuit.Tree`. After more than three crashes in five seconds, the
  whole host ends. Its supervisor then restarts it with the items of its options, and with its share of the
  applications in its store.

  Every function takes the host's name first. It raises `ArgumentError` if no such host runs, or if an
  argument or option has the wrong type. Errors are `Exosuit.Error`. Hosts emit events, see `subscribe/1`.

  `call/5` and `inventory/1` call no process of the host. Functions that change a host call one of its processes
  and wait for it. If that process is killed in the meantime, the caller exits as with `GenServer.call/3`, and
  may call again.

  ## Options

  #{Exosuit.Config.docs()}

  ## Limits of the engine

  All hosts of a VM share one engine. Its limits are options of the application (`config :exosuit,
  engine: [pool_slots: 2_000]`) or environment variables (`guides/release.md`):

  #{Exosuit.Config.Engine.docs()}
  """

  alias Exosuit.{
    App,
    Artifact,
    Directory,
    Edge,
    Error,
    Instance,
    Lattice,
    Manifest,
    Router,
    Settings,
    Startup,
    Tree,
    World
  }

  alias Exosuit.Host.{
    ActorOptions,
    Actors,
    Calls,
    Configurations,
    Facts,
    Inventory,
    Labels,
    Linking,
    LinkOptions,
    Links,
    Providers,
    Shutdown
  }

  alias Exosuit.Model.{Instances, Link}

  @type host :: atom()
  @type id :: String.t()

  @describe [
    id: [
      type: :string,
      default: nil,
      doc:
        "the id of the actor; the actor need not run. The links of this id and of the token's public key are used. " <>
          "An unsigned file needs an id."
    ]
  ]

  @doc "Returns the child specification of a host. Its id is the host's `:name`."
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
  defdelegate start_link(options), to: Tree

  @doc """
  Starts an actor from a path or from `{:bytes, wasm}` and waits until it runs.

  The `:id` is by default the subject of the claims (`M…`); an unsigned actor needs an `:id`. If the actor cannot
  start, the host keeps nothing of it.

  ## Options

  #{ActorOptions.docs()}
  """
  @spec start_actor(host(), Path.t() | {:bytes, binary()}, keyword()) ::
          {:ok, id()} | {:error, Error.t()}
  def start_actor(host, code, options \\ []) do
    Actors.start(instance!(host), code, options)
  end

  @doc "Stops an actor; running calls finish within the host's drain timeout."
  @spec stop_actor(host(), id()) :: :ok | {:error, Error.t()}
  def stop_actor(host, id), do: Actors.stop(instance!(host), id)

  @doc "Changes how many calls of an actor may run at a time."
  @spec scale_actor(host(), id(), pos_integer()) :: :ok | {:error, Error.t()}
  def scale_actor(host, id, instances), do: Actors.scale(instance!(host), id, instances)

  # Changes the instances for each set of annotations. For tools that manage hosts, see `Exosuit.Model.Instances`.
  @doc false
  @spec resize_actor(host(), id(), Instances.change()) :: :ok | {:error, Error.t()}
  def resize_actor(host, id, change), do: Actors.resize(instance!(host), id, change)

  @doc """
  Replaces the code of a running actor without losing a call. Returns when the new code serves calls.

  The code comes from a path or from `{:bytes, wasm}`. It must have the same public key, the same issuer and a
  greater revision. The host first checks, compiles and instantiates the new code. Then new calls go to the new code,
  and running calls finish in the old code, within the host's drain timeout. Links, limits and instances stay. After
  a crash, the actor starts with the new code. If the new code cannot start, nothing changes, and the event
  `actor_update_failed` has the reason.

  ## Options

  #{ActorOptions.update_docs()}
  """
  @spec update_actor(host(), id(), Path.t() | {:bytes, binary()}, keyword()) ::
          :ok | {:error, Error.t()}
  def update_actor(host, id, code, options \\ []) do
    Actors.update(instance!(host), id, code, options)
  end

  @doc """
  Starts a provider and waits until it runs. The provider is a built-in one, such as `"http-client"`, `"http-server"`
  (`guides/http.md`), `"keyvalue"` (`guides/keyvalue.md`) or `"messaging"` (`guides/messaging.md`), or a module of
  yours (`Exosuit.Provider`).

  A module may also be named as in a manifest: `"exosuit+module://NAME"` is the module of that name in the host's
  option `:providers`. Its default id is that name.

  ## Options

  #{Providers.docs()}
  """
  @spec start_provider(host(), String.t() | module(), keyword()) ::
          {:ok, id()} | {:error, Error.t()}
  def start_provider(host, provider, options \\ []) do
    Providers.start(instance!(host), provider, options)
  end

  @doc "Stops a provider: closes its sockets and files."
  @spec stop_provider(host(), id()) :: :ok | {:error, Error.t()}
  def stop_provider(host, id), do: Providers.stop(instance!(host), id)

  @doc """
  Makes a link, or changes its configuration. The new link replaces links of the same `:source`, `:contract` and
  `:name` that share an interface with it.

  When an actor is stopped, its links stay for its own code: the same issuer and public key. Links of an unsigned
  actor stay for the same bytes; in a lattice over NATS, for any unsigned code. Different code under that id gets the
  links when they are put again, or at once with `outlives: true`. Until then, they are refused.

  A link is refused if the claims of the actor are known and do not name the contract. The link is written to the
  lattice's store, for all hosts. If that fails, this host does not get the link either. A host without NATS keeps
  links in memory: after a restart, applications and the option `:put_links` make their links again.

  If a link names a configuration (`put_config/3`) that is not stored, the link is not in force until it is stored.
  `inventory/1` shows the link as refused.

  ## Options

  #{LinkOptions.docs()}
  """
  @spec put_link(host(), keyword()) :: :ok | {:error, Error.t()}
  def put_link(host, fields), do: Linking.put(instance!(host), LinkOptions.link!(fields))

  @doc """
  Removes the links of a `:source`, `:contract` and `:name`, with all their interfaces. The next call through them is
  refused.
  """
  @spec delete_link(host(), keyword()) :: :ok | {:error, Error.t()}
  def delete_link(host, fields), do: Linking.delete(instance!(host), LinkOptions.key!(fields))

  @doc """
  Returns the warnings about the links of a `:source`, `:contract` and `:name`, a sentence each. Examples are a
  setting that the provider does not know, or a name that no call of a component uses.
  """
  @spec link_warnings(host(), keyword()) :: {:ok, [String.t()]} | {:error, Error.t()}
  def link_warnings(host, fields) do
    Router.link_warnings(instance!(host).router, LinkOptions.key!(fields))
  end

  @doc "Returns the links in force on a host: all links of its lattice except those that the host refused."
  @spec links(host()) :: [Link.t()]
  def links(host), do: Links.list(instance!(host))

  @doc """
  Stores a configuration under a name, for all hosts of the lattice. Links that name the configuration use its new
  values from then on. An event reports the change. A host without NATS keeps the configuration in its data
  directory, if it has one.
  """
  @spec put_config(host(), String.t(), %{optional(String.t()) => String.t()}) ::
          :ok | {:error, Error.t()}
  def put_config(host, name, values), do: Configurations.put(instance!(host), name, values)

  @doc "Returns the configuration of this name."
  @spec get_config(host(), String.t()) ::
          {:ok, %{optional(String.t()) => String.t()}} | {:error, Error.t()}
  def get_config(host, name), do: Configurations.fetch(instance!(host), name)

  @doc """
  Deletes a configuration, if it exists. Links that name it are not in force until it is stored again.
  """
  @spec delete_config(host(), String.t()) :: :ok | {:error, Error.t()}
  def delete_config(host, name), do: Configurations.delete(instance!(host), name)

  @doc """
  Describes a module or component before it runs: its imports and exports with their types, its token, the tools that
  made it, the needs of an instance, and who would answer its imports.

      {:ok, description} = Exosuit.describe("shop.wasm")
      [%{name: "acme:shop/orders@1.0.0", functions: [%{signature: "func(order: order) -> …"} | _]}] =
        description.world.exports

  The code is a path, or `{:bytes, wasm}`. Describing untrusted code is safe, because it is not compiled. Returns an
  `Exosuit.World.Description`. Blocks the calling process.
  """
  @spec describe(Path.t() | {:bytes, binary()}) ::
          {:ok, Exosuit.World.Description.t()} | {:error, Error.t()}
  def describe(code), do: with({:ok, bytes} <- bytes(code), do: World.describe(bytes))

  @doc """
  Describes a module or component as `describe/1` does, and says who answers its imports on this host, by its links.

      {:ok, %{answers: answers}} = Exosuit.describe(MyApp.Host, "shop.wasm", id: "shop")
      for %{by: :nobody, text: text} <- answers, do: IO.puts(text)

  ## Options

  #{Exosuit.Options.docs(@describe)}
  """
  @spec describe(host(), Path.t() | {:bytes, binary()}, keyword()) ::
          {:ok, Exosuit.World.Description.t()} | {:error, Error.t()}
  def describe(host, code, options \\ []) do
    options = Exosuit.Options.validate!(options, @describe)
    inventory = inventory(host)
    with {:ok, bytes} <- bytes(code), do: World.describe(bytes, {options[:id], inventory})
  end

  defp bytes(code) do
    with {:ok, artifact} <- Artifact.parse(code), do: Artifact.read(artifact)
  end

  @doc """
  Calls an actor by id, public key or call alias, and waits for its answer.

      {:ok, "hello"} = Exosuit.call(MyApp.Host, "echo", "Echo.Say", "hello")

  For a function of a component, pass a list of arguments; the result is converted as in `Exosuit.Wit`:

      {:ok, 3} = Exosuit.call(MyApp.Host, "calculator", "my:math/calculator@1.0.0#add", [1, 2])
      {:ok, {:error, "by zero"}} = Exosuit.call(MyApp.Host, "calculator", "my:math/calculator@1.0.0#divide", [1, 0])

  If a function has a single argument, a string or a list of bytes, the call may also pass a binary, which is
  cheaper. If such a function returns a `result`, the call returns it as its own result: `{:ok, value}`, or an error.

  Every call returns: at its deadline, it returns an error. The call is checked and begins in the calling process. If
  that process ends, the call is interrupted.

  ## Options

  #{Calls.docs()}
  """
  @spec call(host(), String.t(), String.t(), binary() | [Exosuit.Wit.value()], keyword()) ::
          {:ok, Exosuit.Wit.value()} | {:error, Error.t()}
  def call(host, target, operation, payload, options \\ [])
      when is_binary(target) and is_binary(operation) and
             (is_binary(payload) or is_list(payload)) do
    Calls.call(Directory.fetch!(host, :calls), target, operation, payload, options)
  end

  @doc """
  Applies a manifest. A second apply changes only the parts that differ. New code and new settings of a running actor
  are prepared first, and then replace the old ones. If they cannot start, the old ones keep running, and the outcome
  of the step has the reason.

  The manifest is stored as a new version of its application. From then on, each host of the lattice runs its share
  of the application, see `Exosuit.App`. Files that the manifest names are read on this machine, and stored as well.
  The calling process waits until this host has applied its share.

  `{:ok, outcomes, warnings}` lists each step on this host and its outcome. After `{:error, diagnostics}`, nothing
  was changed: the manifest has mistakes, or the lattice is not reachable.

  ## Options

  #{Startup.Manifests.docs()}
  """
  @spec apply_manifest(host(), Path.t(), keyword()) ::
          {:ok, [App.Progress.step()], [Manifest.diagnostic()]}
          | {:error, [Manifest.diagnostic()]}
  def apply_manifest(host, path, options \\ []) do
    Startup.Manifests.apply(instance!(host), path, options)
  end

  @doc """
  Deletes an application by its name, on all hosts of the lattice: stops its actors and providers, and deletes its
  links. If this host still retries to apply a manifest of the application, the retries end. The calling process
  waits until this host has stopped its share. The error is `:not_found` if the application does not exist.
  """
  @spec delete_app(host(), String.t()) :: {:ok, [App.Progress.step()]} | {:error, Error.t()}
  def delete_app(host, app), do: Startup.Manifests.delete_app(instance!(host), app)

  @doc "Returns the names of the hosts that run in this VM."
  @spec hosts() :: [host()]
  def hosts, do: Directory.hosts()

  @doc """
  Returns the hosts of a lattice, this host first: their ids, names, labels, numbers of actors and providers, and the
  milliseconds since their last heartbeat.
  """
  @spec hosts(host()) :: [map()]
  def hosts(host), do: Inventory.hosts(instance!(host))

  # Emits the facts of the host as an event, for tools that search for hosts.
  @doc false
  @spec heartbeat(host()) :: :ok
  def heartbeat(host), do: Edge.Heartbeat.beat(instance!(host))

  @doc """
  Returns the specified actors, providers and links of a host, as maps, without their configuration.

  The `:status` of an actor or provider is `:running`, `:starting`, `:crashing` (its own code fails), `:refused`
  (something that it needs is missing, for example a file), or `:failed` (it cannot start, and is not retried). Each
  map also has `:reason`, `:error` and `:retry_in_ms`, and for a provider the result of its last health check
  (`:health`). `:pending` lists the options of the host that are not applied yet.
  """
  @spec inventory(host()) :: map()
  def inventory(host), do: Inventory.take(instance!(host))

  @doc """
  Returns an actor by its id or its public key, as the inventory shows it. If several actors have the key, the error
  is a `:conflict` with their ids.
  """
  @spec fetch_actor(host(), String.t()) :: {:ok, map()} | {:error, Error.t()}
  def fetch_actor(host, name), do: Inventory.fetch_actor(instance!(host), name)

  @doc "Returns a provider by its id, as the inventory shows it."
  @spec fetch_provider(host(), id()) :: {:ok, map()} | {:error, Error.t()}
  def fetch_provider(host, id), do: Inventory.fetch_provider(instance!(host), id)

  @doc "Returns facts about the host: its id, names, labels, version and uptime."
  @spec facts(host()) :: map()
  def facts(host), do: Facts.take(instance!(host))

  @doc """
  Sets a label of the host. Labels of `hostcore.*` are refused. The event `labels_changed` reports the change.
  """
  @spec put_label(host(), String.t(), String.t()) :: :ok | {:error, Error.t()}
  def put_label(host, key, value), do: Labels.put(instance!(host), key, value)

  @doc "Removes a label, if the host has it."
  @spec delete_label(host(), String.t()) :: :ok | {:error, Error.t()}
  def delete_label(host, key), do: Labels.delete(instance!(host), key)

  @doc """
  Returns the known actors and providers of the lattice, including those of other hosts, with their public keys and
  their claims. Providers have a `:contract_id`.
  """
  @spec claims(host()) :: [map()]
  def claims(host), do: Inventory.claims(instance!(host))

  # Stores credentials for registries, which Exosuit does not read yet. No function returns them.
  @doc false
  @spec put_registries(host(), %{String.t() => struct()}) :: :ok | {:error, Error.t()}
  def put_registries(host, registries), do: Settings.put_registries(instance!(host), registries)

  @doc """
  Stops a host: it refuses new calls, lets running ones finish, and ends. Its supervisor does not restart it. Returns
  at once.
  """
  @spec stop(host()) :: :ok
  def stop(host), do: Shutdown.begin(instance!(host))

  # For command receivers: a stopping host refuses commands.
  @doc false
  @spec stopping?(host()) :: boolean()
  def stopping?(host), do: Settings.stopping?(instance!(host))

  @doc "Returns the process of an actor or a provider, or `nil` while it does not run."
  @spec whereis(host(), id()) :: pid() | nil
  def whereis(host, id), do: Inventory.whereis(instance!(host), id)

  @doc """
  Sends the calling process each further event of the host as `{:exosuit_event, event}`.

  The host need not run yet. A subscriber that reads too slowly loses events: while 10 000 messages wait in its
  mailbox, no further event is sent to it. When events arrive again, the first is `events_dropped` with the `count`
  of lost events. The subscriber is linked to the registry of subscribers. If the registry crashes, the subscriber
  ends as well, unless it traps exits. A supervisor should restart it, so that it subscribes again.
  """
  @spec subscribe(host()) :: :ok
  def subscribe(host), do: Lattice.Events.subscribe(host)

  @doc "Ends the calling process's subscription."
  @spec unsubscribe(host()) :: :ok
  def unsubscribe(host), do: Lattice.Events.unsubscribe(host)

  @spec instance!(host()) :: Instance.t()
  defp instance!(host), do: Directory.fetch!(host, :instance)
end
