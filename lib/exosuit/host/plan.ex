defmodule Exosuit.Host.Plan do
  @moduledoc """
  Computes the steps from the present to the desired state of an application. Pure.

  The steps stand in the order that interrupts least:

  1. stop the items that are not wanted, and those that must be made anew
  2. delete links that nothing replaces
  3. specify all new items, so that a call to one that still starts waits for it
  4. make links, so that a started item has its links
  5. update running actors, then exchange running providers
  6. start new items, and items that were given up: actors, then providers, and providers that listen last of all, so
     that a port opens only when the actors behind it run

  A running item is updated or exchanged, not stopped first, so that a failed change leaves it running. An item that
  does not run has nothing to lose: it is stopped, specified and started.

      iex> alias Exosuit.Host.Plan
      iex> limits = %Exosuit.Model.Limits{memory: 65_536, queue: 10}
      iex> code = {:file, "/srv/shop.wasm", nil}
      iex> shop = %Exosuit.Model.ActorSpecification{id: "shop", artifact: code, limits: limits}
      iex> nothing = %{specifications: [], links: [], idle: [], running: []}
      iex> steps = Plan.steps(%{specifications: [shop], links: []}, nothing)
      iex> steps == [{:specify, shop}, {:start, {:actor, "shop"}}]
      true
      iex> running = %{nothing | specifications: [shop], running: [{:actor, "shop"}]}
      iex> Plan.steps(%{specifications: [shop], links: []}, running)
      []
      iex> more = %{shop | instances: 4}
      iex> Plan.steps(%{specifications: [more], links: []}, running) == [{:change, more}]
      true
      iex> Plan.steps(%{specifications: [], links: []}, running)
      [{:stop, {:actor, "shop"}}]
  """

  alias Exosuit.Directory
  alias Exosuit.Host.Specifications
  alias Exosuit.Model.{ActorSpecification, Link, ProviderSpecification}
  alias Exosuit.Provider.Builtin

  @typedoc "The share of an application: its specifications and links on this host."
  @type desired :: %{specifications: [Specifications.specification()], links: [Link.t()]}

  @typedoc """
  The items of the application that this host has. `idle` are keys that no start is under way for: never tried, given
  up, or waiting for a retry. `running` are those whose process has reported its start.
  """
  @type current :: %{
          specifications: [Specifications.specification()],
          links: [Link.t()],
          idle: [Directory.key()],
          running: [Directory.key()]
        }

  @typedoc """
  - `{:stop, key}`: stop an item, and remove its specification
  - `{:specify, specification}`: add a specification
  - `{:start, key}`: start an item, and wait for its first outcome
  - `{:change, actor}`: change the instance counts or the annotations of an actor; its code keeps running
  - `{:update, actor}`: replace the code or settings of a running actor
  - `{:exchange, provider}`: restart a running provider with other settings
  - `{:unlink, key}`: delete all links of a key
  - `{:link, link}`: make a link
  """
  @type step ::
          {:stop, Directory.key()}
          | {:specify, Specifications.specification()}
          | {:start, Directory.key()}
          | {:change, ActorSpecification.t()}
          | {:update, ActorSpecification.t()}
          | {:exchange, ProviderSpecification.t()}
          | {:unlink, Link.key()}
          | {:link, Link.t()}

  @doc """
  The steps from `current` to `desired`. There are no steps if nothing differs, and every specification was tried
  and none was given up.

  A running item is updated or exchanged, not stopped first, so that a failed change leaves it running. An item
  that does not run is removed at once. All items are specified before anything starts, so that a call to a
  starting item waits for it.
  """
  @spec steps(desired(), current()) :: [step()]
  def steps(desired, current) do
    wanted = Map.new(desired.specifications, &{Specifications.key(&1), &1})
    there = Map.new(current.specifications, &{Specifications.key(&1), &1})

    new? = &new?(there[Specifications.key(&1)], &1, current.running)
    {new, kept} = Enum.split_with(desired.specifications, new?)
    kept = for it <- kept, do: {there[Specifications.key(it)], it}
    unlinked = unlinked(desired.links, current.links)
    linked = Enum.reject(current.links, &(Link.key(&1) in unlinked))

    stops(wanted, there, new) ++
      Enum.map(unlinked, &{:unlink, &1}) ++
      Enum.map(new, &{:specify, &1}) ++
      for(link <- desired.links, link not in linked, do: {:link, link}) ++
      updates(kept) ++
      exchanges(kept) ++
      starts(new, wanted, current.idle)
  end

  defp stops(wanted, there, new) do
    for {key, _old} <- there, wanted[key] in [nil | new], do: {:stop, key}
  end

  # True if the item is missing, or if it should change and does not run.
  defp new?(nil, _new, _running), do: true
  defp new?(same, same, _running), do: false

  defp new?(old, new, running) do
    Specifications.key(new) not in running and not resized?(old, new)
  end

  defp starts(new, wanted, idle) do
    again = Enum.filter(idle, &is_map_key(wanted, &1))
    keys = Enum.uniq(Enum.map(new, &Specifications.key/1) ++ again)
    for key <- Enum.sort_by(keys, &rank(wanted[&1])), do: {:start, key}
  end

  defp rank(%ActorSpecification{}), do: 0

  defp rank(%{artifact: {:builtin, name}}), do: if(Builtin.listens?(name), do: 2, else: 1)
  defp rank(_provider), do: 1

  defp updates(kept) do
    for {old, %ActorSpecification{} = new} <- kept,
        old != new,
        do: {if(resized?(old, new), do: :change, else: :update), new}
  end

  defp exchanges(kept) do
    changed = for {old, %ProviderSpecification{} = new} <- kept, old != new, do: new
    for provider <- Enum.sort_by(changed, &rank/1), do: {:exchange, provider}
  end

  # Instance counts and annotations change without an update of the running code.
  defp resized?(%ActorSpecification{} = old, %ActorSpecification{} = new) do
    same = Map.take(old, [:instances, :annotations, :shares])
    Map.merge(new, same) == old
  end

  defp resized?(_old, _new), do: false

  # A link that replaces an overlapping one needs no deletion. All other removed links are deleted with all links of
  # their key; the links of the key that stay are made again.
  defp unlinked(desired, current) do
    desired = Enum.group_by(desired, &Link.key/1)
    followed? = fn link -> Enum.any?(desired[Link.key(link)] || [], &follows?(&1, link)) end
    Enum.uniq(for link <- current, not followed?.(link), do: Link.key(link))
  end

  defp follows?(new, old), do: new.target == old.target and Link.overlap?(new, old)
end
