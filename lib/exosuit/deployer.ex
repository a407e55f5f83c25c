defmodule Exosuit.Deployer do
  @moduledoc """
  Deploys an application on the present hosts of a lattice, as its manifest says.

  `plan/2` is pure: it computes the commands from the application and the state of the hosts. `apply/3` reads
  the state, plans, sends the commands, and plans again. A replacement starts first, and the next plan stops
  the replaced part. To keep an application deployed while hosts come and go, call `plan/2` repeatedly.

  ## Where things run

  Without `spread` in its scaler, a component or provider runs on every host. With a spread, the `instances`
  of a `spreadscaler` are divided by weight among the spreads, and then evenly over the hosts whose labels
  match. The `instances` of a `daemonscaler` run on each matching host. A host runs a provider once.

  ## Ownership

  Deployed actors and providers have annotations: `wasmcloud.dev/managed-by` (`exosuit`),
  `wasmcloud.dev/appspec` (the application), and `exosuit.dev/settings`, `exosuit.dev/config` and
  `exosuit.dev/image` (the settings, the name of the configuration, the digest of the file). If one with these annotations is no longer in the manifest,
  it is stopped. One with the id of a component but other annotations belongs to somebody else, and is an
  error. A link belongs to the application if both its ends do.
  """

  alias Exosuit.{Artifact, Config, Error, Manifest, Retry}
  alias Exosuit.Deployer.{Conduct, Hosts, Marks, Plan, State}
  alias Exosuit.Model.Application

  @type outcome :: Conduct.outcome()

  # One that does, one that lets go of what was replaced, one that finds nothing to do.
  @rounds 3

  # Failed steps in one error. All of them are in the outcomes.
  @shown 5

  @doc "The commands that turn the current state into the wanted one; none if they are equal."
  @spec plan(Application.t(), State.t()) :: [Plan.step()]
  defdelegate plan(application, state), to: Plan, as: :steps

  @doc """
  Applies a manifest. After `{:error, diagnostics}`, nothing was changed: the manifest has mistakes, or no host
  answers. The calling process waits.

  `{:ok, outcomes, warnings}` describes the final state: a step that somebody else has undone since is an
  error. `allow_issuer_change?` lets code of another issuer replace running code. `config` is the
  configuration of the deploying host, or `nil`.
  """
  @spec apply(Hosts.t(), Path.t(), boolean(), Config.t() | nil) ::
          {:ok, [outcome()], [Manifest.diagnostic()]} | {:error, [Manifest.diagnostic()]}
  def apply(%Hosts{} = hosts, path, allow_issuer_change? \\ false, config \\ nil) do
    with {:ok, application, warnings} <- Manifest.read_application(path, config),
         :ok <- check_stored(hosts, application),
         {:ok, outcomes} <- settle(hosts, with_digests(application), allow_issuer_change?) do
      {:ok, outcomes, warnings}
    else
      {:error, %Error{} = error} ->
        {:error, [Manifest.diagnostic(path, error)]}

      {:error, diagnostics} ->
        {:error, diagnostics}
    end
  end

  # The lattice answers nothing where it has none.
  defp check_stored(hosts, application) do
    missing =
      for {name, diagnostic} <- application.stored,
          {:ok, nil} <- [Hosts.request(hosts, "config.get.#{name}", nil)],
          do: diagnostic

    if missing == [], do: :ok, else: {:error, missing}
  end

  @doc "What is noted on each part of an application that is deployed, by its id."
  @spec annotations(Application.t()) :: %{optional(String.t()) => map()}
  def annotations(application) do
    application = with_digests(application)
    Map.new(application.workloads, &{&1.id, Marks.annotations(application, &1)})
  end

  @doc "Stops all that belongs to an application, by its name. The calling process waits."
  @spec delete(Hosts.t(), String.t()) :: {:ok, [outcome()]} | {:error, Error.t()}
  def delete(%Hosts{} = hosts, app), do: settle(hosts, %Application{name: app}, false)

  @doc """
  The failed steps of an application as one error, or `:ok`. Its reason is final only if no step would succeed
  when tried again, see `Exosuit.Retry`.
  """
  @spec check([outcome()]) :: :ok | {:error, Error.t()}
  def check(outcomes) do
    case for {step, {:error, error}} <- outcomes, do: {step, error} do
      [] -> :ok
      failed -> {:error, failure(failed, length(outcomes))}
    end
  end

  defp failure([{_step, first} | _] = failed, total) do
    errors = for {_step, error} <- failed, do: error
    %{reason: reason} = Enum.find(errors, first, &(not Retry.final?(&1.reason)))
    {shown, more} = Enum.split(failed, @shown)
    texts = for {step, error} <- shown, do: "#{describe(step)}: #{Exception.message(error)}"
    texts = if more == [], do: texts, else: texts ++ ["and #{length(more)} more"]
    Error.new(reason, "#{length(failed)} of #{total} steps failed: #{Enum.join(texts, "; ")}")
  end

  @doc "What a command does, and where, for people."
  @spec describe(Plan.step()) :: String.t()
  def describe({:lattice, command}), do: describe_command(command)
  def describe({:nowhere, command}), do: describe_command(command)
  def describe({host, command}), do: "#{describe_command(command)} on #{host}"

  defp settle(hosts, application, allow?) do
    with {:ok, ids} <- Hosts.ids(hosts),
         do: settle({hosts, ids, allow?}, application, [], @rounds)
  end

  defp settle({hosts, ids, _allow?} = context, application, outcomes, rounds) do
    with {:ok, state, silent} <- Hosts.state(hosts, ids) do
      tried = for {step, _result} <- outcomes, do: step
      outcomes = outcomes ++ silent(silent, tried)

      left = allowed(plan(application, state), context)
      new = left -- tried

      if rounds == 0 or new == [] do
        {:ok, Enum.map(outcomes, &verify(&1, left))}
      else
        done = Conduct.run(hosts, new, fn -> left(context, application) end)
        settle(context, application, outcomes ++ restore(context, done, state), rounds - 1)
      end
    end
  end

  defp left({hosts, ids, _allow?} = context, application) do
    case Hosts.state(hosts, ids) do
      {:ok, state, []} -> {:ok, allowed(plan(application, state), context)}
      _some_silent -> :unknown
    end
  end

  # Done, and to be done again: somebody else has changed it since.
  defp verify({step, :ok}, left) do
    if step in left and not preparation?(step, left),
      do: {step, {:error, undone()}},
      else: {step, :ok}
  end

  defp verify(outcome, _left), do: outcome

  # A step that another step requires stays until that other step is done.
  defp preparation?({_place, {:put_config, _name, _values}}, _left), do: true

  defp preparation?({host, {:stop_provider, id}}, left) do
    Enum.any?(left, &match?({^host, {:start_provider, %{id: ^id}}}, &1))
  end

  defp preparation?({host, {:stop_actor, %{id: id}}}, left) do
    Enum.any?(left, &match?({^host, {:scale_actor, %{id: ^id}}}, &1))
  end

  defp preparation?(_step, _left), do: false

  defp undone do
    Error.new(
      :conflict,
      "it succeeded, but another command changed it afterwards: apply one manifest at a time"
    )
  end

  # A provider is stopped before another takes its place: where that fails, the old one comes back.
  defp restore({hosts, _ids, _allow?}, outcomes, state) do
    for {{host, {:start_provider, it}}, {:error, _error}} = failed <- outcomes,
        {{host, {:stop_provider, it.id}}, :ok} in outcomes,
        old = State.provider(state, host, it.id) do
      {failed, {host, {:start_provider, Marks.start(old)}}}
    end
    |> Enum.reduce(outcomes, fn {{step, {:error, error}}, start}, outcomes ->
      [{_start, result}] = Conduct.run(hosts, [start], fn -> :unknown end)
      List.keyreplace(outcomes, step, 0, {step, {:error, restored(error, result)}})
    end)
  end

  defp restored(error, :ok), do: %{error | detail: "#{error.detail}; the old one runs again"}

  defp restored(error, {:error, again}) do
    %{
      error
      | detail: "#{error.detail}; the old one did not restart either: #{Exception.message(again)}"
    }
  end

  # A host accepts code of another issuer only with an explicit permission.
  defp allowed(steps, {_hosts, _ids, false}), do: steps

  defp allowed(steps, {_hosts, _ids, true}) do
    for {place, command} <- steps do
      case command do
        {kind, it} when kind in [:update_actor, :scale_actor] ->
          {place, {kind, Map.put(it, :allow_issuer_change, true)}}

        command ->
          {place, command}
      end
    end
  end

  # It may have gone in between. Whatever should be there is not.
  defp silent(silent, tried) do
    for {id, error} <- silent,
        {id, :inventory} not in tried,
        do: {{id, :inventory}, {:error, error}}
  end

  # A changed file under an unchanged name is a change; one that cannot be read here may be readable
  # on the hosts.
  defp with_digests(application) do
    %{application | workloads: Enum.map(application.workloads, &with_digest/1)}
  end

  defp with_digest(%{reference: "file://" <> path} = workload) do
    case Artifact.fetch({:file, path, nil}) do
      {:ok, {_bytes, {:file, _path, digest}}} -> %{workload | digest: digest}
      {:error, _unreadable} -> workload
    end
  end

  defp with_digest(workload), do: workload

  defp describe_command({:stop_actor, %{id: id}}), do: "stop actor #{id}"
  defp describe_command({:stop_provider, id}), do: "stop provider #{id}"
  defp describe_command({:update_actor, %{id: id}}), do: "update actor #{id}"
  defp describe_command({:scale_actor, it}), do: "run #{it.count} of actor #{it.id}"
  defp describe_command({:start_provider, %{id: id}}), do: "start provider #{id}"
  defp describe_command({:put_config, name, _values}), do: "configuration #{name}"
  defp describe_command({:link, it}), do: "link #{it.source} -> #{it.target} for #{it.contract}"

  defp describe_command({:unlink, {source, contract, _name}}),
    do: "unlink #{source} from #{contract}"

  defp describe_command({:unplaced, id, spread, count}),
    do: "place #{count} of #{id} in #{spread}"

  defp describe_command({:taken, id}), do: "run #{id}"
  defp describe_command(:inventory), do: "inventory"
end
