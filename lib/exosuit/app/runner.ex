defmodule Exosuit.App.Runner do
  @moduledoc """
  Makes a host run its share of an application, and returns the outcome of each workload.

  `run/2` changes only what differs, see `Exosuit.Host.Plan`. Each function blocks the calling process, for as long as
  modules are fetched and compiled.

  ## The steps of a run

  1. The objects of the share are brought to this host, unless they are here (`Exosuit.App.Objects`).
  2. The model becomes a manifest of this host: specifications with the counts of the share, and all links.
  3. The configurations that it names are looked up; the links' own ones are stored in the lattice.
  4. `Exosuit.Host.Deployment` takes the steps, one after the other. A failed step does not stop the others.
  5. The state of each workload is read from the inventory, and joined with the errors of the steps.

  An error in the first three steps concerns the whole share, and nothing was changed then.

  ## Outcomes

  | the workload | outcome |
  |---|---|
  | a step for it failed | `{:refused, error, final?}`, though its old code may go on |
  | a link from it failed | the same: it would lack the link |
  | runs | `:running` |
  | starts, or starts again | `{:starting, error or nil}` |
  | could not start, and is tried again | `{:refused, error, false}` |
  | could not start, and is not tried again | `{:refused, error, true}` |

  ## Without the lattice

  An order with `alone?` makes links on this host alone, and marks them as provisional (`Exosuit.Host.Statuses`): the
  lattice has no records of them, and would otherwise remove them when it is back. The next run with the lattice shares
  them, and removes the marks.
  """

  alias Exosuit.{Error, Instance, Manifest, Retry}
  alias Exosuit.App.{Model, Objects, Placement}
  alias Exosuit.App.Machine.Share, as: Told
  alias Exosuit.Host.{Deployment, Inventory, Replica, Share, Statuses}
  alias Exosuit.Model.{Artifact, Link}

  @typedoc """
  An order: the share of an application that a host should run.

  - `version`: its number; 0 if the host serves it alone, -1 if nobody ordered what runs
  - `model`: the model of the version; `nil` if the application should not run at all
  - `former`: links that an earlier version had. Former links that this version does not have are removed
  - `keep_links?`: whether the links stay if the share is empty, because other hosts run the application
  - `alone?`: the lattice cannot be reached. Links are made on this host alone, and shared by a later run
  - `sources`: objects that are not in the lattice yet, by their digests
  """
  @type order :: %{
          app: String.t(),
          version: integer(),
          share: Placement.share(),
          model: Model.t() | nil,
          former: [Link.t()],
          keep_links?: boolean(),
          allow_issuer_change?: boolean(),
          alone?: boolean(),
          sources: %{optional(String.t()) => Artifact.source()}
        }

  @typedoc "The steps that were taken, with their outcomes, and the state of each workload of the share after them."
  @type result :: %{
          steps: [Deployment.outcome()],
          workloads: %{optional(String.t()) => Told.outcome()}
        }

  @doc "An order without a model. With an empty share, it stops the application on this host."
  @spec order(String.t(), integer(), Placement.share()) :: order()
  def order(app, version, share) do
    %{
      app: app,
      version: version,
      share: share,
      model: nil,
      former: [],
      keep_links?: true,
      allow_issuer_change?: false,
      alone?: false,
      sources: %{}
    }
  end

  @doc """
  Makes the host run a share. An error that concerns the whole share is returned as such; nothing was changed then.

  `:conflict` if another change of the application is under way on this host. `:invalid_input` if the model is that of
  another application. Other errors are those of objects and configurations.
  """
  @spec run(Instance.t(), order()) :: {:ok, result()} | {:error, Error.t()}
  def run(instance, %{alone?: true} = order) do
    Statuses.put_provisional(instance, link_keys(order))
    run_here(instance, order, [])
  end

  def run(instance, order) do
    provisional = Statuses.provisional(instance)

    with {:ok, result} <- run_here(instance, order, provisional) do
      Replica.follow(instance, Statuses.confirm_links(instance, all_link_keys(order)))
      {:ok, result}
    end
  end

  defp run_here(instance, order, provisional) do
    with {:ok, manifest} <- manifest(instance, order),
         {:ok, steps} <- Deployment.apply(instance, manifest, permissions(order, provisional)) do
      {:ok, %{steps: steps, workloads: workloads(instance, order.share, steps)}}
    end
  end

  @doc "The state of each workload of a share on this host. `failures` are errors of the last apply, by id."
  @spec states(Instance.t(), Placement.share(), %{optional(String.t()) => Error.t()}) ::
          %{optional(String.t()) => Told.outcome()}
  def states(instance, share, failures) do
    Map.new(share, fn {id, _count} -> {id, state(instance, id, failures[id])} end)
  end

  @doc """
  The errors of steps by the id of the workload that each concerns. A step that concerns no workload of the share, such
  as a stop of another one, is left out. Of several errors of one workload, the last one counts.
  """
  @spec failures([Deployment.outcome()], Placement.share()) :: %{
          optional(String.t()) => Error.t()
        }
  def failures(steps, share) do
    for {step, {:error, error}} <- steps,
        id <- concerned(step),
        is_map_key(share, id),
        into: %{},
        do: {id, error}
  end

  defp link_keys(%{model: nil, former: former}), do: Enum.map(former, &Link.key/1)
  defp link_keys(%{model: model}), do: Enum.map(Model.links(model), &Link.key/1)

  # Also removes provisional links of an earlier version that this version does not have.
  defp all_link_keys(order),
    do: Enum.uniq(link_keys(order) ++ Enum.map(order.former, &Link.key/1))

  defp permissions(order, provisional) do
    %{
      provisional: provisional,
      allow_issuer_change?: order.allow_issuer_change?,
      former: order.former,
      keep_links?: order.keep_links?,
      alone?: order.alone?
    }
  end

  defp manifest(_instance, %{share: share, app: app}) when share == %{} do
    {:ok, %Manifest{name: app, specifications: [], workloads: [], links: []}}
  end

  defp manifest(instance, %{share: share, model: model} = order) do
    with {:ok, sources} <- sources(instance, Model.objects(model, Map.keys(share)), order.sources) do
      # Workloads of other hosts need no bytes here.
      others = for digest <- Model.objects(model), into: %{}, do: {digest, {:bytes, ""}}
      manifest = Manifest.build(model.manifest, instance.config, Map.merge(others, sources))

      with :ok <- check_name(manifest, order.app),
           do: Share.take(instance, manifest, share, order.alone?)
    end
  end

  defp check_name(%{name: app}, app), do: :ok

  defp check_name(manifest, app) do
    detail = "the record of application #{app} names the model of application #{manifest.name}"
    {:error, Error.new(:invalid_input, detail)}
  end

  defp sources(instance, digests, here) do
    Enum.reduce_while(digests -- Map.keys(here), {:ok, here}, fn digest, {:ok, sources} ->
      case Objects.source(instance, digest) do
        {:ok, source} -> {:cont, {:ok, Map.put(sources, digest, source)}}
        error -> {:halt, error}
      end
    end)
  end

  defp workloads(instance, share, steps), do: states(instance, share, failures(steps, share))

  # After a refused change the old code or settings keep running, but the share asks for the new ones.
  defp state(_instance, _id, %Error{} = error), do: refused(error)

  defp state(instance, id, nil) do
    case item(instance, id) do
      {:ok, %{status: :running}} -> :running
      {:ok, %{status: :failed} = item} -> {:refused, error(item), true}
      {:ok, %{status: :refused} = item} -> {:refused, error(item), false}
      {:ok, item} -> {:starting, item[:error] && error(item)}
      {:error, error} -> refused(error)
    end
  end

  defp refused(error), do: {:refused, error, Retry.final?(error.reason)}

  defp item(instance, id) do
    with {:error, %Error{reason: :not_found}} <- Inventory.fetch_actor(instance, id),
         do: Inventory.fetch_provider(instance, id)
  end

  defp error(item), do: Error.new(item.reason, item.error)

  # A refused link counts as an error of its source, which lacks the link.
  defp concerned({_step, {role, id}}) when role in [:actor, :provider], do: [id]
  defp concerned({:link, %Link{} = link}), do: [link.source]
  defp concerned({_step, %{id: id}}), do: [id]
  defp concerned(_step), do: []
end
