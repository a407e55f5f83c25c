defmodule Exosuit.Host.Inventory do
  @moduledoc """
  The inventory of a host: its specifications, their statuses and their links.

  Reads only tables of ETS, the router's table and the states of connections. It therefore answers while processes are
  being restarted, and blocks on none of them. Each field is read at its own time: an actor that ends during the
  read may be shown as running with a pid that is dead.

  The maps contain no secrets: no values of configurations, no environment, no bytes of code. The values of links are
  left out by `Exosuit.Model.Link.public/1`, those of grants by `Exosuit.Model.Grants.public/1`.

  ## An actor and a provider

  | field | of | meaning |
  |---|---|---|
  | `id`, `image_ref`, `annotations`, `app` | both | as specified |
  | `status` | both | `:running`, or a `t:Exosuit.Host.Attempts.status/0` |
  | `reason`, `error`, `retry_in_ms` | both | why it does not run, and when it is tried again; `nil` while it runs |
  | `pid`, `public_key` | both | `nil` for an actor that does not run; a provider always has a key |
  | `instances`, `shares`, `warm`, `grants` | actors | as specified |
  | `claims` | actors | those of the running code; `nil` while it does not run |
  | `link_name`, `contracts` | providers | as specified, and as the provider states them |
  | `endpoints`, `health` | providers | the addresses at which it listens, and its last health check |
  | `refused_links` | providers | the errors of links to or from it, with the time of the retry |
  """

  alias Exosuit.{Claims, Directory, Error, Instance, Router}
  alias Exosuit.Host.{Facts, Links, Pending, Specifications, Statuses}
  alias Exosuit.Lattice.{Known, Peers, Session}
  alias Exosuit.Model.{ActorSpecification, Artifact, Grants, Link, ProviderSpecification}
  alias Exosuit.Provider.Builtin

  @running %{status: :running, reason: nil, error: nil, retry_in_ms: nil}

  @doc """
  The whole inventory, as plain maps without secrets: `Exosuit.Host.Facts.take/1`, and

  - `actors`, `providers`: see the table above
  - `links`: with a `status` of `:in_force`, `:waiting` (one end does not run here) or `:refused`
  - `pending`: items of the host's options that are not applied yet, see `Exosuit.Host.Pending`
  - `connections`: the state of each connection to NATS, as text
  - `refused_calls`: how many calls of other hosts were refused, for each reason
  """
  @spec take(Instance.t()) :: map()
  def take(instance) do
    specifications = Specifications.list(instance)
    links = Links.statuses(instance)

    Map.merge(Facts.take(instance), %{
      actors: for(%ActorSpecification{} = actor <- specifications, do: actor(instance, actor)),
      providers:
        for(%ProviderSpecification{} = it <- specifications, do: provider(instance, it, links)),
      links: Enum.map(links, &link/1),
      pending: Pending.list(instance),
      connections: connections(instance.lattice),
      refused_calls: Session.refused_calls(instance.lattice)
    })
  end

  @doc """
  The known claims: those of running actors and providers of this host, and those of the lattice. If they differ,
  those of this host win, because it has checked them.
  """
  @spec claims(Instance.t()) :: [Known.claims()]
  def claims(instance) do
    actors =
      for {_id, _pid, %{claims: %Claims{} = claims}} <- Directory.list(instance.name, :actor),
          do: Claims.known(claims)

    providers =
      for %ProviderSpecification{} = it <- Specifications.list(instance), do: provider_claims(it)

    own = Map.new(actors ++ providers, &{&1.subject, &1})
    for {_key, claims} <- Enum.sort(Map.merge(shared(instance), own)), do: claims
  end

  @doc "The claims that a host publishes for a provider, which has no token."
  @spec provider_claims(ProviderSpecification.t()) :: Known.claims()
  def provider_claims(provider) do
    %{
      subject: Router.provider_key(provider),
      issuer: nil,
      name: provider.id,
      revision: 0,
      version: nil,
      call_alias: nil,
      capabilities: [],
      tags: [],
      contract_id: List.first(contracts(provider.artifact))
    }
  end

  @doc """
  All names by which specified actors and providers can be linked: ids and public keys. An actor has a public key while
  it runs, and a provider always.
  """
  @spec names(Instance.t()) :: MapSet.t(String.t())
  def names(instance) do
    specifications = Specifications.list(instance)
    providers = for %ProviderSpecification{} = it <- specifications, do: Router.provider_key(it)

    actors =
      for {_id, _pid, %{claims: %Claims{subject: key}}} <- Directory.list(instance.name, :actor),
          do: key

    MapSet.new(Enum.map(specifications, & &1.id) ++ providers ++ actors)
  end

  defp shared(instance), do: Map.new(Known.list(instance), &{&1.subject, &1})

  @doc """
  This host, and the other hosts of its lattice that it knows by their heartbeats, in the order of their ids.
  `silent_ms` is the time since the last heartbeat; 0 for this host.
  """
  @spec hosts(Instance.t()) :: [map()]
  def hosts(instance) do
    fields = [:host_id, :friendly_name, :labels, :version, :uptime_seconds]

    own = %{
      actors: length(Directory.list(instance.name, :actor)),
      providers: length(Directory.list(instance.name, :provider)),
      silent_ms: 0
    }

    now = System.monotonic_time(:millisecond)
    others = instance |> Peers.list() |> Enum.sort_by(& &1.host_id) |> Enum.map(&peer(&1, now))
    [instance |> Facts.take() |> Map.take(fields) |> Map.merge(own) | others]
  end

  defp peer(peer, now) do
    peer |> Map.drop([:seen, :interval, :mac]) |> Map.put(:silent_ms, max(now - peer.seen, 0))
  end

  @doc """
  An actor by its id or its public key. If one image runs under several ids, only an id is accepted.

  Returns `:not_found` if there is none, and `:conflict` if several ids have the key. An actor that does not run is
  found by its id only.
  """
  @spec fetch_actor(Instance.t(), String.t()) :: {:ok, map()} | {:error, Error.t()}
  def fetch_actor(instance, name) do
    with {:error, absent} <- Specifications.fetch(instance, {:actor, name}) do
      case ids_by_key(instance, name) do
        [] -> {:error, absent}
        [id] -> fetch_actor(instance, id)
        ids -> {:error, ambiguous(name, ids)}
      end
    else
      {:ok, {specification, _compiled}} -> {:ok, actor(instance, specification)}
    end
  end

  defp ambiguous(name, ids) do
    ids = ids |> Enum.sort() |> Enum.join(", ")

    Error.new(
      :conflict,
      "several actors have the public key #{name}: use one of their ids: #{ids}"
    )
  end

  @doc "A provider by its id. `:not_found` if there is none."
  @spec fetch_provider(Instance.t(), String.t()) :: {:ok, map()} | {:error, Error.t()}
  def fetch_provider(instance, id) do
    with {:ok, {specification, nil}} <- Specifications.fetch(instance, {:provider, id}),
         do: {:ok, provider(instance, specification, Links.statuses(instance))}
  end

  @doc """
  The process of an actor or a provider, or `nil` while it does not run. It may have ended when the caller uses it.
  """
  @spec whereis(Instance.t(), String.t()) :: pid() | nil
  def whereis(instance, id) do
    Enum.find_value([:actor, :provider], fn role ->
      with {:ok, {pid, _facts}} <- Directory.fetch(instance.name, {role, id}),
           do: pid,
           else: (_absent -> nil)
    end)
  end

  # Only running actors have a key, and few run under an id other than their key.
  defp ids_by_key(instance, key) do
    for {id, _pid, %{claims: %Claims{subject: ^key}}} <- Directory.list(instance.name, :actor),
        id != key,
        do: id
  end

  # The states of the connections as texts; empty on a host without NATS.
  defp connections(session) do
    Map.new(Session.connections(session), fn {name, state} -> {name, words(state)} end)
  end

  defp words({:connecting, nil}), do: "connecting"
  defp words({:connecting, error}), do: "connecting: #{Exception.message(error)}"
  defp words(state), do: Atom.to_string(state)

  defp actor(instance, specification) do
    common(specification)
    |> Map.put(:instances, specification.instances)
    |> Map.put(:shares, shares(specification))
    |> Map.put(:warm, specification.warm && Map.from_struct(specification.warm))
    |> Map.put(:grants, Grants.public(specification.grants))
    |> Map.merge(status(instance, {:actor, specification.id}, &running_actor/1))
  end

  # The status of an item: running, or the reason why not and the time of the retry.
  defp status(instance, key, facts) do
    case Directory.fetch(instance.name, key) do
      {:ok, {pid, found}} -> Map.merge(@running, Map.put(facts.(found), :pid, pid))
      {:error, _absent} -> instance |> Statuses.fetch(key) |> Map.merge(facts.(nil))
    end
  end

  defp running_actor(nil), do: %{pid: nil, public_key: nil, claims: nil}

  defp running_actor(facts) do
    %{public_key: public_key(facts.claims), claims: Claims.public(facts.claims)}
  end

  @doc "The instance counts of an actor for each set of annotations."
  @spec shares(ActorSpecification.t()) :: [map()]
  def shares(specification) do
    for {annotations, count} <- ActorSpecification.shares(specification),
        do: %{annotations: annotations, instances: count}
  end

  # A link with its `status`: `:in_force`, `:waiting` (one end does not run here) or `:refused`, with the reason and,
  # unless that is final, the time of the retry. If new settings are refused, the old ones stay in force.
  defp link(%{link: link, status: status, error: error, retry_in_ms: retry_in}) do
    Map.merge(Link.public(link), %{
      status: status,
      reason: error && error.reason,
      error: error && Exception.message(error),
      retry_in_ms: retry_in
    })
  end

  defp refused_links(links, names) do
    for %{status: :refused, link: link, error: error, retry_in_ms: retry_in} <- links,
        link.source in names or link.target in names,
        do: Exception.message(error) <> next_try(retry_in)
  end

  defp next_try(nil), do: "; it is not tried again by itself"
  defp next_try(milliseconds), do: "; retry in #{div(milliseconds + 999, 1_000)} s"

  defp provider(instance, specification, links) do
    key = Router.provider_key(specification)

    common(specification)
    |> Map.put(:public_key, key)
    |> Map.put(:link_name, specification.link_name)
    |> Map.put(:contracts, contracts(specification.artifact))
    |> Map.merge(status(instance, {:provider, specification.id}, &running_provider/1))
    |> Map.put(:refused_links, refused_links(links, [specification.id, key]))
  end

  defp running_provider(nil), do: %{pid: nil, endpoints: [], health: nil}

  defp running_provider(%{native: provider, healthy: healthy}) do
    %{endpoints: Router.endpoints(provider), health: healthy}
  end

  @doc "The contracts that a provider implements."
  @spec contracts(Artifact.t()) :: [String.t()]
  def contracts({:builtin, name}), do: Builtin.contracts(name)
  def contracts({:module, _name, module}), do: module.contracts()

  defp common(specification) do
    %{
      id: specification.id,
      image_ref: Artifact.reference(specification.artifact),
      annotations: specification.annotations,
      app: specification.app
    }
  end

  defp public_key(:unsigned), do: nil
  defp public_key(claims), do: claims.subject
end
