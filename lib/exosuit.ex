defmodule Exosuit do
  @moduledoc """
  An OTP host for WebAssembly: signed actors and the capabilities they may use, supervised.

  A host is a child of your supervision tree; several may live in one VM and do not see each other:

      children = [
        {Exosuit, name: MyApp.Host, trusted_issuers: ["ACOJJN6WUP4ODD75XEBKKTCCUJJCY5ZKQ56XVKYK4BEJWGVAOOQHZMCW"]}
      ]

  Start an actor, and call it from any process:

      {:ok, id} = Exosuit.start_actor(MyApp.Host, "echo.wasm", id: "echo")
      {:ok, "hello"} = Exosuit.call(MyApp.Host, "echo", "Echo.Say", "hello")

  A capability that an actor uses must be named in its signed claims, and a link must join the two:

      {:ok, "kv"} = Exosuit.start_provider(MyApp.Host, "keyvalue", id: "kv")
      :ok = Exosuit.put_link(MyApp.Host, source: id, target: "kv", contract: "wasmcloud:keyvalue")

  Or write all of it in a manifest, and apply that: `apply_manifest/2`.

      Exosuit (one_for_one)
      ├── Host    what serves: see `Exosuit.Host`
      ├── Edge    what talks to the world: see `Exosuit.Edge`
      └── Drain   takes its time when the host stops: no new calls, running ones finish

  Every function takes the host's name first and raises `ArgumentError` where no such host runs.
  Errors are `Exosuit.Error`; what happens on a host is told by events, see `subscribe/1`.

  ## Options

  #{Exosuit.Config.docs()}
  """
  use Supervisor

  alias Exosuit.{Claims, Config, Directory, Drain, Edge, Error, Host, Lattice, Manifest, Wasm}
  alias Exosuit.Host.{Deployment, Inventory, Links, Roster}
  alias Exosuit.Model.{ActorSpecification, Limits, Link, ProviderSpecification}

  @type host :: atom()
  @type id :: String.t()

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
  def start_link(options), do: Supervisor.start_link(__MODULE__, Config.new!(options))

  @doc """
  Starts an actor from a path or from `{:bytes, wasm}` and waits until it runs.

  Its `:id` is by default the subject of its claims (`M…`); an unsigned actor needs one. Where it
  cannot start, nothing of it is left behind.

  ## Options

  - `:id`: what it is called on this host
  - `:instances`: how many calls may run at a time (default 1)
  - `:memory_limit`: bytes of linear memory of an instance (default: the host's)
  - `:queue`: how many calls may wait while as many run as may (default: the host's)
  - `:annotations`: a map from strings to strings, shown in events and the inventory
  """
  @spec start_actor(host(), Path.t() | {:bytes, binary()}, keyword()) ::
          {:ok, id()} | {:error, Error.t()}
  def start_actor(host, code, options \\ []) do
    config = config!(host)

    with {:ok, {bytes, artifact}} <- Exosuit.Artifact.fetch(artifact(code)),
         {:ok, id} <- actor_id(bytes, options[:id], config),
         specification = actor_specification(config, id, artifact, options),
         :ok <- Roster.start(config, specification),
         do: {:ok, id}
  end

  @doc "Stops an actor; calls that run finish within the host's drain timeout."
  @spec stop_actor(host(), id()) :: :ok | {:error, Error.t()}
  def stop_actor(host, id), do: Roster.stop(config!(host), {:actor, id})

  @doc "Changes how many calls of an actor may run at a time."
  @spec scale_actor(host(), id(), pos_integer()) :: :ok | {:error, Error.t()}
  def scale_actor(host, id, instances) when is_integer(instances) and instances > 0 do
    Roster.scale(config!(host), id, instances)
  end

  @doc """
  Starts a built-in provider, `"http-server"` or `"keyvalue"`, and waits until it runs.

  ## Options

  - `:id`: what it is called on this host (default: its name)
  - `:config`: a map from strings to strings
  - `:annotations`: a map from strings to strings
  """
  @spec start_provider(host(), String.t(), keyword()) :: {:ok, id()} | {:error, Error.t()}
  def start_provider(host, name, options \\ []) do
    id = Keyword.get(options, :id, name)

    specification = %ProviderSpecification{
      id: id,
      artifact: {:builtin, name},
      config: Keyword.get(options, :config, %{}),
      annotations: Keyword.get(options, :annotations, %{})
    }

    with :ok <- Roster.start(config!(host), specification), do: {:ok, id}
  end

  @doc "Stops a provider: its sockets are closed and its files let go of."
  @spec stop_provider(host(), id()) :: :ok | {:error, Error.t()}
  def stop_provider(host, id), do: Roster.stop(config!(host), {:provider, id})

  @doc """
  Makes a link, or changes its configuration.

  Refused where the claims of the actor are known and do not name the contract.

  ## Options

  - `:source`, `:target`: ids of an actor and of a provider (or of another actor)
  - `:contract`: `"wasmcloud:keyvalue"`
  - `:name`: of several links for one contract (default `"default"`)
  - `:source_config`, `:target_config`: maps from strings to strings
  """
  @spec put_link(host(), keyword()) :: :ok | {:error, Error.t()}
  def put_link(host, fields), do: Links.put(config!(host), link(fields))

  @doc "Removes a link, by `:source`, `:contract` and `:name`: the next call through it is refused."
  @spec delete_link(host(), keyword()) :: :ok | {:error, Error.t()}
  def delete_link(host, fields), do: Links.delete(config!(host), link_key(fields))

  @doc """
  Calls an actor by id, public key or call alias, and waits for its answer.

  It always answers: at the deadline at the latest, with an error. The call is checked and run in
  the calling process; when that process ends, the call ends with it.

  ## Options

  - `:timeout`: milliseconds (default: the host's `:call_timeout`)
  - `:execution`: `:inline` polls the guest once on this scheduler, `:async` never does, and `:auto`
    (the default) learns from what the actor did before
  """
  @spec call(host(), String.t(), String.t(), binary(), keyword()) ::
          {:ok, binary()} | {:error, Error.t()}
  def call(host, target, operation, payload, options \\ [])
      when is_binary(target) and is_binary(operation) and is_binary(payload) do
    {router, default_timeout} = Directory.fetch!(host, :calls)
    timeout = Keyword.get(options, :timeout, default_timeout)

    Wasm.call(
      router,
      target,
      operation,
      payload,
      timeout,
      Keyword.get(options, :execution, :auto)
    )
  end

  @doc """
  Makes an application what its manifest says: a second apply changes only what differs.

  `{:ok, outcomes}` lists each step that was taken, and how it went; `{:error, diagnostics}` says
  what is wrong with the manifest, all at once, and nothing was changed.
  """
  @spec apply_manifest(host(), Path.t()) ::
          {:ok, [Deployment.outcome()], [Manifest.diagnostic()]}
          | {:error, [Manifest.diagnostic()]}
  def apply_manifest(host, path) do
    config = config!(host)

    with {:ok, manifest} <- Manifest.read(path, config),
         do: {:ok, Deployment.apply(config, manifest), manifest.warnings}
  end

  @doc "Stops all that a manifest had started, by its application's name."
  @spec delete_app(host(), String.t()) :: [Deployment.outcome()]
  def delete_app(host, app), do: Deployment.delete(config!(host), app)

  @doc "What runs on a host: its actors, providers and links, as maps. No configuration is shown."
  @spec inventory(host()) :: map()
  def inventory(host), do: Inventory.take(config!(host))

  @doc "The process of an actor or a provider, or `nil` while it does not run."
  @spec whereis(host(), id()) :: pid() | nil
  def whereis(host, id) do
    Enum.find_value([:actor, :provider], fn role ->
      with {:ok, {pid, _facts}} <- Directory.fetch(host, {role, id}),
           do: pid,
           else: (_absent -> nil)
    end)
  end

  @doc "Sends the calling process each further event of the host as `{:exosuit_event, event}`."
  @spec subscribe(host()) :: :ok
  def subscribe(host), do: Lattice.Local.subscribe(host)

  @doc "Ends the calling process's subscription."
  @spec unsubscribe(host()) :: :ok
  def unsubscribe(host), do: Lattice.Local.unsubscribe(host)

  @impl Supervisor
  def init(config) do
    {:ok, {public_key, _seed}} = Claims.generate_key("server")
    config = %{config | source: public_key, bus: Lattice.Local}
    Supervisor.init([{Host, config}, {Edge, config}, {Drain, config}], strategy: :one_for_one)
  end

  defp config!(host), do: Directory.fetch!(host, :config)

  defp artifact({:bytes, bytes}) when is_binary(bytes), do: {:bytes, bytes, nil}
  defp artifact(path) when is_binary(path), do: {:file, Path.expand(path), nil}

  defp actor_id(_bytes, id, _config) when is_binary(id), do: {:ok, id}

  defp actor_id(bytes, nil, config) do
    case Claims.admit(bytes, config) do
      {:ok, :unsigned} -> {:error, Error.new(:invalid_input, "an unsigned actor needs an :id")}
      {:ok, claims} -> {:ok, claims.subject}
      {:error, error} -> {:error, error}
    end
  end

  defp actor_specification(config, id, artifact, options) do
    %ActorSpecification{
      id: id,
      artifact: artifact,
      instances: Keyword.get(options, :instances, 1),
      limits: %Limits{
        memory: Keyword.get(options, :memory_limit, config.memory_limit),
        queue: Keyword.get(options, :queue, config.queue)
      },
      annotations: Keyword.get(options, :annotations, %{})
    }
  end

  defp link(fields) do
    {contract, fields} = Keyword.pop!(fields, :contract)
    [namespace, package] = split(contract)
    struct!(Link, [namespace: namespace, package: package] ++ fields)
  end

  defp link_key(fields) do
    {Keyword.fetch!(fields, :source), Keyword.fetch!(fields, :contract),
     fields[:name] || "default"}
  end

  defp split(contract) do
    case String.split(contract, ":", parts: 2) do
      [_namespace, _package] = parts ->
        parts

      _other ->
        raise ArgumentError, "expected :contract as namespace:package, got: #{inspect(contract)}"
    end
  end
end
