defmodule Exosuit.Deployer do
  @moduledoc """
  Makes an application on the hosts of a lattice what its manifest says, for the hosts that are there.

  `plan/2` is pure: from the application and what the hosts tell, to the commands between the two.
  `apply/2` asks the hosts, plans, has the commands carried out, and plans again: what takes the place
  of something else is there first, and the next plan lets that go. Whoever wants to keep an
  application as it is, while hosts come and go, calls `plan/2` again and again.

  ## Where things run

  Without `spread` in its scaler, a component or provider goes to every host. With it, `instances` of a
  `spreadscaler` are divided by weight among the spreads, and then evenly over the hosts whose labels
  meet the requirements; those of a `daemonscaler` are on each host that meets them. A host runs a
  provider once.

  ## What is whose

  All that is deployed bears annotations: `wasmcloud.dev/managed-by` (`exosuit`), `wasmcloud.dev/appspec`
  (the application), `exosuit.dev/settings` and `exosuit.dev/image` (what it was made of). What bears
  them and is not in the manifest any more is stopped; what has the id of a component, but other
  annotations, is somebody else's, and an error. A link is the application's where both its ends are.
  """

  alias Exosuit.{Artifact, Manifest}
  alias Exosuit.Deployer.{Conduct, Hosts, Plan, State}
  alias Exosuit.Model.Application

  @type outcome :: Conduct.outcome()

  # One that does, one that lets go of what was replaced, one that finds nothing to do.
  @rounds 3

  @doc "The commands from what is there to what should be; none where nothing differs."
  @spec plan(Application.t(), State.t()) :: [Plan.step()]
  defdelegate plan(application, state), to: Plan, as: :steps

  @doc """
  Makes an application what its manifest says. `{:error, diagnostics}` says what is wrong with the
  manifest, or that no host answers; nothing was changed. The calling process waits.
  """
  @spec apply(Hosts.t(), Path.t()) ::
          {:ok, [outcome()], [Manifest.diagnostic()]} | {:error, [Manifest.diagnostic()]}
  def apply(%Hosts{} = hosts, path) do
    with {:ok, application, warnings} <- Manifest.read_application(path),
         :ok <- check_stored(hosts, application),
         {:ok, outcomes} <- settle(hosts, with_digests(application)) do
      {:ok, outcomes, warnings}
    else
      {:error, %Exosuit.Error{} = error} ->
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

  @doc "Stops all that belongs to an application, by its name. The calling process waits."
  @spec delete(Hosts.t(), String.t()) :: {:ok, [outcome()]} | {:error, Exosuit.Error.t()}
  def delete(%Hosts{} = hosts, app), do: settle(hosts, %Application{name: app})

  @doc "What a command does, and where, for people."
  @spec describe(Plan.step()) :: String.t()
  def describe({:lattice, command}), do: describe_command(command)
  def describe({:nowhere, command}), do: describe_command(command)
  def describe({host, command}), do: "#{describe_command(command)} on #{host}"

  defp settle(hosts, application) do
    with {:ok, ids} <- Hosts.ids(hosts), do: settle(hosts, application, ids, [], @rounds)
  end

  defp settle(_hosts, _application, _ids, outcomes, 0), do: {:ok, outcomes}

  defp settle(hosts, application, ids, outcomes, rounds) do
    with {:ok, state, silent} <- Hosts.state(hosts, ids) do
      tried = for {step, _result} <- outcomes, do: step

      case plan(application, state) -- tried do
        [] ->
          {:ok, outcomes ++ silent(silent, tried)}

        steps ->
          outcomes = outcomes ++ silent(silent, tried) ++ Conduct.run(hosts, steps)
          settle(hosts, application, ids, outcomes, rounds - 1)
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
