defmodule Exosuit.Up do
  @moduledoc false
  require Logger

  # `exosuit up`: one host in the foreground, with what the manifests name. The command line checks
  # the arguments and hands them over as JSON in `EXOSUIT_UP`. SIGTERM (which the script makes of
  # Ctrl-C, too) ends the VM in order: the host is a child of this application, and drains.

  alias Exosuit.{
    App,
    Config,
    Directory,
    Environment,
    Error,
    Json,
    Lattice,
    Manifest,
    Secret,
    Startup
  }

  alias Exosuit.Host.Inventory
  alias Exosuit.Up.{Report, Watch}

  # The host's name in its VM, which is its own.
  @host Exosuit.Up

  @doc "Runs until the VM is stopped. Ends it with status 1 where nothing can be started."
  @spec main() :: :ok | no_return()
  def main do
    with {:ok, request} <- request(System.get_env("EXOSUIT_UP")),
         {:ok, options} <- apart(fn -> options(request) end),
         {:ok, pid} <- run(options, request["manifests"]) do
      Report.ready()
      watch(pid)
    else
      {:error, reason} -> fail(reason)
    end
  end

  @doc """
  Starts the host of this VM, and on it what the manifests name; all of them must be right. What
  cannot start is told, and the rest goes on; where nothing is left, neither does the host.
  """
  @spec run(keyword(), [Path.t()]) :: {:ok, pid()} | {:error, term()}
  def run(options, manifests) do
    options = Keyword.put(options, :name, @host)

    with {:ok, asked_for} <- check(manifests, options),
         {:ok, pid} <- Supervisor.start_child(Exosuit.Supervisor, host(options)) do
      Report.host(Inventory.take(instance()), options)
      Report.cluster(options)
      Enum.each(asked_for, fn {path, manifest} -> Report.asked_for(path, manifest) end)
      join(instance())
      report_undeployed(App.Versions.undeploy_others(instance(), names(asked_for)))
      refused? = manifests |> Enum.map(&apply_manifest/1) |> Enum.member?(:refused)
      if refused? and idle?(options), do: give_up(), else: {:ok, pid}
    end
  end

  @doc "Waits for the end of the host, and ends the VM: with status 1 if the host fell."
  @spec watch(pid()) :: :ok | no_return()
  def watch(host) do
    case Watch.await(host) do
      # The VM stops already, or shall: somebody had the host stopped.
      :stopped -> System.stop(0)
      {:fell, why} -> fail("the host fell: #{why}")
    end
  end

  # The environment may hold secrets, and the memory of a process that has ended is gone.
  defp apart(fun), do: fun |> Task.async() |> Task.await(:infinity)

  # Without a connection it goes on: there may be one later.
  defp join(instance) do
    Lattice.await_first(instance)
    Report.connection(instance.lattice)
  end

  defp names(asked_for), do: for({_path, manifest} <- asked_for, do: manifest["name"])

  defp report_undeployed(names), do: Enum.each(names, &Report.undeployed/1)

  # Nothing runs, and nothing is retried. A host of a lattice stays, because it can receive commands.
  defp idle?(options) do
    %{actors: actors, providers: providers} = Inventory.take(instance())
    options[:nats] == nil and Enum.all?(actors ++ providers, &(&1.status == :failed))
  end

  defp give_up do
    :ok = Supervisor.terminate_child(Exosuit.Supervisor, @host)
    {:error, "nothing runs: all was refused"}
  end

  # Started again it would be empty: better that the VM ends, and whoever watches over that decides.
  defp host(options), do: Supervisor.child_spec({Exosuit, options}, restart: :temporary)

  defp request(nil), do: {:error, "EXOSUIT_UP is not set: run `bin/exosuit up MANIFEST`"}
  defp request(json), do: Json.decode(json)

  defp options(request) do
    environment = environment(request)
    {level, host} = {Environment.level(environment), Environment.host(environment)}

    case Environment.mistakes([level, host]) ++ Environment.refusals(environment) do
      [] ->
        Report.warnings(Environment.warnings(environment, :up))
        if level, do: Logger.configure(level: level)
        complete(host, request)

      mistakes ->
        {:error, Enum.join(mistakes, "\nerror: ")}
    end
  end

  # What neither arguments nor the environment say.
  defp complete(host, request) do
    usual = [
      trusted_issuers: :any,
      unsigned: :deny,
      data_dir: default_data_dir(request["manifests"])
    ]

    options = usual |> Keyword.merge(files(request)) |> Keyword.merge(host)
    options = Keyword.update!(options, :labels, &Map.merge(&1, request["labels"]))

    with :ok <- check_files(host[:allow_file_load], request["allow_files"]),
         :ok <- check_trust(host[:trusted_issuers], options[:nats]),
         do: {:ok, options}
  end

  # The arguments go before the environment.
  defp environment(request) do
    arguments = %{
      "WASMCLOUD_LATTICE" => request["lattice_name"],
      "EXOSUIT_HTTP_PORTS" => request["http_ports"],
      "EXOSUIT_WADM_API" => if(request["wadm_api"], do: "true"),
      "EXOSUIT_DATA_DIR" => request["data_dir"],
      "EXOSUIT_UNSIGNED" => request["unsigned"],
      "EXOSUIT_TRUST" => issuers(request["trust"])
    }

    given = for {name, value} when is_binary(value) <- arguments, into: %{}, do: {name, value}
    System.get_env() |> without_other_name(given) |> Map.merge(given)
  end

  # It has two names.
  defp without_other_name(env, %{"WASMCLOUD_LATTICE" => _name}) do
    Map.delete(env, "WASMCLOUD_LATTICE_PREFIX")
  end

  defp without_other_name(env, _given), do: env

  # The files of an application are beside its manifest. By default, the lattice may start only these; the
  # environment may allow all files or none.
  defp files(request) do
    if System.get_env("WASMCLOUD_ALLOW_FILE_LOAD", "") == "" do
      manifests = Enum.map(request["manifests"], &(&1 |> Path.expand() |> Path.dirname()))
      [allow_file_load: Enum.uniq(manifests ++ request["allow_files"])]
    else
      []
    end
  end

  # The environment says all files or none. A directory beside that is a contradiction, or adds nothing.
  defp check_files(false, [_ | _]) do
    {:error,
     "WASMCLOUD_ALLOW_FILE_LOAD=false allows no files, and --allow-files allows a directory: " <>
       "give one of them"}
  end

  defp check_files(true, [_ | _]) do
    Report.warnings([
      "--allow-files has no effect: WASMCLOUD_ALLOW_FILE_LOAD=true allows all files"
    ])
  end

  defp check_files(_flag, _directories), do: :ok

  # Anyone who can reach the NATS servers can start code on the hosts. On the loopback address, that is the user
  # of this machine.
  defp check_trust(nil, [_ | _] = nats) do
    if Enum.all?([nats[:servers], nats[:rpc][:servers]], &here?/1) do
      :ok
    else
      {:error,
       "the lattice is not on this machine: say whose actors may run, with " <>
         "--trust ISSUER (an account key, A…) or --trust any"}
    end
  end

  defp check_trust(_trust, _nats), do: :ok

  defp here?(nil), do: true
  defp here?(servers) when is_list(servers), do: here?(Enum.join(servers, ","))

  # What cannot be read is told when the host starts.
  defp here?(servers) do
    case Secret.new(servers) do
      {:ok, secret} -> secret |> Secret.hosts() |> Enum.all?(&loopback?/1)
      {:error, _reason} -> true
    end
  end

  defp loopback?(host) do
    case :inet.parse_address(to_charlist(host)) do
      {:ok, {127, _, _, _}} -> true
      {:ok, {0, 0, 0, 0, 0, 0, 0, 1}} -> true
      _name -> host == "localhost"
    end
  end

  defp issuers([]), do: nil
  defp issuers(issuers), do: Enum.join(issuers, ",")

  # Beside the application, so that two clones of it do not share what they keep.
  defp default_data_dir([]), do: nil
  defp default_data_dir([manifest | _more]), do: Path.join(Path.dirname(manifest), ".exosuit")

  # All mistakes of all manifests, before anything starts; or what each of them asks for.
  defp check(manifests, options) do
    config = Config.new!(options)
    read = for path <- manifests, do: {path, read(path, config)}

    case for {_path, {:error, found}} <- read, do: found do
      [] -> {:ok, for({path, {:ok, parsed}} <- read, do: {path, parsed.manifest})}
      errors -> {:error, {:manifests, List.flatten(errors)}}
    end
  end

  # What this host lacks, another of the lattice may have.
  defp read(path, %Config{nats: nil, providers: providers}) do
    Manifest.parse(path, Map.keys(providers))
  end

  defp read(path, _config), do: Manifest.parse(path, nil)

  # Without the lattice it is served here alone, and applied when the lattice is reached.
  defp apply_manifest(path) do
    session = instance().lattice

    if Lattice.Bus.connected?(session) do
      apply_in_lattice(path)
    else
      case App.Manifests.serve_alone(instance(), path) do
        {:ok, steps} -> apply_later(path, steps)
        {:error, diagnostics} -> report_refused(path, diagnostics)
      end
    end
  end

  defp apply_in_lattice(path) do
    case App.Manifests.apply_and_wait(instance(), path, from_here: true) do
      {:ok, steps, warnings} -> report(path, steps, warnings)
      # It was good a moment ago: somebody writes to it, or the lattice is not to be reached.
      {:error, diagnostics} -> report_refused(path, diagnostics)
    end
  end

  defp apply_later(path, steps) do
    Report.alone(path)
    want(path)
    report(path, steps, [])
  end

  defp report(path, steps, warnings) do
    Report.applied(path, steps, warnings, Inventory.take(instance()))
    if Enum.any?(steps, &match?({_step, {:error, _}}, &1)), do: :refused, else: :ok
  end

  # The host applies it, and tries again until that succeeds.
  defp want(path), do: Startup.add(instance(), {:manifest, [Path.expand(path)]})

  defp instance, do: Directory.fetch!(@host, :instance)

  # The host stays, and tries again.
  defp report_refused(path, diagnostics) do
    Report.diagnostics(diagnostics)
    want(path)
    :refused
  end

  @spec fail(term()) :: no_return()
  defp fail(reason) do
    failed(reason)
    System.halt(1)
  end

  @doc "Says why `run/2` did not."
  @spec failed(term()) :: :ok
  def failed({:manifests, diagnostics}), do: Report.diagnostics(diagnostics)
  def failed(reason), do: Report.failure(describe(reason))

  # What a host could not start with stands deep in what its supervisors say of it.
  defp describe({reason, child}) when is_tuple(child) and elem(child, 0) == :child,
    do: describe(reason)

  defp describe({:shutdown, {:failed_to_start_child, _id, reason}}), do: describe(reason)
  defp describe(%Error{} = error), do: Exception.message(error)
  defp describe(text) when is_binary(text), do: text
  defp describe(reason), do: Exception.format_exit(reason)
end
