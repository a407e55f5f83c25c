defmodule Exosuit.Deployer.Plan do
  @moduledoc false
  # From what an application should be and what the hosts of a lattice tell: the commands between the
  # two, pure. They are in the order that loses least, by rank; those of one rank may go at once.
  #
  # What replaces something without an interruption is there before that goes: then the next plan,
  # made when these commands are done, is the one that ends it.

  alias Exosuit.Deployer.{Marks, State}
  alias Exosuit.Model.{Application, Configuration, Link, Placement}
  alias Exosuit.Provider.Builtin

  @typedoc "A host, all of them together, or none, where a wish has no place."
  @type place :: String.t() | :lattice | :nowhere
  @type command ::
          {:stop_actor, map()}
          | {:stop_provider, String.t()}
          | {:unlink, Link.key()}
          | {:put_config, String.t(), map()}
          | {:link, State.link()}
          | {:update_actor, map()}
          | {:scale_actor, map()}
          | {:start_provider, map()}
          | {:unplaced, String.t(), spread :: String.t(), pos_integer()}
          | {:taken, String.t()}
  @type step :: {place(), command()}

  @doc "The commands from what is there to what should be; none where nothing differs."
  @spec steps(Application.t(), State.t()) :: [step()]
  def steps(%Application{} = application, %State{} = state) do
    {wanted, unplaced} = wanted(application, state)
    links = Enum.map(application.links, &link/1)
    parts = Enum.flat_map(state.hosts, &parts(&1, wanted, application))
    steps = unplaced ++ parts ++ links(links, application, state)
    steps |> Enum.flat_map(&with_config(&1, application)) |> Enum.uniq() |> Enum.sort_by(&rank/1)
  end

  @doc "Its place in the order of a plan."
  @spec rank(step()) :: non_neg_integer()
  def rank({_place, {kind, _id}}) when kind in [:taken], do: 0
  def rank({_place, {:unplaced, _id, _spread, _count}}), do: 0
  def rank({_place, {kind, _it}}) when kind in [:stop_actor, :stop_provider], do: 1
  def rank({_place, {:unlink, _key}}), do: 2
  def rank({_place, {:put_config, _name, _values}}), do: 3
  def rank({_place, {:link, _link}}), do: 4
  def rank({_place, {:update_actor, _it}}), do: 5
  def rank({_place, {:scale_actor, _it}}), do: 6

  # Providers that listen start last, so that their ports open when the actors that answer run.
  def rank({_place, {:start_provider, it}}),
    do: if(Builtin.listens?(it.reference), do: 8, else: 7)

  # `%{{host, id} => {workload, count, annotations}}`, and who has no host.
  defp wanted(application, state) do
    application.workloads
    |> Enum.map(&placed(&1, application, state))
    |> Enum.reduce({%{}, []}, fn {placed, unplaced}, {all, without} ->
      {Map.merge(all, placed), without ++ unplaced}
    end)
  end

  defp placed(workload, application, state) do
    running = for host <- state.hosts, runs?(host, workload), into: MapSet.new(), do: host.id
    {counts, unplaced} = Placement.place(workload, state.hosts, running)
    annotations = Marks.annotations(application, workload)

    {for(
       {host, count} <- counts,
       into: %{},
       do: {{host, workload.id}, {workload, count, annotations}}
     ), for({spread, count} <- unplaced, do: {:nowhere, {:unplaced, workload.id, spread, count}})}
  end

  defp runs?(host, workload) do
    Enum.any?(host.components ++ host.providers, &(&1.id == workload.id))
  end

  defp parts(host, wanted, application) do
    there = Enum.group_by(host.components ++ host.providers, & &1.id)
    mine = for {{id, name}, want} <- wanted, id == host.id, into: %{}, do: {name, want}

    Enum.flat_map(Enum.uniq(Map.keys(there) ++ Map.keys(mine)), fn id ->
      {ours, others} = Enum.split_with(there[id] || [], &Marks.ours?(&1.annotations, application))

      for command <- part(mine[id], ours, others), do: {host.id, command}
    end)
  end

  # What is somebody else's stays so, whatever it is called.
  defp part(nil, ours, _others), do: Enum.map(ours, &stop/1)
  defp part({workload, _count, _marks}, _ours, [_other | _]), do: [{:taken, workload.id}]
  defp part({%{role: :actor}, _count, _marks} = want, ours, []), do: actor(want, ours)
  defp part({%{role: :provider}, _count, _marks} = want, ours, []), do: provider(want, ours)

  # Each set of annotations is an entry of its own.
  defp actor({workload, count, marks} = want, ours) do
    {exact, old} =
      Enum.split_with(ours, &(&1.annotations == marks and Map.has_key?(&1, :instances)))

    cond do
      match?([%{instances: ^count}], exact) and hd(exact).reference == workload.reference ->
        Enum.map(old, &stop/1)

      exact != [] ->
        Enum.map(old, &stop/1) ++ update(want, exact) ++ [scale(want)]

      # A provider had the id.
      not Enum.all?(old, &Map.has_key?(&1, :instances)) ->
        Enum.map(old, &stop/1) ++ [scale(want)]

      Enum.all?(old, &Marks.same_settings?(&1.annotations, marks)) ->
        update(want, old) ++ [scale(want)]

      # The host changes settings and code in one step, if both can start. The replaced instances are stopped
      # afterwards.
      true ->
        [scale(want)]
    end
  end

  defp update({workload, _count, marks}, there) do
    same? = fn entry ->
      entry.reference == workload.reference and Marks.same_image?(entry.annotations, marks)
    end

    if Enum.all?(there, same?),
      do: [],
      else: [{:update_actor, Map.take(workload, [:id, :reference])}]
  end

  defp scale({%{specification: nil} = workload, count, marks}) do
    {:scale_actor, scaled(workload, count, marks)}
  end

  defp scale({%{specification: own} = workload, count, marks}) do
    {:scale_actor, workload |> scaled(count, marks) |> Map.put(:specification, own)}
  end

  defp scaled(workload, count, marks) do
    %{
      id: workload.id,
      reference: workload.reference,
      count: count,
      annotations: marks,
      config: Marks.config_names(workload.configs, workload.config),
      limits: workload.limits
    }
  end

  defp provider({workload, _count, marks} = want, ours) do
    same? = fn entry ->
      not Map.has_key?(entry, :instances) and entry.reference == workload.reference and
        Marks.same_settings?(entry.annotations, marks)
    end

    cond do
      ours == [] -> [start(want)]
      Enum.all?(ours, same?) -> []
      true -> Enum.map(ours, &stop/1) ++ [start(want)]
    end
  end

  defp start({workload, _count, marks}) do
    {:start_provider,
     %{
       id: workload.id,
       reference: workload.reference,
       annotations: marks,
       config: Marks.config_names(workload.configs, workload.config)
     }}
  end

  defp stop(%{instances: _actor} = entry) do
    {:stop_actor, Map.take(entry, [:id, :reference, :annotations])}
  end

  defp stop(entry), do: {:stop_provider, entry.id}

  defp link(link) do
    %{
      source: link.source,
      target: link.target,
      name: link.name,
      contract: Link.contract(link),
      interfaces: Enum.sort(link.interfaces),
      source_configs: Marks.config_names(link.source_configs, link.source_config),
      target_configs: Marks.config_names(link.target_configs, link.target_config)
    }
  end

  # Nothing says whose a link is, but one between two that are the application's is its own.
  defp links(wanted, application, state) do
    members = members(application, state)
    gone = Enum.filter(state.links, &gone?(&1, wanted, members))
    keys = gone |> Enum.map(&key/1) |> Enum.uniq()

    # A key is removed with all that it has.
    kept =
      for link <- state.links, link not in gone, link not in wanted, key(link) in keys, do: link

    made = for link <- wanted, link not in state.links or key(link) in keys, do: link

    for(key <- keys, do: {:lattice, {:unlink, key}}) ++
      for(link <- kept ++ made, do: {:lattice, {:link, link}})
  end

  # What takes the place of a link to the same target needs no interruption.
  defp gone?(link, wanted, members) do
    case Enum.find(wanted, &(key(&1) == key(link) and Link.overlap?(&1, link))) do
      nil -> link.source in members and link.target in members
      follower -> follower.target != link.target
    end
  end

  defp members(application, state) do
    told =
      for host <- state.hosts,
          entry <- host.components ++ host.providers,
          Marks.ours?(entry.annotations, application),
          do: entry.id

    MapSet.new(told ++ Enum.map(application.workloads, & &1.id))
  end

  defp key(link), do: {link.source, link.contract, link.name}

  # Whoever names a configuration finds it.
  defp with_config({_place, command} = step, application) do
    names =
      case command do
        {:link, link} -> link.source_configs ++ link.target_configs
        {kind, it} when kind in [:scale_actor, :start_provider] -> it.config
        _other -> []
      end

    for(
      name <- names,
      values = values(application, name),
      do: {:lattice, {:put_config, name, values}}
    ) ++
      [step]
  end

  defp values(%{configurations: given}, name) when is_map_key(given, name), do: given[name]

  defp values(application, name) do
    of_links = Enum.flat_map(application.links, &[&1.source_config, &1.target_config])
    of_workloads = Enum.map(application.workloads, & &1.config)
    Enum.find(of_links ++ of_workloads, &(&1 != %{} and Configuration.name(&1) == name))
  end
end
