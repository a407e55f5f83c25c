defmodule Exosuit.Control.V1.Reply do
  @moduledoc false
  # What 1.x is answered: `success`, `message` and, where there is something to show, `response`.

  alias Exosuit.Error

  @most_revision 2_147_483_647

  defp ack, do: success("")

  @doc "The reply to a command by its name and how it went; `nil` where there shall be none."
  @spec reply(atom(), Exosuit.Control.Execution.result()) :: map() | nil
  def reply(name, {:error, _no_bid}) when name in [:bid_actor, :bid_provider], do: nil

  # Whoever asks wants to know that it is not there, and that is no failure.
  def reply(:get_config, {:error, %Error{reason: :not_found, detail: detail}}),
    do: success(detail)

  def reply(_name, {:error, error}), do: %{success: false, message: text(error)}
  def reply(:ping, {:ok, facts}), do: success("", host(facts))
  def reply(:inventory, {:ok, inventory}), do: success("", inventory(inventory))
  def reply(:lattice_claims, {:ok, claims}), do: success("", Enum.map(claims, &claims/1))
  def reply(:lattice_links, {:ok, links}), do: success("", Enum.map(links, &link/1))
  def reply(:get_config, {:ok, values}), do: success("", values)
  def reply(:bid_actor, {:ok, bid}), do: success("", auction(bid, :component_ref, :component_id))
  def reply(:bid_provider, {:ok, bid}), do: success("", auction(bid, :provider_ref, :provider_id))
  def reply(_name, {:ok, %{message: message}}), do: success(message)
  def reply(_name, {:ok, _done}), do: ack()

  defp success(message), do: %{success: true, message: message}
  defp success(message, response), do: Map.put(success(message), :response, response)

  defp text(%Error{reason: :unknown_operation, detail: detail}), do: detail
  defp text(error), do: Exception.message(error)

  defp host(facts) do
    facts
    |> Map.take([:friendly_name, :labels, :uptime_human, :uptime_seconds, :version])
    |> Map.merge(%{id: facts.host_id, lattice: facts.lattice})
    |> Map.merge(given(ctl_host: facts.ctl_host, rpc_host: facts.rpc_host))
    |> Map.merge(given(js_domain: facts.js_domain))
  end

  defp inventory(it) do
    it
    |> Map.take([:host_id, :friendly_name, :labels, :version, :uptime_human, :uptime_seconds])
    |> Map.put(:components, for(%{status: :running} = a <- it.actors, c <- components(a), do: c))
    |> Map.put(:providers, for(%{status: :running} = p <- it.providers, do: provider(p)))
  end

  # One for each set of annotations, as those who count instances tell them apart.
  defp components(actor) do
    for %{annotations: annotations, instances: instances} <- actor.shares do
      Map.merge(given(name: actor.claims[:name]), %{
        id: actor.id,
        image_ref: actor.image_ref,
        annotations: annotations,
        revision: revision(actor.claims[:revision]),
        max_instances: instances
      })
    end
  end

  defp provider(provider) do
    %{
      id: provider.id,
      image_ref: provider.image_ref,
      name: provider.id,
      revision: 0,
      annotations: provider.annotations
    }
  end

  defp claims(claims) do
    revision = to_string(claims.revision)

    %{
      call_alias: claims.call_alias || "",
      iss: claims.issuer || "",
      issuer: claims.issuer || "",
      name: claims.name || "",
      rev: revision,
      revision: revision,
      sub: claims.subject,
      subject: claims.subject,
      tags: Enum.join(claims.tags, ","),
      version: claims.version || ""
    }
  end

  defp link(link) do
    %{
      source_id: link.source,
      target: link.target,
      name: link.name,
      wit_namespace: link.namespace,
      wit_package: link.package,
      interfaces: link.interfaces,
      source_config: link.source_configs,
      target_config: link.target_configs
    }
  end

  defp auction(bid, reference, id) do
    %{
      reference => bid.reference,
      id => bid.id,
      constraints: bid.constraints,
      host_id: bid.host_id
    }
  end

  defp given(fields), do: for({key, value} <- fields, value != nil, into: %{}, do: {key, value})

  defp revision(nil), do: 0
  defp revision(revision), do: revision |> max(0) |> min(@most_revision)
end
