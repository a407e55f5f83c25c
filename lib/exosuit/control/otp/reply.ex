defmodule Exosuit.Control.Otp.Reply do
  @moduledoc false
  # What the OTP era is answered: an acknowledgement, or the very thing that was asked for. Its clients
  # decode strictly: what they want as text is text, and no number is larger than theirs.

  alias Exosuit.Error
  alias Exosuit.Lattice.{Known, Records}
  alias Exosuit.Model.Instances

  # One object for each instance: a whole inventory of them must fit into a message.
  @most_listed 4_096

  @most_revision 2_147_483_647

  defp ack, do: %{accepted: true, error: ""}

  @doc "The reply to a command by its name and how it went; `nil` where there shall be none."
  @spec reply(atom(), Exosuit.Control.Execution.result()) :: map() | nil
  def reply(name, {:error, _no_bid}) when name in [:bid_actor, :bid_provider], do: nil
  def reply(name, {:error, error}), do: %{accepted: false, error: text(name, error)}
  def reply(:ping, {:ok, facts}), do: host(facts)
  def reply(:inventory, {:ok, inventory}), do: inventory(inventory)
  def reply(:lattice_claims, {:ok, claims}), do: %{claims: Enum.map(claims, &Known.record/1)}
  def reply(:lattice_links, {:ok, links}), do: %{links: Enum.map(links, &Records.definition/1)}
  def reply(:bid_actor, {:ok, bid}), do: auction(bid, :actor_ref, [])
  def reply(:bid_provider, {:ok, bid}), do: auction(bid, :provider_ref, [:link_name])
  def reply(_name, {:ok, _done}), do: ack()

  defp text(:exchange_actor, error) do
    "Unable to perform live update: #{Exception.message(error)}"
  end

  defp text(_name, %Error{reason: :unknown_operation, detail: detail}), do: detail
  defp text(_name, error), do: Exception.message(error)

  defp host(facts) do
    %{
      id: facts.host_id,
      issuer: facts.issuer || "",
      labels: facts.labels,
      friendly_name: facts.friendly_name,
      uptime_seconds: facts.uptime_seconds,
      uptime_human: facts.uptime_human,
      version: facts.version,
      cluster_issuers: Enum.join(facts.cluster_issuers, ","),
      js_domain: facts.js_domain,
      ctl_host: facts.ctl_host,
      prov_rpc_host: facts.rpc_host,
      rpc_host: facts.rpc_host,
      lattice_prefix: facts.lattice
    }
  end

  defp inventory(it) do
    {actors, _room} =
      it.actors
      |> Enum.filter(&(&1.status == :running))
      |> Enum.map_reduce(@most_listed, &actor(&1, &2, it.host_id))

    %{
      host_id: it.host_id,
      issuer: it.issuer || "",
      labels: it.labels,
      friendly_name: it.friendly_name,
      actors: actors,
      providers: for(%{status: :running} = provider <- it.providers, do: provider(provider, it))
    }
  end

  defp actor(actor, room, host_id) do
    shares = for %{annotations: annotations, instances: n} <- actor.shares, do: {annotations, n}
    all = for {annotations, n} <- shares, i <- 1..min(n, room + 1), do: {annotations, i}
    listed = Enum.take(all, max(room, 1))
    instances = for {annotations, i} <- listed, do: instance(actor, annotations, i, host_id)

    {%{
       id: actor.public_key || actor.id,
       image_ref: actor.image_ref,
       name: actor.claims[:name],
       instances: instances
     }, max(room - length(listed), 0)}
  end

  defp instance(actor, annotations, n, host_id) do
    %{
      annotations: annotations,
      instance_id: Instances.id(host_id, actor.id, annotations, n),
      revision: revision(actor.claims[:revision])
    }
  end

  defp provider(provider, it) do
    %{
      id: provider.public_key || provider.id,
      image_ref: provider.image_ref,
      contract_id: List.first(provider.contracts) || "",
      link_name: provider.link_name,
      name: provider.id,
      instance_id: Instances.id(it.host_id, provider.id, provider.annotations, 1),
      annotations: provider.annotations,
      revision: 0
    }
  end

  defp auction(bid, reference, further) do
    bid |> Map.take([:constraints, :host_id | further]) |> Map.put(reference, bid.reference)
  end

  defp revision(nil), do: 0
  defp revision(revision), do: revision |> max(0) |> min(@most_revision)
end
