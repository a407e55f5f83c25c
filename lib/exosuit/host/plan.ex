defmodule Exosuit.Host.Plan do
  @moduledoc false
  # From what an application should be and what of it is there: the steps between the two, pure.
  # Steps are in the order that loses least: providers come last, and of them those that listen, so
  # that a port opens when those who answer are there.

  alias Exosuit.Directory
  alias Exosuit.Host.Specifications
  alias Exosuit.Model.{ActorSpecification, Link}
  alias Exosuit.Provider.Builtin

  @type desired :: %{specifications: [Specifications.specification()], links: [Link.t()]}
  @type current :: %{
          specifications: [Specifications.specification()],
          links: [Link.t()],
          idle: [Directory.key()],
          updatable: [Directory.key()]
        }
  @type step ::
          {:stop, Directory.key()}
          | {:specify, Specifications.specification()}
          | {:start, Directory.key()}
          | {:change, ActorSpecification.t()}
          | {:update, ActorSpecification.t()}
          | {:unlink, Link.key()}
          | {:link, Link.t()}

  @doc """
  The steps from `current` to `desired`; none where nothing differs and nothing is idle, that is,
  specified but given up, or never tried. `updatable` are the actors whose other code may take the
  place of what runs.

  All is specified before anything starts: a call to what is still starting waits for it.
  """
  @spec steps(desired(), current()) :: [step()]
  def steps(desired, current) do
    wanted = Map.new(desired.specifications, &{Specifications.key(&1), &1})
    there = Map.new(current.specifications, &{Specifications.key(&1), &1})

    restart? = &restart?(&1, &2, current.updatable)
    new = for it <- desired.specifications, restart?.(there[Specifications.key(it)], it), do: it

    kept =
      for it <- desired.specifications, it not in new, do: {there[Specifications.key(it)], it}

    unlinked = unlinked(desired.links, current.links)
    linked = Enum.reject(current.links, &(Link.key(&1) in unlinked))

    stops(wanted, there, restart?) ++
      Enum.map(unlinked, &{:unlink, &1}) ++
      Enum.map(new, &{:specify, &1}) ++
      for(link <- desired.links, link not in linked, do: {:link, link}) ++
      updates(kept) ++
      changes(kept) ++
      starts(new, wanted, current.idle)
  end

  defp stops(wanted, there, restart?) do
    for {key, old} <- there, restart?.(old, wanted[key]), do: {:stop, key}
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
        old.artifact != new.artifact,
        do: {:update, new}
  end

  defp changes(kept) do
    for {old, %ActorSpecification{} = new} <- kept,
        %{old | artifact: new.artifact} != new,
        do: {:change, new}
  end

  # How many calls may run, and what is noted of it, change in place; so does code, where it may.
  # All else is another actor.
  defp restart?(%ActorSpecification{} = old, %ActorSpecification{} = new, updatable) do
    code? = old.artifact != new.artifact and Specifications.key(new) not in updatable

    code? or
      %{
        old
        | instances: new.instances,
          annotations: new.annotations,
          shares: new.shares,
          artifact: new.artifact
      } != new
  end

  defp restart?(old, new, _updatable), do: old != new

  # What takes the place of a link that it overlaps needs no interruption. Whatever else is gone goes
  # with all links of its key, as they are removed by that; those that stay are made again.
  defp unlinked(desired, current) do
    desired = Enum.group_by(desired, &Link.key/1)
    followed? = fn link -> Enum.any?(desired[Link.key(link)] || [], &follows?(&1, link)) end
    Enum.uniq(for link <- current, not followed?.(link), do: Link.key(link))
  end

  defp follows?(new, old), do: new.target == old.target and Link.overlap?(new, old)
end
