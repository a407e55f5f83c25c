defmodule Exosuit.Control.Execution do
  @moduledoc """
  Carries out each command on a host with one call of the room that the command concerns.

  Commands come here from the socket, and over NATS from Exosuit's own tools and from both generations of wasmCloud.
  Each runs in a task of its own.
  Commands of the lattice that take several calls are in `Exosuit.Control.Actors` and `Exosuit.Control.Providers`.

  While the host stops, only commands that change nothing are carried out, and `StopHost`. All others are refused with
  `:unavailable`: a stopping host would acknowledge commands that it does not carry out.

  | function | for |
  |---|---|
  | `answer/3` | the socket: the result is a message |
  | `run/2` | the lattice, if the reply has the result |
  | `admit/2`, then `run_acknowledged/2` | the lattice, if the reply only acknowledges |
  | `abandon/3` | an acknowledged command that will not be carried out |

  Arguments have the right form: codecs have checked it. Nothing here parses text.
  """

  alias Exosuit.{App, Error, Host, Instance, Protocol, Router, Settings}
  alias Exosuit.Control.{Actors, Configurations, Providers, Remote}
  alias Exosuit.Edge.Heartbeat

  alias Exosuit.Host.{
    Calls,
    Facts,
    Inventory,
    Labels,
    Linking,
    LinkOptions,
    Links,
    Shutdown,
    Statuses
  }

  alias Exosuit.Model.{Command, Instances, Link}

  @typedoc """
  The value of a command, an error, or an error with the diagnostics of a manifest. Replies encode it.
  """
  @type result :: Protocol.result()

  # Commands that change nothing, and `StopHost`. The router refuses calls by itself.
  @while_stopping [
    Command.Inventory,
    Command.Links,
    Command.Call,
    Command.Subscribe,
    Command.OpenRemote,
    Command.Ping,
    Command.Claims,
    Command.GetConfig,
    Command.ListApps,
    Command.AppStatus,
    Command.AppHistory,
    Command.AppFiles,
    Command.StopHost
  ]

  @doc "Carries out a command, and sends its result as `{tag, result}`."
  @spec answer(Command.t(), Instance.t(), {pid(), reference()}) ::
          {reference(), result()}
  def answer(command, instance, {client, tag}), do: send(client, {tag, run(command, instance)})

  @doc """
  Checks, before a command is acknowledged, whether the state of the host allows it. Returns `:ok`, or a message for
  the sender. Quick: nothing is read or started.
  """
  @spec admit(Command.t(), Instance.t()) ::
          :ok | {:ok, String.t()} | {:error, Error.t()}
  def admit(command, instance) do
    with :ok <- check_stopping(command, instance), do: check(command, instance)
  end

  @doc """
  Carries out a command, and waits for its result. Blocks the calling process as long as the command takes: a start may
  compile for minutes.
  """
  @spec run(Command.t(), Instance.t()) :: result()
  def run(command, instance) do
    with :ok <- check_stopping(command, instance), do: carry_out(command, instance)
  end

  @doc """
  Carries out a command as `run/2` does, after the command was acknowledged. If the host has begun to stop since, an
  event informs the sender.
  """
  @spec run_acknowledged(Command.t(), Instance.t()) :: result()
  def run_acknowledged(command, instance) do
    case check_stopping(command, instance) do
      :ok -> carry_out(command, instance)
      {:error, error} -> abandon(command, error, instance)
    end
  end

  @doc """
  Reports by an event why an acknowledged command is not carried out: by the event that the sender's generation has
  for a failed start, update or scale.
  """
  @spec abandon(Command.t(), Error.t(), Instance.t()) :: {:error, Error.t()}
  def abandon(command, error, instance) do
    case command do
      %Command.StartActor{} -> Actors.announce_failure(:start, command, error, instance)
      %Command.ScaleActor{} -> Actors.announce_failure(:start, command, error, instance)
      %Command.UpdateActor{} -> Actors.announce_failure(:update, command, error, instance)
      %Command.StartProvider{} -> Providers.announce_failure(command, error, instance)
      # Neither generation has an event for the failure of other commands.
      _other -> :ok
    end

    {:error, error}
  end

  # A stopping host would acknowledge commands that it does not carry out.
  defp check_stopping(%module{}, _instance) when module in @while_stopping, do: :ok

  defp check_stopping(_command, instance) do
    if Settings.stopping?(instance) do
      {:error, Error.new(:unavailable, "the host is stopping: it takes no more commands")}
    else
      :ok
    end
  end

  defp check(%module{} = command, instance)
       when module in [Command.StartActor, Command.ScaleActor, Command.UpdateActor],
       do: Actors.admit(command, instance)

  defp check(%Command.StartProvider{} = command, instance), do: Providers.admit(command, instance)
  defp check(_command, _instance), do: :ok

  defp carry_out(%Command.Inventory{}, instance), do: {:ok, Inventory.take(instance)}

  defp carry_out(%Command.Links{of: :host}, instance),
    do: {:ok, %{links: Inventory.take(instance).links}}

  # The lattice has no records of links that this host made while it was unreachable.
  defp carry_out(%Command.Links{of: :lattice}, instance) do
    own = Statuses.provisional(instance)
    {:ok, Enum.reject(Links.list(instance), &(Link.key(&1) in own))}
  end

  # Callers of a ping follow events, too.
  defp carry_out(%Command.Ping{}, instance) do
    :ok = Heartbeat.beat(instance)
    {:ok, Facts.take(instance)}
  end

  defp carry_out(%Command.Claims{}, instance), do: {:ok, Inventory.claims(instance)}

  defp carry_out(%Command.Call{} = it, instance) do
    line = {instance.router, instance.config.call_timeout}
    options = if it.timeout, do: [timeout: it.timeout], else: []
    Calls.call(line, it.actor, it.operation, it.payload, options)
  end

  defp carry_out(%Command.StartActor{code: {:path, path}} = it, instance) do
    with {:ok, config} <- Configurations.resolve(it.config, instance),
         options = given(id: it.id, config: config) ++ instances(it),
         {:ok, id} <- Host.Actors.start(instance, path, options),
         do: {:ok, %{id: id}}
  end

  defp carry_out(%Command.StartActor{} = it, instance), do: done(Actors.start(it, instance))
  defp carry_out(%Command.StopActor{} = it, instance), do: done(Actors.stop(it, instance))

  defp carry_out(%Command.ScaleActor{start?: false} = it, instance) do
    done(Host.Actors.scale(instance, it.id, it.instances))
  end

  defp carry_out(%Command.ScaleActor{} = it, instance), do: done(Actors.scale(it, instance))
  defp carry_out(%Command.UpdateActor{} = it, instance), do: done(Actors.update(it, instance))

  defp carry_out(%Command.StartProvider{code: {:name, name}} = it, instance) do
    with {:ok, config} <- Configurations.resolve(it.config, instance),
         options = given(id: it.id, config: config, annotations: it.annotations),
         {:ok, id} <- Host.Providers.start(instance, name, options),
         do: {:ok, %{id: id}}
  end

  defp carry_out(%Command.StartProvider{} = it, instance),
    do: done(Providers.start(it, instance))

  defp carry_out(%Command.StopProvider{} = it, instance), do: done(Providers.stop(it, instance))

  defp carry_out(%Command.AuctionActor{} = it, instance) do
    bid(it, instance, Actors.free?(it.id, instance))
  end

  defp carry_out(%Command.AuctionProvider{} = it, instance) do
    bid(it, instance, Providers.free?(it, instance))
  end

  defp carry_out(%Command.PutLink{} = it, instance) do
    {replace?, link} = it |> Map.from_struct() |> Map.pop!(:replace?)

    with :ok <- if(replace?, do: :ok, else: check_unlinked(it, Links.list(instance))),
         :ok <- Linking.put(instance, LinkOptions.link!(Keyword.new(link))),
         {:ok, warnings} <- warnings(it, instance),
         do: {:ok, %{warnings: warnings}}
  end

  defp carry_out(%Command.DeleteLink{} = it, instance),
    do: done(Linking.delete(instance, key(it)))

  defp carry_out(%Command.PutRegistries{} = it, instance),
    do: done(Settings.put_registries(instance, it.registries))

  defp carry_out(%Command.PutLabel{} = it, instance),
    do: done(Labels.put(instance, it.key, it.value))

  defp carry_out(%Command.DeleteLabel{} = it, instance), do: done(Labels.delete(instance, it.key))

  defp carry_out(%Command.PutConfig{} = it, instance),
    do: done(Host.Configurations.put(instance, it.name, it.values))

  defp carry_out(%Command.GetConfig{} = it, instance),
    do: Host.Configurations.fetch(instance, it.name)

  defp carry_out(%Command.DeleteConfig{} = it, instance),
    do: done(Host.Configurations.delete(instance, it.name))

  defp carry_out(%Command.OpenRemote{}, instance), do: Remote.open(instance)
  defp carry_out(%Command.StopHost{}, instance), do: done(Shutdown.begin(instance))

  defp carry_out(%Command.ApplyManifest{} = it, instance) do
    applied(it.manifest, App.Manifests.apply(instance, it.manifest, apply_options(it)))
  end

  defp carry_out(%Command.PutApp{} = it, instance) do
    applied(
      it.path,
      App.Manifests.apply_object(instance, it.manifest, it.path, it.files, apply_options(it))
    )
  end

  defp carry_out(%Command.AppFiles{} = it, instance) do
    case App.Manifests.files(instance, it.manifest, it.path) do
      {:ok, files} -> {:ok, %{files: files}}
      refused -> applied(it.path, refused)
    end
  end

  defp carry_out(%Command.ListApps{}, instance), do: {:ok, %{apps: App.Reader.list(instance)}}
  defp carry_out(%Command.AppStatus{} = it, instance), do: App.Reader.status(instance, it.app)
  defp carry_out(%Command.AppHistory{} = it, instance), do: App.Versions.history(instance, it.app)

  defp carry_out(%Command.DeployApp{} = it, instance),
    do: App.Versions.deploy(instance, it.app, it.version)

  defp carry_out(%Command.UndeployApp{} = it, instance),
    do: App.Versions.undeploy(instance, it.app)

  defp carry_out(%Command.RollbackApp{} = it, instance),
    do: App.Versions.rollback(instance, it.app)

  defp carry_out(%Command.DeleteApp{} = it, instance),
    do: done(App.Versions.delete(instance, it.app))

  defp instances(it), do: [instances: it.instances, annotations: it.annotations]

  defp apply_options(it) do
    [allow_issuer_change: it.allow_issuer_change, if_version: it.if_version]
  end

  # If the version is deployed already, its failed parts are tried again.
  defp applied(_path, {:ok, stored}), do: {:ok, %{stored | warnings: texts(stored.warnings)}}

  # The manifest itself has no mistake.
  defp applied(_path, {:error, [%{error: %Error{} = error}]}), do: {:error, error}

  defp applied(path, {:error, diagnostics}) do
    {:error, Error.new(:invalid_manifest, "#{path} is not applied"), texts(diagnostics)}
  end

  defp bid(it, instance, free?) do
    facts = Facts.take(instance)

    if free? and Instances.contains?(facts.labels, it.constraints) do
      {:ok, %{host_id: facts.host_id}}
    else
      {:error,
       Error.new(:conflict, "the host runs it already, or does not have the required labels")}
    end
  end

  defp check_unlinked(it, links) do
    case Enum.find(links, &taken?(&1, it)) do
      nil ->
        :ok

      link ->
        detail = "#{it.source} has a link #{it.name} for #{it.contract} to #{link.target} already"
        {:error, Error.new(:conflict, detail)}
    end
  end

  defp taken?(link, it) do
    Link.key(link) == key(it) and link.target != it.target and
      Link.overlap?(link, it)
  end

  # 1.x has no place for warnings.
  defp warnings(%{replace?: false}, _instance), do: {:ok, []}
  defp warnings(it, instance), do: Router.link_warnings(instance.router, key(it))

  defp key(it), do: {it.source, it.contract, it.name}

  defp given(options), do: Enum.reject(options, fn {_key, value} -> is_nil(value) end)

  defp done(:ok), do: {:ok, %{}}
  defp done(error), do: error

  defp texts(diagnostics), do: Enum.map(diagnostics, & &1.text)
end
