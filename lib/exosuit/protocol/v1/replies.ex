defmodule Exosuit.Protocol.V1.Replies do
  @moduledoc """
  Encodes replies of wasmCloud 1.x: `success`, `message` and, for a query, `response`. Pure.

  Commands about a missing item succeed where clients of 1.x expect it: deleting a link, stopping a provider, and
  reading a configuration, which is how clients find out whether it exists.
  """

  alias Exosuit.{Error, Protocol}
  alias Exosuit.Model.Command
  alias Exosuit.Protocol.V1.{Events, Records}

  @doc """
  Encodes the result of a command; `nil` if no reply is sent, which is so for a refused auction.
  """
  @spec encode(Command.t() | nil, Protocol.result()) :: map() | nil
  def encode(%bid{}, {:error, _error})
      when bid in [Command.AuctionActor, Command.AuctionProvider],
      do: nil

  def encode(%Command.DeleteLink{}, {:error, %Error{reason: :not_found}}), do: success("")

  def encode(%Command.StopProvider{}, {:error, %Error{reason: :not_found}}),
    do: success("no such provider runs here")

  # Clients ask for a configuration to find out whether it exists, so a missing one counts as a success.
  def encode(%Command.GetConfig{}, {:error, %Error{reason: :not_found, detail: detail}}),
    do: success(detail)

  def encode(_command, {:error, error}), do: %{success: false, message: text(error)}
  def encode(%Command.Ping{}, {:ok, facts}), do: success("", host(facts))

  def encode(%Command.Inventory{}, {:ok, inventory}),
    do: success("", Events.inventory(inventory))

  def encode(%Command.Claims{}, {:ok, claims}), do: success("", Enum.map(claims, &claims/1))

  def encode(%Command.Links{}, {:ok, links}),
    do: success("", Enum.map(links, &Records.to_map/1))

  def encode(%Command.GetConfig{}, {:ok, values}), do: success("", values)

  def encode(%Command.AuctionActor{} = it, {:ok, bid}),
    do: success("", bid(it, bid, :component_ref, :component_id))

  def encode(%Command.AuctionProvider{} = it, {:ok, bid}),
    do: success("", bid(it, bid, :provider_ref, :provider_id))

  def encode(_command, {:ok, %{message: message}}), do: success(message)
  def encode(_command, {:ok, _done}), do: success("")

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

  defp bid(it, %{host_id: host_id}, reference, id) do
    %{reference => it.reference, id => it.id, constraints: it.constraints, host_id: host_id}
  end

  defp given(fields), do: for({key, value} <- fields, value != nil, into: %{}, do: {key, value})
end
