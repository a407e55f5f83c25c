defmodule Exosuit.Control.V1.Reply do
  @moduledoc false
  # What 1.x is answered: `success`, `message` and, where there is something to show, `response`.

  alias Exosuit.Error
  alias Exosuit.Lattice.Records
  alias Exosuit.Protocol.V1

  defp ack, do: success("")

  @doc "The reply to a command by its name and how it went; `nil` where there shall be none."
  @spec reply(atom(), Exosuit.Control.Execution.result()) :: map() | nil
  def reply(name, {:error, _no_bid}) when name in [:bid_actor, :bid_provider], do: nil

  # Whoever asks wants to know that it is not there, and that is no failure.
  def reply(:get_config, {:error, %Error{reason: :not_found, detail: detail}}),
    do: success(detail)

  def reply(_name, {:error, error}), do: %{success: false, message: text(error)}
  def reply(:ping, {:ok, facts}), do: success("", host(facts))
  def reply(:inventory, {:ok, inventory}), do: success("", V1.Events.inventory(inventory))
  def reply(:lattice_claims, {:ok, claims}), do: success("", Enum.map(claims, &claims/1))

  def reply(:lattice_links, {:ok, links}),
    do: success("", Enum.map(links, &Records.component_link/1))

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

  defp auction(bid, reference, id) do
    %{
      reference => bid.reference,
      id => bid.id,
      constraints: bid.constraints,
      host_id: bid.host_id
    }
  end

  defp given(fields), do: for({key, value} <- fields, value != nil, into: %{}, do: {key, value})
end
