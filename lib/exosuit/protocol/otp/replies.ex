defmodule Exosuit.Protocol.Otp.Replies do
  @moduledoc """
  Encodes replies of the OTP era: an acknowledgement, or the answer to a query. Pure.

  Clients of that era decode strictly: an absent text must be an empty text, and numbers must be within their range.

  | reply | |
  |---|---|
  | acknowledgement | `{"accepted": true, "error": ""}` |
  | refusal | `{"accepted": false, "error": text}` |
  | query, ping, bid | the answer itself, without an envelope |

  Stopping or deleting a missing item is acknowledged: the client has the state that it asked for. An inventory lists 4
  096 instances at most, at least one for each running actor: it has an object for each instance, and must fit into a
  message.
  """

  alias Exosuit.{Error, Protocol}
  alias Exosuit.Model.{Command, Instances}
  alias Exosuit.Protocol.Otp.{Claims, Records}

  # The inventory has an object for each instance, and must fit into a message.
  @max_listed 4_096

  @max_revision 2_147_483_647

  @doc """
  Encodes the result of a command; `nil` if no reply is sent, which is so for a refused auction.
  """
  @spec encode(Command.t() | nil, Protocol.result()) :: map() | nil
  def encode(%bid{}, {:error, _error})
      when bid in [Command.AuctionActor, Command.AuctionProvider],
      do: nil

  # Stopping or deleting a missing item succeeds.
  def encode(%command{}, {:error, %Error{reason: :not_found}})
      when command in [Command.StopActor, Command.StopProvider, Command.DeleteLink],
      do: ack()

  def encode(command, {:error, error}), do: %{accepted: false, error: text(command, error)}
  def encode(%Command.Ping{}, {:ok, facts}), do: host(facts)
  def encode(%Command.Inventory{}, {:ok, inventory}), do: inventory(inventory)

  def encode(%Command.Claims{}, {:ok, claims}),
    do: %{claims: Enum.map(claims, &Claims.to_map/1)}

  def encode(%Command.Links{}, {:ok, links}),
    do: %{links: Enum.map(links, &Records.to_map/1)}

  def encode(%Command.AuctionActor{} = it, {:ok, %{host_id: host_id}}) do
    %{actor_ref: it.reference, constraints: it.constraints, host_id: host_id}
  end

  def encode(%Command.AuctionProvider{} = it, {:ok, %{host_id: host_id}}) do
    %{
      provider_ref: it.reference,
      link_name: it.link_name,
      constraints: it.constraints,
      host_id: host_id
    }
  end

  def encode(_command, {:ok, _done}), do: ack()

  defp ack, do: %{accepted: true, error: ""}

  defp text(%Command.UpdateActor{}, error) do
    "Unable to perform live update: #{Exception.message(error)}"
  end

  defp text(_command, %Error{reason: :unknown_operation, detail: detail}), do: detail
  defp text(_command, error), do: Exception.message(error)

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
      |> Enum.map_reduce(@max_listed, &actor(&1, &2, it.host_id))

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

  defp revision(nil), do: 0
  defp revision(revision), do: revision |> max(0) |> min(@max_revision)
end
