defmodule Exosuit.Host.Deployment do
  @moduledoc false
  # Applies a manifest to a host: the plan's steps, one after the other, each with its outcome. A
  # step that fails does not hold up the others. What runs goes on as it is where its step fails; what
  # could not start for the first time stays specified, so that the inventory shows it and a later
  # apply tries it again. An application is changed by one at a time: a second is refused.

  alias Exosuit.{Claims, Error, Instance, Manifest}
  alias Exosuit.Host.{Linking, Links, Plan, Reconciler, Roster, Specifications, Unattended}
  alias Exosuit.Model.Link

  @type outcome :: {Plan.step(), :ok | {:error, Error.t()}}

  @typedoc """
  - `former`: links that an earlier version of the application had; they belong to it, too
  - `keep_links?`: leave the links as they are
  - `alone?`: the lattice is away; links are made on this host alone
  - `provisional`: keys of links that this host made while the lattice was away, and that are to be shared now
  - `allow_issuer_change?`: let code of another issuer replace running code
  """
  @type options :: %{
          former: [Link.t()],
          keep_links?: boolean(),
          alone?: boolean(),
          provisional: [Link.key()],
          allow_issuer_change?: boolean()
        }

  @doc "Applies a host's share of an application. The calling process waits."
  @spec apply(Instance.t(), Manifest.t(), options()) :: {:ok, [outcome()]} | {:error, Error.t()}
  def apply(instance, %Manifest{} = manifest, options) do
    alone(instance, manifest.name, fn ->
      current = current(instance, manifest, options)
      links = if options.keep_links?, do: current.links, else: manifest.links
      steps = Plan.steps(%{specifications: manifest.specifications, links: links}, current)
      permissions = %{force: true, allow_issuer_change: options.allow_issuer_change?}
      run({instance, Map.put(permissions, :alone?, options.alone?)}, steps)
    end)
  end

  # Two at once would each see half of what the other does. The name goes with the process.
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
      "another change of application #{app} is in progress; try again when it has finished"
    )
  end

  # What could not be specified, say since its id is another application's, is not started either.
  defp run(context, steps) do
    {outcomes, _refused} = Enum.map_reduce(steps, MapSet.new(), &run_step(context, &1, &2))
    Enum.reject(outcomes, &match?({_step, :skipped}, &1))
  end

  defp run_step({instance, _it}, {:specify, specification} = step, refused) do
    case Specifications.add(instance, specification) do
      :ok -> {{step, :skipped}, refused}
      error -> {{step, error}, MapSet.put(refused, Specifications.key(specification))}
    end
  end

  defp run_step({instance, _it}, {:start, key} = step, refused) do
    outcome = if key in refused, do: :skipped, else: Reconciler.start(instance, key)
    {{step, outcome}, refused}
  end

  defp run_step(context, step, refused), do: {{step, perform(context, step)}, refused}

  defp current(instance, %{name: app, links: links}, options) do
    specifications = Enum.filter(Specifications.list(instance), &(&1.app == app))
    former = MapSet.new(options.former, &{Link.key(&1), &1.target})
    # In a lattice, hosts do not tell each other whose a link is.
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

  # Links that are tried again and again, and no longer to be, are there, too. Those that still are to
  # be, are put. One that a refused change is to replace is put again, which ends that change.
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

  # One that was specified and never tried: whoever applied the manifest ended in between.
  defp idle?(nil), do: true
  defp idle?({:failed, _error}), do: true
  # It is tried again later anyway; whoever applies the manifest wants it now.
  defp idle?(:waiting), do: true
  defp idle?(_phase), do: false

  defp perform({instance, _it}, {:change, actor}), do: Specifications.change(instance, actor)

  # The manifest says what should run, whatever its revision.
  defp perform({instance, permissions}, {:update, actor}) do
    permit = &Claims.check_issuer(&1, &2, permissions)
    Roster.change(instance, actor.id, fn _old -> actor end, permit)
  end

  defp perform({instance, _it}, {:exchange, provider}), do: Roster.exchange(instance, provider)
  defp perform({instance, _it}, {:stop, key}), do: Roster.stop(instance, key)

  defp perform({instance, %{alone?: true}}, {:link, link}),
    do: Linking.put_provisional(instance, link)

  defp perform({instance, %{alone?: true}}, {:unlink, key}),
    do: Linking.delete_provisional(instance, key)

  defp perform({instance, _it}, {:link, link}), do: Linking.put(instance, link, :keep)
  defp perform({instance, _it}, {:unlink, key}), do: Linking.delete(instance, key)
end
