defmodule Exosuit.Control.Execution do
  @moduledoc false
  # What each command is on a host: one call to the facade, or, for those of the lattice that are more
  # than one, to what knows actors and providers. Runs in a task of its own.

  alias Exosuit.Control.{Actors, Command, Remote, Providers}
  alias Exosuit.{App, Directory, Error}
  alias Exosuit.Host.Statuses
  alias Exosuit.Model.{Instances, Link}

  @type result :: {:ok, term()} | {:error, Error.t()} | {:error, Error.t(), diagnostics :: list()}

  # Commands that change nothing. The router refuses calls by itself.
  @while_stopping ~w(inventory links call events remote ping lattice_claims lattice_links get_config
    list_apps app_status app_history app_files stop_host)a

  @doc "Carries out a command, and sends how it went as `{tag, result}`."
  @spec answer(Command.t(), Exosuit.Control.context(), {pid(), reference()}) ::
          {reference(), result()}
  def answer(command, context, {client, tag}), do: send(client, {tag, run(command, context)})

  @doc """
  What is wrong with a command by what is here now, before it is acknowledged; or what its sender
  should know. Quick: nothing is read or started.
  """
  @spec admit(Command.t(), Exosuit.Control.context()) ::
          :ok | {:ok, String.t()} | {:error, Error.t()}
  def admit(%Command{name: name, arguments: arguments}, host) do
    with :ok <- check_stopping(name, host), do: admit(name, arguments, host)
  end

  @doc "Carries out a command, and waits for how it goes."
  @spec run(Command.t(), Exosuit.Control.context()) :: result()
  def run(%Command{name: name, arguments: arguments}, {api, host} = context) do
    with :ok <- check_stopping(name, context), do: run(name, arguments, api, host)
  end

  @doc """
  As `run/2`, for a command that was acknowledged before. If the host has begun to stop since, the sender
  hears of that by an event.
  """
  @spec run_acknowledged(Command.t(), Exosuit.Control.context()) :: result()
  def run_acknowledged(
        %Command{name: name, arguments: arguments} = command,
        {api, host} = context
      ) do
    case check_stopping(name, context) do
      :ok -> run(name, arguments, api, host)
      {:error, error} -> abandon(command, error, context)
    end
  end

  @doc """
  Says by an event why an acknowledged command is not carried out: that of a failed start, update or change
  of scale, as its generation has it.
  """
  @spec abandon(Command.t(), Error.t(), Exosuit.Control.context()) :: {:error, Error.t()}
  def abandon(%Command{name: name, arguments: it}, error, {_api, host}) do
    cond do
      name in [:launch_actor, :equalize_actor] ->
        Actors.announce_failure("start", it, error, host)

      name == :exchange_actor ->
        Actors.announce_failure("update", it, error, host)

      name == :launch_provider ->
        Providers.announce_failure(it, error, host)

      # No generation has an event for the failure of any other command.
      true ->
        :ok
    end

    {:error, error}
  end

  # A stopping host would acknowledge commands that it does not carry out.
  defp check_stopping(name, _context) when name in @while_stopping, do: :ok

  defp check_stopping(_name, {api, host}) do
    if api.stopping?(host) do
      {:error, Error.new(:unavailable, "the host is stopping: it takes no more commands")}
    else
      :ok
    end
  end

  defp admit(name, it, host) when name in [:launch_actor, :equalize_actor, :exchange_actor],
    do: Actors.admit(name, it, host)

  defp admit(:launch_provider, it, host), do: Providers.admit(it, host)
  defp admit(_name, _arguments, _host), do: :ok

  defp run(:inventory, _none, api, host), do: {:ok, api.inventory(host)}
  defp run(:links, _none, api, host), do: {:ok, %{links: api.inventory(host).links}}

  defp run(:call, it, api, host) do
    options = given(timeout: it.timeout_ms)

    with {:ok, answer} <- api.call(host, it.actor, it.operation, it.payload_base64, options),
         do: {:ok, %{payload_base64: Base.encode64(answer)}}
  end

  defp run(:start_actor, it, api, host) do
    {path, options} = Map.pop!(it, :path)
    with {:ok, id} <- api.start_actor(host, path, given(options)), do: {:ok, %{id: id}}
  end

  defp run(:stop_actor, it, api, host), do: done(api.stop_actor(host, it.id))

  defp run(:scale_actor, it, api, host) do
    done(api.scale_actor(host, it.id, it.instances))
  end

  defp run(:update_actor, it, api, host) do
    options = Map.to_list(Map.take(it, [:force, :allow_issuer_change]))
    done(api.update_actor(host, it.id, it.path, options))
  end

  defp run(:start_provider, it, api, host) do
    options = given(id: it.id, config: it.config, annotations: it.annotations)
    with {:ok, id} <- api.start_provider(host, it.name, options), do: {:ok, %{id: id}}
  end

  defp run(:stop_provider, it, api, host), do: done(api.stop_provider(host, it.id))

  defp run(:put_link, it, api, host) do
    key = it |> Map.take([:source, :contract, :name]) |> Keyword.new()

    with :ok <- api.put_link(host, Keyword.new(it)),
         {:ok, warnings} <- api.link_warnings(host, key),
         do: {:ok, %{warnings: warnings}}
  end

  defp run(:delete_link, it, api, host), do: done(api.delete_link(host, Keyword.new(it)))

  defp run(:remote, _none, _api, host), do: Remote.open(host)

  # Whoever asks listens to events, too.
  defp run(:ping, _none, api, host) do
    :ok = api.heartbeat(host)
    {:ok, api.facts(host)}
  end

  defp run(:lattice_claims, _none, api, host), do: {:ok, api.claims(host)}

  # The lattice has no records of links that this host made while it was unreachable.
  defp run(:lattice_links, _none, api, host) do
    own = host |> Directory.fetch!(:instance) |> Statuses.provisional()
    {:ok, Enum.reject(api.links(host), &(Link.key(&1) in own))}
  end

  defp run(:launch_actor, it, api, host), do: done(Actors.launch(it, {api, host}))
  defp run(:equalize_actor, it, api, host), do: done(Actors.equalize(it, {api, host}))
  defp run(:withdraw_actor, it, api, host), do: done(Actors.withdraw(it, {api, host}))
  defp run(:exchange_actor, it, api, host), do: done(Actors.exchange(it, {api, host}))
  defp run(:launch_provider, it, api, host), do: done(Providers.launch(it, {api, host}))
  defp run(:withdraw_provider, it, api, host), do: done(Providers.withdraw(it, {api, host}))

  defp run(:bid_actor, it, api, host) do
    bid(it, api, host, Actors.free?(it.id, {api, host}))
  end

  defp run(:bid_provider, it, api, host) do
    bid(it, api, host, Providers.free?(it, {api, host}))
  end

  defp run(:connect, it, api, host) do
    with :ok <- unclaimed(it, api.links(host)),
         do: done(api.put_link(host, Keyword.new(it)))
  end

  # That there is none is what was wanted.
  defp run(:disconnect, it, api, host) do
    case api.delete_link(host, Keyword.new(it)) do
      {:error, %Error{reason: :not_found}} -> {:ok, %{}}
      result -> done(result)
    end
  end

  defp run(:put_registries, it, api, host), do: done(api.put_registries(host, it.registries))
  defp run(:put_label, it, api, host), do: done(api.put_label(host, it.key, it.value))
  defp run(:delete_label, it, api, host), do: done(api.delete_label(host, it.key))
  defp run(:put_config, it, api, host), do: done(api.put_config(host, it.name, it.values))
  defp run(:get_config, it, api, host), do: api.get_config(host, it.name)
  defp run(:delete_config, it, api, host), do: done(api.delete_config(host, it.name))
  defp run(:stop_host, _none, api, host), do: done(api.stop(host))

  defp run(:apply_manifest, it, _api, host) do
    applied(it.manifest, App.apply(host, it.manifest, apply_options(it)))
  end

  defp run(:put_app, it, _api, host) do
    applied(it.path, App.apply_object(host, it.manifest, it.path, it.files, apply_options(it)))
  end

  defp run(:app_files, it, _api, host) do
    case App.files(host, it.manifest, it.path) do
      {:ok, files} -> {:ok, %{files: files}}
      refused -> applied(it.path, refused)
    end
  end

  defp run(:list_apps, _none, _api, host), do: {:ok, %{apps: App.list(host)}}
  defp run(:app_status, it, _api, host), do: App.status(host, it.app)
  defp run(:app_history, it, _api, host), do: App.history(host, it.app)
  defp run(:deploy_app, it, _api, host), do: App.deploy(host, it.app, it.version)
  defp run(:undeploy_app, it, _api, host), do: App.undeploy(host, it.app)
  defp run(:rollback_app, it, _api, host), do: App.rollback(host, it.app)
  defp run(:delete_app, it, _api, host), do: done(App.delete(host, it.app))

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
      {:ok, Map.put(it, :host_id, facts.host_id)}
    else
      {:error,
       Error.new(:conflict, "it runs on this host already, or the host's labels do not match")}
    end
  end

  # What is linked already goes on as it is: nobody takes a link from under another's feet.
  defp unclaimed(it, links) do
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

  defp given(options), do: Enum.reject(options, fn {_key, value} -> is_nil(value) end)

  defp done(:ok), do: {:ok, %{}}
  defp done({:ok, value}), do: {:ok, value}
  defp done(error), do: error

  defp texts(diagnostics), do: Enum.map(diagnostics, & &1.text)
end
