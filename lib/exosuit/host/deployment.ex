defmodule Exosuit.Host.Deployment do
  @moduledoc """
  Makes a host run its share of an application: the steps of `Exosuit.Host.Plan`, one after the other.

  `Exosuit.App.Runner` calls it with the manifest that `Exosuit.Host.Share` has reduced to this host.

  - A failed step does not stop the others. The result has the outcome of each.
  - If a change of a running item fails, the item keeps running unchanged.
  - An item whose first start failed stays specified: the inventory shows it, the reconciler retries it, and a later
    apply tries it at once.
  - An item that could not be specified, because another application has its id for example, is not started. The result
    has the error of its `:specify` step and no `:start` step.
  - A successful `:specify` step starts nothing yet, and is left out of the result.

  Only one change of an application runs at a time on a host. A second one is refused with `:conflict`. The lock is a
  name in `Exosuit.Registry`, which ends with the process that holds it. That process is not the caller's
  (`Exosuit.Host.Unattended`), so the work continues if the caller is killed.
  """

  alias Exosuit.{Claims, Error, Instance, Manifest}
  alias Exosuit.Host.{Linking, Links, Plan, Reconciler, Roster, Specifications, Unattended}
  alias Exosuit.Model.Link

  @typedoc "A step, and its result."
  @type outcome :: {Plan.step(), :ok | {:error, Error.t()}}

  @typedoc """
  - `former`: links that an earlier version of the application had; they belong to it, too
  - `keep_links?`: leave the links as they are
  - `alone?`: the lattice cannot be reached; links are made on this host alone
  - `provisional`: keys of links that this host made while the lattice could not be reached, and now shares
  - `allow_issuer_change?`: let code of another issuer replace running code
  """
  @type options :: %{
          former: [Link.t()],
          keep_links?: boolean(),
          alone?: boolean(),
          provisional: [Link.key()],
          allow_issuer_change?: boolean()
        }

  @doc """
  Applies a host's share of an application. Blocks the calling process until each step has an outcome: starts compile
  code, and updates instantiate it once.

  Returns `{:error, error}` with `:conflict` only if another change of the application is under way. Failures of steps
  are in the list.
  """
  @spec apply(Instance.t(), Manifest.t(), options()) :: {:ok, [outcome()]} | {:error, Error.t()}
  def apply(instance, %Manifest{} = manifest, options) do
    alone(instance, manifest.name, fn ->
      current = current(instance, manifest, options)
      links = if options.keep_links?, do: current.links, else: manifest.links
      steps = Plan.steps(%{specifications: manifest.specifications, links: links}, current)
      run({instance, options}, steps)
    end)
  end

  # Two concurrent changes would each see half of the other's work. The registered name ends with the process.
  defp alone(instance, app, work) do
    Unattended.run(fn ->
      case Registry.register(Exosuit.Registry, {instance.name, {:application, app}}, nil) do
        {:ok, _owner} -> {:ok, work.()}
        {:error, {:already_registered, _pid}} -> {:error, in_progress(app)}
      end
    end)
  end

  defp in_progress(app) do
    Error.new(
      :conflict,
      "another change of application #{app} is in progress; this host takes up yours when it has finished"
    )
  end

  # An item that could not be specified, because another application has its id for example, is not started.
  defp run(context, steps) do
    {outcomes, _refused} = Enum.map_reduce(steps, MapSet.new(), &run_step(context, &1, &2))
    Enum.reject(outcomes, &match?({_step, :skipped}, &1))
  end

  defp run_step({instance, _options}, {:specify, specification} = step, refused) do
    case Specifications.add(instance, specification) do
      :ok -> {{step, :skipped}, refused}
      error -> {{step, error}, MapSet.put(refused, Specifications.key(specification))}
    end
  end

  defp run_step({instance, _options}, {:start, key} = step, refused) do
    outcome = if key in refused, do: :skipped, else: Reconciler.start(instance, key)
    {{step, outcome}, refused}
  end

  defp run_step(context, step, refused), do: {{step, perform(context, step)}, refused}

  defp current(instance, %{name: app, links: links}, options) do
    specifications = Enum.filter(Specifications.list(instance), &(&1.app == app))
    former = MapSet.new(options.former, &{Link.key(&1), &1.target})
    # The records of a lattice do not say which application a link belongs to.
    former? = &(&1.app == nil and {Link.key(&1), &1.target} in former)
    ours? = &((&1.app == app or former?.(&1)) and Link.key(&1) not in options.provisional)
    phases = Reconciler.phases(instance)
    keys = Enum.map(specifications, &Specifications.key/1)

    %{
      specifications: specifications,
      links: Enum.filter(links_of(instance, links), ours?),
      idle: Enum.filter(keys, &idle?(phases[&1])),
      running: Enum.filter(keys, &(phases[&1] == :running))
    }
  end

  # Includes refused links that are retried, so that unwanted ones are removed. Wanted ones are put again. If a
  # refused change should replace a link, putting that link again ends the change.
  defp links_of(instance, links) do
    refused = Links.refused(instance)
    keys = Enum.map(links, &Link.key/1)
    unwanted = Enum.reject(refused, &(Link.key(&1) in keys))
    contested? = fn link -> link in links and Enum.any?(refused, &contests?(&1, link)) end
    Enum.reject(Links.list(instance), contested?) ++ unwanted
  end

  defp contests?(refused, link) do
    refused != link and Link.key(refused) == Link.key(link) and Link.overlap?(refused, link)
  end

  # Specified and never tried, because the process that applied the manifest ended in between.
  defp idle?(nil), do: true
  defp idle?({:failed, _error}), do: true
  # A later retry is scheduled anyway, but an apply tries it now.
  defp idle?(:waiting), do: true
  defp idle?(_phase), do: false

  defp perform({instance, _options}, {:change, actor}), do: Specifications.change(instance, actor)

  # An update by a manifest needs no greater revision: the manifest names the code.
  defp perform({instance, options}, {:update, actor}) do
    permissions = %{force: true, allow_issuer_change: options.allow_issuer_change?}
    permit = &Claims.check_issuer(&1, &2, permissions)
    Roster.change(instance, actor.id, fn _old -> actor end, permit)
  end

  defp perform({instance, _options}, {:exchange, provider}),
    do: Roster.exchange(instance, provider)

  defp perform({instance, _options}, {:stop, key}), do: Roster.stop(instance, key)

  defp perform({instance, %{alone?: true}}, {:link, link}),
    do: Linking.put_provisional(instance, link)

  defp perform({instance, %{alone?: true}}, {:unlink, key}),
    do: Linking.delete_provisional(instance, key)

  defp perform({instance, _options}, {:link, link}), do: Linking.put(instance, link, :keep)
  defp perform({instance, _options}, {:unlink, key}), do: Linking.delete(instance, key)
end
