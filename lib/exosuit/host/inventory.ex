defmodule Exosuit.Host.Inventory do
  @moduledoc false
  # What a host should run, what of it runs, and how it is linked: read from the tables, so that
  # it answers while processes are being restarted.

  alias Exosuit.{Claims, Config, Directory, Router}
  alias Exosuit.Host.{Links, Specifications}
  alias Exosuit.Model.{ActorSpecification, Artifact, Grants, Link, ProviderSpecification}

  @doc "The whole, as plain maps without secrets."
  @spec take(Config.t()) :: map()
  def take(config) do
    specifications = Specifications.list(config)

    %{
      host: config.name,
      host_id: config.source,
      lattice: config.lattice,
      labels: config.labels,
      actors: for(%ActorSpecification{} = actor <- specifications, do: actor(config, actor)),
      providers: for(%ProviderSpecification{} = it <- specifications, do: provider(config, it)),
      links: Enum.map(Links.list(config), &Link.public/1)
    }
  end

  defp actor(config, specification) do
    common(specification)
    |> Map.put(:instances, specification.instances)
    |> Map.put(:warm, specification.warm && Map.from_struct(specification.warm))
    |> Map.put(:grants, Grants.public(specification.grants))
    |> Map.merge(running_actor(Directory.fetch(config.name, {:actor, specification.id})))
  end

  defp running_actor({:ok, {pid, facts}}) do
    %{
      pid: pid,
      status: :running,
      public_key: public_key(facts.claims),
      claims: Claims.public(facts.claims)
    }
  end

  defp running_actor({:error, _absent}) do
    %{pid: nil, status: :not_running, public_key: nil, claims: nil}
  end

  defp provider(config, specification) do
    common(specification)
    |> Map.put(:public_key, Router.provider_key(specification))
    |> Map.merge(running_provider(Directory.fetch(config.name, {:provider, specification.id})))
  end

  defp running_provider({:ok, {pid, %{native: provider, refused_links: refused}}}) do
    %{pid: pid, status: :running, endpoints: Router.endpoints(provider), refused_links: refused}
  end

  defp running_provider({:error, _absent}) do
    %{pid: nil, status: :not_running, endpoints: [], refused_links: []}
  end

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
