defmodule Exosuit.Control.Otp do
  @moduledoc false
  # The control interface of the OTP era: what is listened to, and the command that each subject is.
  # `Otp.Reply` has the answers.

  @behaviour Exosuit.Control.Generation

  alias Exosuit.Control.{Command, Credentials, Generation, Schema}
  alias Exosuit.Control.Otp.Reply
  alias Exosuit.Error

  @impl Generation
  def prefix(topic_prefix, lattice), do: "#{topic_prefix}.#{lattice}"

  @impl Generation
  def subscriptions(host_id) do
    [
      {"ping.hosts", :all},
      {"get.claims", :one},
      {"get.links", :one},
      {"linkdefs.put", :one},
      {"linkdefs.del", :one},
      {"registries.put", :all},
      {"auction.>", :all},
      {"get.#{host_id}.inv", :all},
      {"cmd.#{host_id}.*", :all}
    ]
  end

  @impl Generation
  def parse(["registries", "put"], body) do
    with {:ok, registries} <- Credentials.parse(body, nil),
         do: command(:put_registries, %{registries: registries})
  end

  def parse(tokens, body) do
    case route(tokens) do
      {name, []} -> command(name, %{})
      {name, schema} -> parse(name, schema, body)
      nil -> unknown(tokens)
    end
  end

  @impl Generation
  def at_once?(%Command{name: name}) do
    name in [:launch_actor, :equalize_actor, :launch_provider, :stop_host]
  end

  defp unknown(["auction" | _what]), do: :ignore
  defp unknown(_tokens), do: {:error, Error.new(:unknown_operation, "Invalid request topic")}

  @impl Generation
  defdelegate reply(name, result), to: Reply

  defp parse(name, schema, %{} = body) do
    case Schema.check(body, schema) do
      {:ok, it} -> command(name, arguments(name, it))
      {:error, detail} -> refuse(name, detail)
    end
  end

  defp parse(name, _schema, _body), do: refuse(name, "expected a JSON object")

  # Whoever holds an auction takes every answer for a bid.
  defp refuse(name, _detail) when name in [:bid_actor, :bid_provider], do: :ignore
  defp refuse(_name, detail), do: {:error, Error.new(:invalid_input, detail)}

  defp command(name, arguments) do
    {:ok, %Command{id: nil, name: name, arguments: arguments}}
  end

  defp route(["ping", "hosts"]), do: {:ping, []}
  defp route(["get", "claims"]), do: {:lattice_claims, []}
  defp route(["get", "links"]), do: {:lattice_links, []}
  defp route(["get", _host, "inv"]), do: {:inventory, []}

  defp route(["linkdefs", "put"]) do
    {:put_link,
     [
       actor_id: {:name, :id},
       contract_id: {:name, :contract},
       link_name: {:text, "default"},
       provider_id: {:name, :id},
       values: {:string_map, %{}}
     ]}
  end

  defp route(["linkdefs", "del"]) do
    {:disconnect,
     [actor_id: :string, contract_id: {:name, :contract}, link_name: {:text, "default"}]}
  end

  defp route(["auction", "actor"]) do
    {:bid_actor, [actor_ref: :string, constraints: {:string_map, %{}}]}
  end

  defp route(["auction", "provider"]) do
    {:bid_provider,
     [provider_ref: :string, link_name: {:text, "default"}, constraints: {:string_map, %{}}]}
  end

  defp route(["cmd", _host, "la"]) do
    {:launch_actor, [actor_ref: :string, count: {:count, 1}, annotations: {:string_map, %{}}]}
  end

  defp route(["cmd", _host, "sa"]) do
    {:withdraw_actor, [actor_ref: :string, count: {:count, 0}, annotations: {:string_map, %{}}]}
  end

  defp route(["cmd", _host, "scale"]) do
    {:equalize_actor,
     [
       actor_id: :string,
       actor_ref: {:text, ""},
       count: :count,
       annotations: {:string_map, %{}}
     ]}
  end

  defp route(["cmd", _host, "upd"]) do
    {:exchange_actor, [new_actor_ref: :string, actor_id: {:text, ""}]}
  end

  defp route(["cmd", _host, "lp"]) do
    {:launch_provider,
     [
       provider_ref: :string,
       link_name: {:text, "default"},
       configuration: {:text, ""},
       annotations: {:string_map, %{}}
     ]}
  end

  defp route(["cmd", _host, "sp"]) do
    {:withdraw_provider, [provider_ref: :string, link_name: {:text, "default"}]}
  end

  defp route(["cmd", _host, "stop"]), do: {:stop_host, []}
  defp route(_other), do: nil

  defp arguments(:put_link, it) do
    %{
      source: it.actor_id,
      target: it.provider_id,
      contract: it.contract_id,
      name: name(it.link_name),
      interfaces: [],
      source_config: %{},
      target_config: it.values
    }
  end

  defp arguments(:disconnect, it) do
    %{source: it.actor_id, contract: it.contract_id, name: name(it.link_name)}
  end

  defp arguments(:bid_actor, it) do
    %{reference: it.actor_ref, id: nil, constraints: it.constraints}
  end

  defp arguments(:bid_provider, it) do
    %{
      reference: it.provider_ref,
      id: nil,
      link_name: name(it.link_name),
      constraints: it.constraints
    }
  end

  defp arguments(:launch_actor, it) do
    %{reference: it.actor_ref, instances: max(it.count, 1), annotations: it.annotations}
  end

  defp arguments(:withdraw_actor, it) do
    %{id: it.actor_ref, instances: it.count, annotations: it.annotations}
  end

  # The public key is the id of an actor that is started so.
  defp arguments(:equalize_actor, it) do
    %{
      id: it.actor_id,
      key: it.actor_id,
      reference: given(it.actor_ref),
      instances: it.count,
      annotations: it.annotations,
      config: [],
      limits: %{},
      mismatch: :refuse
    }
  end

  defp arguments(:exchange_actor, it) do
    %{
      id: given(it.actor_id),
      reference: it.new_actor_ref,
      force: false,
      allow_issuer_change: false
    }
  end

  defp arguments(:launch_provider, it) do
    %{
      reference: it.provider_ref,
      id: nil,
      link_name: name(it.link_name),
      config: {:text, it.configuration},
      annotations: it.annotations
    }
  end

  defp arguments(:withdraw_provider, it) do
    %{id: it.provider_ref, link_name: name(it.link_name)}
  end

  defp name(""), do: "default"
  defp name(name), do: name

  defp given(""), do: nil
  defp given(text), do: text
end
