defmodule Exosuit.Up.Report do
  @moduledoc """
  The output of `exosuit up`: facts on stdout, errors and warnings on stderr.

  People read it in a terminal, and scripts wait for the line `ready`. Each function prints, and decides nothing. Lines
  about a manifest are indented below its path:

      exosuit 1.0.0: host NAB…, lattice default
      app.yaml asks for:
        counter-counter: up to 1 calls at a time in all, over all hosts
      connected to the lattice
      app.yaml:
        actor counter-counter (counter 0.1.0, revision 1, issuer A…)
        provider counter-http 127.0.0.1:8080
        refused: provider counter-db: … (next try in 2 s)
      ready; Ctrl-C stops
  """

  alias Exosuit.{Error, Manifest}
  alias Exosuit.Lattice.{Bus, Session}

  @doc """
  Prints which host runs, and the options that let more code run than the default would. `inventory` is that of
  `Exosuit.Host.Inventory.take/1`.
  """
  @spec host(map(), keyword()) :: :ok
  def host(inventory, options) do
    IO.puts("exosuit #{version()}: host #{inventory.host_id}, lattice #{inventory.lattice}")
    if options[:data_dir], do: IO.puts("data in #{options[:data_dir]}")
    if options[:trusted_issuers] == :any, do: IO.puts(any_issuer())

    if options[:unsigned] == :allow,
      do: IO.puts("actors without a signature may run (--unsigned allow)")

    :ok
  end

  @doc "Warns that hosts without a common key refuse each other's calls."
  @spec cluster(keyword()) :: :ok
  def cluster(options) do
    if options[:nats] && options[:nats][:cluster_seed] == nil do
      IO.puts(:stderr, """
      warning: no EXOSUIT_CLUSTER_SEED: this host signs with a key of its own, and other hosts refuse its \
      calls as it refuses theirs. Give all of them one key:
        (umask 077; exosuit keys gen cluster --json > cluster.nk); export EXOSUIT_CLUSTER_SEED=cluster.nk\
      """)
    else
      :ok
    end
  end

  @doc "Warns about settings without effect."
  @spec warnings([String.t()]) :: :ok
  def warnings(texts), do: Enum.each(texts, &IO.puts(:stderr, "warning: #{&1}"))

  @doc "Prints the planned instances of each actor before any of them starts."
  @spec asked_for(Path.t(), map()) :: :ok
  def asked_for(path, manifest) do
    IO.puts("#{path} asks for:")

    for %{role: :actor} = actor <- Manifest.workloads(manifest) do
      line(["#{actor.id}: up to #{actor.instances} calls at a time", where(actor)])
    end

    :ok
  end

  @doc "Prints whether the lattice was reached. For a host without NATS, prints nothing."
  @spec connection(Session.t()) :: :ok
  def connection(session) do
    case {Session.connections(session), Bus.connection(session)} do
      {none, _connected} when none == %{} -> :ok
      {_some, :connected} -> IO.puts("connected to the lattice")
      {_some, {:connecting, %Error{} = error}} -> not_connected(": #{Exception.message(error)}")
      {_some, _not_yet} -> not_connected("")
    end
  end

  defp not_connected(why) do
    IO.puts(:stderr, "warning: not connected to the lattice yet#{why}")
  end

  @doc "Prints that an application was undeployed, because no manifest names it any more."
  @spec undeployed(String.t()) :: :ok
  def undeployed(app) do
    IO.puts(
      "application #{app} is undeployed: an earlier start named its manifest, this one does not"
    )
  end

  @doc "Prints that this host runs a manifest alone for now."
  @spec alone(Path.t()) :: :ok
  def alone(path) do
    IO.puts(
      :stderr,
      "warning: #{path} is served on this host alone until the lattice is reachable"
    )
  end

  @doc """
  Prints the steps of an applied manifest, each failed one on stderr with its reason, and when it is tried again.
  `inventory` has what runs after the steps.
  """
  @spec applied(Path.t(), [tuple()], [map()], map()) :: :ok
  def applied(path, outcomes, warnings, inventory) do
    diagnostics(warnings)
    IO.puts("#{path}:")
    Enum.each(outcomes, &outcome(&1, inventory))
  end

  @doc "Prints that all manifests were applied, or that their failed parts are tried again."
  @spec ready() :: :ok
  def ready, do: IO.puts("ready; Ctrl-C stops")

  @doc "Prints the mistakes and warnings of manifests on stderr."
  @spec diagnostics([map()]) :: :ok
  def diagnostics(diagnostics) do
    Enum.each(diagnostics, &IO.puts(:stderr, "#{&1.severity}: #{&1.text}"))
  end

  @doc "Prints on stderr why `exosuit up` ends."
  @spec failure(String.t()) :: :ok
  def failure(text), do: IO.puts(:stderr, "error: #{text}")

  defp where(%{scaler: :everywhere}), do: "in all, over all hosts"
  defp where(%{scaler: :daemon}), do: "on each host that a spread names"
  defp where(%{scaler: :spread, spreads: spreads}), do: "in all, over #{length(spreads)} spreads"

  defp any_issuer do
    "every issuer is trusted: right for a developer's machine only"
  end

  defp version, do: :exosuit |> Application.spec(:vsn) |> to_string()

  defp outcome({{:nowhere, {:unplaced, id, _spread, count}}, {:error, error}}, _inventory) do
    refused("#{count} of #{id}", Exception.message(error))
  end

  defp outcome({{:start, {:actor, id}}, :ok}, inventory) do
    actor = Enum.find(inventory.actors, &(&1.id == id))
    line(["actor", id, claims(actor && actor.claims)])
  end

  defp outcome({{:update, %{id: id}}, :ok}, inventory) do
    actor = Enum.find(inventory.actors, &(&1.id == id))
    line(["actor", id, "updated", claims(actor && actor.claims)])
  end

  defp outcome({{:start, {:provider, id}}, :ok}, inventory) do
    provider = Enum.find(inventory.providers, %{endpoints: [], refused_links: []}, &(&1.id == id))
    line(["provider", id | provider.endpoints])
    for error <- provider.refused_links, do: refused("link of #{id}", error)
  end

  defp outcome({{:exchange, %{id: id}}, :ok}, inventory) do
    outcome({{:start, {:provider, id}}, :ok}, inventory)
  end

  defp outcome({{:link, link}, :ok}, _inventory), do: line(["link", describe(link)])
  defp outcome({_step, :ok}, _inventory), do: :ok

  defp outcome({step, {:error, error}}, inventory) do
    refused(subject(step), Exception.message(error) <> next_try(step, inventory))
  end

  defp next_try({:start, {role, id}}, inventory) do
    wanted = if role == :actor, do: inventory.actors, else: inventory.providers

    case Enum.find(wanted, &(&1.id == id)) do
      %{retry_in_ms: delay} when is_integer(delay) ->
        " (next try in #{div(delay + 999, 1_000)} s)"

      _not_tried_again ->
        ""
    end
  end

  defp next_try(_step, _inventory), do: ""

  defp line(words), do: IO.puts("  " <> Enum.join(words, " "))

  defp refused(what, why), do: IO.puts(:stderr, "  refused: #{what}: #{why}")

  defp claims(nil), do: "(unsigned)"

  defp claims(claims) do
    "(#{claims.name} #{claims.version}, revision #{claims.revision}, issuer #{claims.issuer})"
  end

  defp subject({_what, {role, id}}) when is_atom(role), do: "#{role} #{id}"
  defp subject({:link, link}), do: "link #{describe(link)}"
  defp subject({:unlink, {source, contract, name}}), do: "link #{source} -> #{contract} #{name}"
  defp subject({_what, specification}), do: specification.id

  defp describe(link) do
    "#{link.source} -> #{link.target} for #{link.namespace}:#{link.package}"
  end
end
