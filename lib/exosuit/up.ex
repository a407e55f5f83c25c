defmodule Exosuit.Up do
  @moduledoc """
  `exosuit up`: one host in the foreground, with the applications of its manifests. The command line checks the
  arguments and passes them as JSON in `EXOSUIT_UP`. At SIGTERM, which the script also sends for Ctrl-C, the VM
  ends in order: the host is a child of this application, and drains.

  ## The life of `exosuit up`

  1. The arguments become options: defaults, then the environment, then the arguments, of which the later prevail.
  2. All manifests are parsed. A mistake in any of them ends the VM with status 1, before anything runs.
  3. The host starts, as a temporary child of `Exosuit.Supervisor`.
  4. It waits for its first connection, for a bounded time. Without one it goes on.
  5. Applications that an earlier start named and this one does not are undeployed.
  6. The manifests are applied, one after the other. A manifest that cannot be applied now is added to the items of the
     host, which are tried again. Failed parts of an applied manifest are tried again by the host as well.
  7. `ready` is printed, and the process waits for the end of the host (`Exosuit.Up.Watch`).

  | end | status of the VM |
  |---|---|
  | SIGTERM, or the command to stop the host | 0 |
  | wrong arguments or manifests | 1 |
  | everything was refused, and no lattice can send anything else | 1 |
  | the host crashed | 1, with the last reason |

  A crashed host is not started again: it would be empty, as its commands are forgotten. The VM ends, and its own
  supervisor (systemd, a container) decides.

  ## Defaults

  `exosuit up` is meant for a developer's machine, and for an application that is deployed with its host. So it trusts
  every issuer unless told otherwise, but refuses to do so if the NATS servers are on another machine: everybody who
  reaches those could start code here. It lets the lattice start only files beside its manifests, and keeps its data
  beside the first one.
  """

  require Logger

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

  # The host's name. It is the only host of its VM.
  @host Exosuit.Up

  @doc """
  Runs until the VM is stopped. If nothing can be started, prints why and ends the VM with status 1. The script of the
  release calls it.
  """
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
  Starts the host of this VM, and applies the manifests. If a manifest has a mistake, nothing starts. If a part
  cannot start, its error is printed, and the other parts run. If no part can start, the host stops.

  Returns the pid of the host. The error is `{:manifests, diagnostics}` for mistakes in manifests, and another term for
  a host that could not start; `failed/1` prints both. Blocks the calling process until all manifests were applied once.
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

  @doc "Waits for the end of the host, and ends the VM: with status 1 if the host crashed."
  @spec watch(pid()) :: :ok | no_return()
  def watch(host) do
    case Watch.await(host) do
      # The VM is stopping, or the host was stopped by a command.
      :stopped -> System.stop(0)
      {:fell, why} -> fail("the host fell: #{why}")
    end
  end

  # Runs in another process, whose memory is freed at its end: the environment may hold secrets.
  defp apart(fun), do: fun |> Task.async() |> Task.await(:infinity)

  # Without a connection the host goes on, because there may be one later.
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
    {:error, "nothing runs: everything was refused"}
  end

  # The host is temporary: a restarted host would be empty. The VM ends instead, and its supervisor (systemd, a
  # container) decides.
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

  # The defaults for options that neither arguments nor the environment set.
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

  # Arguments take precedence over the environment.
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

  # The lattice's name has two variables.
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

  # The environment allows all files or none. A directory in addition to that is a contradiction, or adds nothing.
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

  # A file that cannot be read is reported when the host starts.
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

  # The directory is beside the manifest, so that two clones of an application do not share data.
  defp default_data_dir([]), do: nil
  defp default_data_dir([manifest | _more]), do: Path.join(Path.dirname(manifest), ".exosuit")

  # Returns the mistakes of all manifests before anything starts, or the requested instances of each manifest.
  defp check(manifests, options) do
    config = Config.new!(options)
    read = for path <- manifests, do: {path, read(path, config)}

    case for {_path, {:error, found}} <- read, do: found do
      [] -> {:ok, for({path, {:ok, parsed}} <- read, do: {path, parsed.manifest})}
      errors -> {:error, {:manifests, List.flatten(errors)}}
    end
  end

  # In a lattice, another host may have a provider module that this host lacks.
  defp read(path, %Config{nats: nil, providers: providers}) do
    Manifest.parse(path, Map.keys(providers))
  end

  defp read(path, _config), do: Manifest.parse(path, nil)

  # If the lattice cannot be reached, this host runs the manifest alone, and applies it later.
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
      # The manifest had no mistake before, so it was changed since, or the lattice cannot be reached.
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

  # The host applies it, and retries until that succeeds.
  defp want(path), do: Startup.add(instance(), {:manifest, [Path.expand(path)]})

  defp instance, do: Directory.fetch!(@host, :instance)

  # The host goes on, and tries again.
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

  @doc "Prints the error of `run/2`."
  @spec failed(term()) :: :ok
  def failed({:manifests, diagnostics}), do: Report.diagnostics(diagnostics)
  def failed(reason), do: Report.failure(describe(reason))

  # Finds the reason of a failed start, which is nested in the reasons of the supervisors.
  defp describe({reason, child}) when is_tuple(child) and elem(child, 0) == :child,
    do: describe(reason)

  defp describe({:shutdown, {:failed_to_start_child, _id, reason}}), do: describe(reason)
  defp describe(%Error{} = error), do: Exception.message(error)
  defp describe(text) when is_binary(text), do: text
  defp describe(reason), do: Exception.format_exit(reason)
end
