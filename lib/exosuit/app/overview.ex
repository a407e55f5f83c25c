defmodule Exosuit.App.Overview do
  @moduledoc """
  The applications of a lattice as a member sees them, as plain maps for commands and people. Pure.

  The `status` of an application is

  - `:running`: all of the version runs on the hosts that placement chose
  - `:starting`: a part of the version does not run yet; `missing` says which part, where and why
  - `:failed`: a host refuses a part of the version for good, and no host runs that part
  - `:undeployed`: the application should not run

  Each host of a component has a `status` of its own, made from placement and from what that host says:

  | the host says | in the version that should run | `status` | counts as running |
  |---|---|---|---|
  | nothing of this component | | `:waiting` | 0 |
  | `:running` | yes | `:running` | its count |
  | `:running` | no | `:outdated` | its count |
  | another state | | that state | 0 |

  Only `:running` counts as done; everything else that placement wants is listed under `missing`, with the reason that
  the host gives. A host that runs a component though placement gives it nothing is shown while it is `:leaving`.

  Texts name hosts by their friendly names where this host knows them, and by their ids otherwise. All functions take
  the facts as an argument, so that commands, wadm's API and tests share one view.
  """

  alias Exosuit.App.{Placement, Record, Snapshot, Status}
  alias Exosuit.Error

  @typedoc "Names of hosts for people, by their ids."
  @type names :: %{optional(String.t()) => String.t() | nil}

  @typedoc """
  The facts of a member: the application, the members, and the names of hosts for people.
  """
  @type known :: {Snapshot.t(), Placement.candidates(), names()}

  @doc "An application on one line: `app`, `state`, `version`, `label`, `status`; `nil` if it has no record."
  @spec line(known()) :: map() | nil
  def line({%{record: nil}, _candidates, _names}), do: nil

  def line({%{record: record}, _candidates, _names} = known),
    do: Map.put(head(record), :status, summary(record, parts(known)))

  @doc """
  An application: the fields of `line/1`, and

  - `components`: a map for each component
    - `id`, `role`, `scaler`: as in the manifest
    - `wanted`: how many instances placement puts somewhere
    - `hosts`: by host its id and name, `wanted`, `running`, the `version` that it has, its `status` and `error`
    - `singleton`: whether it is one, and `holder`: the name of the host that has its lease
    - `missing`: the texts about it
  - `missing`: the texts about all components, and why a host cannot go on
  - `failed`: the versions that failed, with the reasons

  Returns `nil` if the application has no record.
  """
  @spec status(known()) :: map() | nil
  def status({%{record: nil}, _candidates, _names}), do: nil

  def status({%{record: record}, _candidates, _names} = known) do
    parts = parts(known)
    failed = for %{failed: reason} = it when reason != nil <- record.versions, do: failed(it)

    Map.merge(head(record), %{
      status: summary(record, parts),
      components: parts.components,
      missing: parts.missing,
      failed: failed
    })
  end

  @doc """
  The versions of an application, oldest first, and which of them should run. `at` is a text in ISO 8601, or `nil` if
  the record has a number that is not a time.
  """
  @spec history(Record.t()) :: map()
  def history(record) do
    fields = [:version, :label, :by, :failed]

    versions =
      for version <- record.versions do
        version |> Map.take(fields) |> Map.put(:at, time(version.at))
      end

    %{app: record.name, version: record.version, state: record.state, versions: versions}
  end

  @doc """
  The error `:not_found` for an application that does not exist.

      iex> Exception.message(Exosuit.App.Overview.absent("shop")) =~ ~s(there is no application "shop")
      true
  """
  @spec absent(String.t()) :: Error.t()
  def absent(app) do
    Error.new(
      :not_found,
      "there is no application #{inspect(app, printable_limit: 200)}; `app list` shows all"
    )
  end

  @doc "The error `:conflict`: why a version should not run any more. It failed, or another one was deployed."
  @spec superseded(Record.t(), pos_integer()) :: Error.t()
  def superseded(record, version) do
    case Record.fetch(record, version) do
      %{failed: reason} when reason != nil ->
        Error.new(
          :conflict,
          "version #{version} failed, version #{record.version} is deployed again: #{reason}"
        )

      _other ->
        Error.new(:conflict, "superseded by version #{record.version}")
    end
  end

  @doc """
  The instances of an application that no member runs: the workload, its spread, how many, and why. Empty while the
  model is not on this host. If members refused the workload, their reasons are the answer; otherwise
  `Exosuit.App.Placement.obstacle/4` finds it.
  """
  @spec unplaced(known()) ::
          [{workload_id :: String.t(), spread :: String.t(), pos_integer(), why :: String.t()}]
  def unplaced({snapshot, candidates, names}) do
    case Snapshot.placement(snapshot, candidates) do
      {_shares, unplaced} ->
        for {id, spreads} <- Enum.sort(unplaced),
            {spread, count} <- spreads,
            do: {id, spread, count, why_nowhere(id, spread, {snapshot, candidates, names})}

      :unknown ->
        []
    end
  end

  @doc "The missing parts of an application, on one line. For the error of a caller that waited too long."
  @spec unfinished(known() | nil, String.t()) :: String.t()
  def unfinished(known, app) do
    case known && status(known) do
      %{missing: [_ | _] = missing} -> Enum.join(missing, "; ")
      _nothing_known -> "application #{app} is still starting"
    end
  end

  # Anybody who may write records may write any number.
  defp time(at) do
    case DateTime.from_unix(at, :millisecond) do
      {:ok, time} -> time |> DateTime.truncate(:second) |> DateTime.to_iso8601()
      {:error, _beyond} -> nil
    end
  end

  defp head(record) do
    %{
      app: record.name,
      edition: record.edition,
      state: record.state,
      version: record.version,
      label: Record.current(record).label
    }
  end

  defp failed(version), do: %{version: version.version, reason: version.failed}

  defp summary(%{state: :undeployed}, _parts), do: :undeployed
  defp summary(_record, %{known?: false}), do: :starting
  defp summary(_record, %{missing: []}), do: :running
  defp summary(_record, %{refused?: true}), do: :failed
  defp summary(_record, _parts), do: :starting

  defp parts({%{record: %{state: :undeployed}}, _candidates, _names}) do
    %{known?: true, components: [], missing: [], refused?: false}
  end

  defp parts({%{record: record, statuses: statuses} = snapshot, candidates, names}) do
    case Snapshot.placement(snapshot, candidates) do
      {shares, unplaced} ->
        nowhere = nowhere(unplaced, {snapshot, candidates, names})

        components =
          for workload <- snapshot.placed.workloads do
            component = component(workload, record, {shares, statuses, names})
            component = Map.put(component, :holder, holder(workload, snapshot, names))
            Map.put(component, :missing, missing(component) ++ Map.get(nowhere, workload.id, []))
          end

        %{
          known?: true,
          components: components,
          missing: Enum.flat_map(components, & &1.missing) ++ problems(statuses, names),
          refused?: Enum.any?(components, &refused?(&1, statuses, record.version))
        }

      :unknown ->
        missing = ["the model of version #{record.version} is not on this host yet"]
        %{known?: false, components: [], missing: missing, refused?: false}
    end
  end

  defp component(workload, record, {shares, statuses, names}) do
    placed = for {host, %{} = share} <- shares, count = share[workload.id], do: {host, count}
    others = for {host, status} <- statuses, leaves?(status, workload.id), do: {host, 0}

    hosts =
      for {host, wanted} <- Enum.sort(placed) ++ Enum.sort(others -- placed),
          wanted > 0 or not List.keymember?(placed, host, 0),
          do: host({host, wanted}, workload.id, Record.target(record), statuses[host], names)

    wanted = placed |> Enum.map(&elem(&1, 1)) |> Enum.sum()

    %{
      id: workload.id,
      role: workload.role,
      scaler: workload.scaler,
      singleton: workload.singleton?,
      wanted: wanted,
      hosts: hosts
    }
  end

  defp holder(%{singleton?: false}, _snapshot, _names), do: nil

  defp holder(%{id: id}, snapshot, names) do
    host = snapshot.holders[id]
    names[host] || host
  end

  defp leaves?(status, id), do: match?(%{state: :leaving}, status.workloads[id])

  defp host({host, wanted}, id, version, status, names) do
    said = status && status.workloads[id]
    current? = status != nil and Status.about?(status, version)

    {state, running} =
      case said do
        %{state: :running, count: count} when current? -> {:running, count}
        %{state: :running, count: count} -> {:outdated, count}
        %{state: state} -> {state, 0}
        nil -> {:waiting, 0}
      end

    %{
      host: host,
      host_name: names[host],
      wanted: wanted,
      running: running,
      version: status && status.version,
      status: state,
      error: (said && said.detail) || (status && status.refused[id])
    }
  end

  defp missing(component) do
    for %{wanted: wanted, status: status} = host when wanted > 0 and status != :running <-
          component.hosts,
        do: "#{component.id} on #{host.host_name || host.host}: #{reason(host)}"
  end

  defp nowhere(unplaced, known) do
    Map.new(unplaced, fn {id, spreads} ->
      {id,
       for({spread, count} <- spreads, do: "#{count} of #{id}: #{why_nowhere(id, spread, known)}")}
    end)
  end

  defp why_nowhere(id, spread, {snapshot, candidates, names}) do
    refusals =
      for {host, %{refused: %{^id => why}}} <- Enum.sort(snapshot.statuses),
          do: "#{names[host] || host} refuses it: #{why}"

    case refusals do
      [] -> snapshot.placed |> Placement.obstacle(id, spread, candidates) |> why(spread)
      refusals -> Enum.join(refusals, "; ")
    end
  end

  defp why(:labels, spread), do: "no host has the labels of spread #{spread}"

  defp why(:schema, spread),
    do: "no host of spread #{spread} has a version of Exosuit that is new enough"

  defp why(:count, spread), do: "spread #{spread} has fewer hosts than that"

  defp why({:feature, "module:" <> name}, spread),
    do: "no host of spread #{spread} has the provider module #{name} (option `providers`)"

  defp why({:feature, feature}, spread), do: "no host of spread #{spread} has #{feature}"

  defp reason(%{status: status, error: nil}), do: Atom.to_string(status)
  defp reason(%{status: status, error: error}), do: "#{status}: #{error}"

  defp problems(statuses, names) do
    for {host, %{problem: problem}} when problem != nil <- Enum.sort(statuses),
        do: "#{names[host] || host}: #{problem}"
  end

  # True if no host is left that would run the component.
  defp refused?(component, statuses, version) do
    refusals =
      for {_host, %Status{version: ^version, refused: refused}} <- statuses,
          is_map_key(refused, component.id),
          do: component.id

    refusals != [] and not Enum.any?(component.hosts, &(&1.status == :running))
  end
end
