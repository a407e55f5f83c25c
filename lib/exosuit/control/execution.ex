defmodule Exosuit.Control.Execution do
  @moduledoc false
  # Carries out each command on a host: as one call to the facade or, for commands of the lattice that take several
  # calls, by `Actors` and `Providers`. Runs in a task of its own.

  alias Exosuit.{App, Directory, Error, Protocol}
  alias Exosuit.Control.{Actors, Configurations, Providers, Remote}
  alias Exosuit.Host.Statuses
  alias Exosuit.Model.{Command, Instances, Link}

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
  @spec answer(Command.t(), Exosuit.Control.context(), {pid(), reference()}) ::
          {reference(), result()}
  def answer(command, context, {client, tag}), do: send(client, {tag, run(command, context)})

  @doc """
  Whether the state of the host allows a command, before it is acknowledged; or a message for the sender. Quick:
  nothing is read or started.
  """
  @spec admit(Command.t(), Exosuit.Control.context()) ::
          :ok | {:ok, String.t()} | {:error, Error.t()}
  def admit(command, context) do
    with :ok <- check_stopping(command, context), do: check(command, context)
  end

  @doc "Carries out a command, and waits for its result."
  @spec run(Command.t(), Exosuit.Control.context()) :: result()
  def run(command, {api, host} = context) do
    with :ok <- check_stopping(command, context), do: run(command, api, host)
  end

  @doc """
  As `run/2`, for a command that was acknowledged before. If the host has begun to stop since, an event tells the
  sender.
  """
  @spec run_acknowledged(Command.t(), Exosuit.Control.context()) :: result()
  def run_acknowledged(command, {api, host} = context) do
    case check_stopping(command, context) do
      :ok -> run(command, api, host)
      {:error, error} -> abandon(command, error, context)
    end
  end

  @doc """
  Reports by an event why an acknowledged command is not carried out: the event of a failed start, update or change
  of scale, as its generation has it.
  """
  @spec abandon(Command.t(), Error.t(), Exosuit.Control.context()) :: {:error, Error.t()}
  def abandon(command, error, {_api, host}) do
    case command do
      %Command.StartActor{} -> Actors.announce_failure("start", command, error, host)
      %Command.ScaleActor{} -> Actors.announce_failure("start", command, error, host)
      %Command.UpdateActor{} -> Actors.announce_failure("update", command, error, host)
      %Command.StartProvider{} -> Providers.announce_failure(command, error, host)
      # No generation has an event for the failure of any other command.
      _other -> :ok
    end

    {:error, error}
  end

  # A stopping host would acknowledge commands that it does not carry out.
  defp check_stopping(%module{}, _context) when module in @while_stopping, do: :ok

  defp check_stopping(_command, {api, host}) do
    if api.stopping?(host) do
      {:error, Error.new(:unavailable, "the host is stopping: it takes no more commands")}
    else
      :ok
    end
  end

  defp check(%module{} = command, context)
       when module in [Command.StartActor, Command.ScaleActor, Command.UpdateActor],
       do: Actors.admit(command, context)

  defp check(%Command.StartProvider{} = command, context), do: Providers.admit(command, context)
  defp check(_command, _context), do: :ok

  defp run(%Command.Inventory{}, api, host), do: {:ok, api.inventory(host)}
  defp run(%Command.Links{of: :host}, api, host), do: {:ok, %{links: api.inventory(host).links}}

  # The lattice has no records of links that this host made while it was unreachable.
  defp run(%Command.Links{of: :lattice}, api, host) do
    own = host |> Directory.fetch!(:instance) |> Statuses.provisional()
    {:ok, Enum.reject(api.links(host), &(Link.key(&1) in own))}
  end

  # Whoever asks listens to events, too.
  defp run(%Command.Ping{}, api, host) do
    :ok = api.heartbeat(host)
    {:ok, api.facts(host)}
  end

  defp run(%Command.Claims{}, api, host), do: {:ok, api.claims(host)}

  defp run(%Command.Call{} = it, api, host) do
    options = if it.timeout, do: [timeout: it.timeout], else: []
    api.call(host, it.actor, it.operation, it.payload, options)
  end

  defp run(%Command.StartActor{code: {:path, path}} = it, api, host) do
    with {:ok, config} <- Configurations.resolve(it.config, {api, host}),
         options = given(id: it.id, config: config) ++ instances(it),
         {:ok, id} <- api.start_actor(host, path, options),
         do: {:ok, %{id: id}}
  end

  defp run(%Command.StartActor{} = it, api, host), do: done(Actors.start(it, {api, host}))
  defp run(%Command.StopActor{} = it, api, host), do: done(Actors.stop(it, {api, host}))

  defp run(%Command.ScaleActor{start?: false} = it, api, host) do
    done(api.scale_actor(host, it.id, it.instances))
  end

  defp run(%Command.ScaleActor{} = it, api, host), do: done(Actors.scale(it, {api, host}))
  defp run(%Command.UpdateActor{} = it, api, host), do: done(Actors.update(it, {api, host}))

  defp run(%Command.StartProvider{code: {:name, name}} = it, api, host) do
    with {:ok, config} <- Configurations.resolve(it.config, {api, host}),
         options = given(id: it.id, config: config, annotations: it.annotations),
         {:ok, id} <- api.start_provider(host, name, options),
         do: {:ok, %{id: id}}
  end

  defp run(%Command.StartProvider{} = it, api, host),
    do: done(Providers.start(it, {api, host}))

  defp run(%Command.StopProvider{} = it, api, host), do: done(Providers.stop(it, {api, host}))

  defp run(%Command.AuctionActor{} = it, api, host) do
    bid(it, api, host, Actors.free?(it.id, {api, host}))
  end

  defp run(%Command.AuctionProvider{} = it, api, host) do
    bid(it, api, host, Providers.free?(it, {api, host}))
  end

  defp run(%Command.PutLink{} = it, api, host) do
    {replace?, link} = it |> Map.from_struct() |> Map.pop!(:replace?)

    with :ok <- if(replace?, do: :ok, else: check_unlinked(it, api.links(host))),
         :ok <- api.put_link(host, Keyword.new(link)),
         {:ok, warnings} <- warnings(it, api, host),
         do: {:ok, %{warnings: warnings}}
  end

  defp run(%Command.DeleteLink{} = it, api, host), do: done(api.delete_link(host, key(it)))

  defp run(%Command.PutRegistries{} = it, api, host),
    do: done(api.put_registries(host, it.registries))

  defp run(%Command.PutLabel{} = it, api, host), do: done(api.put_label(host, it.key, it.value))
  defp run(%Command.DeleteLabel{} = it, api, host), do: done(api.delete_label(host, it.key))

  defp run(%Command.PutConfig{} = it, api, host),
    do: done(api.put_config(host, it.name, it.values))

  defp run(%Command.GetConfig{} = it, api, host), do: api.get_config(host, it.name)
  defp run(%Command.DeleteConfig{} = it, api, host), do: done(api.delete_config(host, it.name))
  defp run(%Command.OpenRemote{}, _api, host), do: Remote.open(host)
  defp run(%Command.StopHost{}, api, host), do: done(api.stop(host))

  defp run(%Command.ApplyManifest{} = it, _api, host) do
    applied(it.manifest, App.apply(host, it.manifest, apply_options(it)))
  end

  defp run(%Command.PutApp{} = it, _api, host) do
    applied(it.path, App.apply_object(host, it.manifest, it.path, it.files, apply_options(it)))
  end

  defp run(%Command.AppFiles{} = it, _api, host) do
    case App.files(host, it.manifest, it.path) do
      {:ok, files} -> {:ok, %{files: files}}
      refused -> applied(it.path, refused)
    end
  end

  defp run(%Command.ListApps{}, _api, host), do: {:ok, %{apps: App.list(host)}}
  defp run(%Command.AppStatus{} = it, _api, host), do: App.status(host, it.app)
  defp run(%Command.AppHistory{} = it, _api, host), do: App.history(host, it.app)
  defp run(%Command.DeployApp{} = it, _api, host), do: App.deploy(host, it.app, it.version)
  defp run(%Command.UndeployApp{} = it, _api, host), do: App.undeploy(host, it.app)
  defp run(%Command.RollbackApp{} = it, _api, host), do: App.rollback(host, it.app)
  defp run(%Command.DeleteApp{} = it, _api, host), do: done(App.delete(host, it.app))

  defp instances(it), do: [instances: it.instances, annotations: it.annotations]

  defp apply_options(it) do
    [allow_issuer_change: it.allow_issuer_change, if_version: it.if_version]
  end

  # What is deployed already is made again where something of it had failed.
  defp applied(_path, {:ok, stored}), do: {:ok, %{stored | warnings: texts(stored.warnings)}}

  # Nothing is wrong with the manifest.
  defp applied(_path, {:error, [%{error: %Error{} = error}]}), do: {:error, error}

  defp applied(path, {:error, diagnostics}) do
    {:error, Error.new(:invalid_manifest, "#{path} is not applied"), texts(diagnostics)}
  end

  defp bid(it, api, host, free?) do
    facts = api.facts(host)

    if free? and Instances.contains?(facts.labels, it.constraints) do
      {:ok, %{host_id: facts.host_id}}
    else
      {:error,
       Error.new(:conflict, "it runs on this host already, or the host's labels do not match")}
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
    Link.key(link) == {it.source, it.contract, it.name} and link.target != it.target and
      Link.overlap?(link, it)
  end

  # 1.x has no place for warnings.
  defp warnings(%{replace?: false}, _api, _host), do: {:ok, []}
  defp warnings(it, api, host), do: api.link_warnings(host, key(it))

  defp key(it), do: [source: it.source, contract: it.contract, name: it.name]

  defp given(options), do: Enum.reject(options, fn {_key, value} -> is_nil(value) end)

  defp done(:ok), do: {:ok, %{}}
  defp done({:ok, value}), do: {:ok, value}
  defp done(error), do: error

  defp texts(diagnostics), do: Enum.map(diagnostics, & &1.text)
end
