defmodule Exosuit.Control.V1 do
  @moduledoc false
  # The control interface of wasmCloud 1.x: what is listened to, and the command that each subject is.
  # `V1.Reply` has the answers.

  @behaviour Exosuit.Control.Generation

  alias Exosuit.Control.{Command, Credentials, Generation, Schema}
  alias Exosuit.Control.V1.Reply
  alias Exosuit.Error

  @default_registry_type "oci"

  @impl Generation
  def prefix(topic_prefix, lattice), do: "#{topic_prefix}.v1.#{lattice}"

  @impl Generation
  def subscriptions(host_id) do
    [
      {"registry.put", :all},
      {"host.ping", :all},
      {"component.auction", :all},
      {"provider.auction", :all},
      {"component.*.#{host_id}", :all},
      {"provider.*.#{host_id}", :all},
      {"label.*.#{host_id}", :all},
      {"host.*.#{host_id}", :all},
      {"link.*", :one},
      {"claims.get", :one},
      {"config.>", :one}
    ]
  end

  @impl Generation
  def parse(["registry", "put"], body) do
    with {:ok, registries} <- Credentials.parse(body, @default_registry_type),
         do: command(:put_registries, %{registries: registries})
  end

  def parse(["config", verb | [_ | _] = name], body) do
    config(verb, Enum.join(name, "."), body)
  end

  def parse(tokens, body) do
    case route(tokens) do
      {name, []} -> command(name, %{})
      {name, schema} -> parse(name, schema, body)
      nil -> {:error, unsupported(tokens)}
    end
  end

  @impl Generation
  def at_once?(%Command{name: name}) do
    name in [:equalize_actor, :exchange_actor, :launch_provider, :stop_host]
  end

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

  defp config("get", name, _body), do: command(:get_config, %{name: name})
  defp config("del", name, _body), do: command(:delete_config, %{name: name})

  defp config("put", name, body) do
    case Schema.check(%{"values" => body}, values: :string_map) do
      {:ok, it} -> command(:put_config, Map.put(it, :name, name))
      {:error, _} -> {:error, Error.new(:invalid_input, "expected an object of strings")}
    end
  end

  defp config(verb, _name, _body), do: {:error, unsupported(["config", verb])}

  defp unsupported(tokens) do
    subject = tokens |> Enum.join(".") |> inspect(printable_limit: 200)
    Error.new(:unknown_operation, "unsupported subject: #{subject}")
  end

  defp command(name, arguments) do
    {:ok, %Command{id: nil, name: name, arguments: arguments}}
  end

  defp route(["host", "ping"]), do: {:ping, []}
  defp route(["host", "get", _host]), do: {:inventory, []}
  defp route(["host", "stop", _host]), do: {:stop_host, []}
  defp route(["claims", "get"]), do: {:lattice_claims, []}
  defp route(["link", "get"]), do: {:lattice_links, []}

  defp route(["component", "auction"]) do
    {:bid_actor,
     [component_ref: {:text, ""}, component_id: :string, constraints: {:string_map, %{}}]}
  end

  defp route(["provider", "auction"]) do
    {:bid_provider,
     [provider_ref: {:text, ""}, provider_id: :string, constraints: {:string_map, %{}}]}
  end

  defp route(["component", "scale", _host]) do
    {:equalize_actor,
     [
       component_ref: {:text, ""},
       component_id: :string,
       count: {:count, 0},
       max_instances: {:count, 0},
       component_limits: {:string_map, %{}},
       annotations: {:string_map, %{}},
       config: {{:names, :configuration}, []},
       allow_update: {:boolean, false},
       allow_issuer_change: {:boolean, false}
     ]}
  end

  defp route(["component", "update", _host]) do
    {:exchange_actor,
     [
       component_id: :string,
       new_component_ref: :string,
       force: {:boolean, true},
       allow_issuer_change: {:boolean, false}
     ]}
  end

  defp route(["provider", "start", _host]) do
    {:launch_provider,
     [
       provider_id: :string,
       provider_ref: :string,
       config: {{:names, :configuration}, []},
       annotations: {:string_map, %{}}
     ]}
  end

  defp route(["provider", "stop", _host]) do
    {:withdraw_provider, [provider_id: {:text, nil}, provider_ref: {:text, ""}]}
  end

  defp route(["link", "put"]) do
    {:connect,
     [
       source_id: {:name, :id},
       target: {:name, :id},
       name: {{:name, :link_name}, "default"},
       wit_namespace: {:name, :namespace},
       wit_package: {:name, :package},
       interfaces: {:names, :interface},
       source_config: {{:names, :configuration}, []},
       target_config: {{:names, :configuration}, []}
     ]}
  end

  defp route(["link", "del"]) do
    {:disconnect,
     [
       source_id: {:name, :id},
       name: {{:name, :link_name}, "default"},
       wit_namespace: {:name, :namespace},
       wit_package: {:name, :package}
     ]}
  end

  defp route(["label", "put", _host]), do: {:put_label, [key: :string, value: :text]}
  defp route(["label", "del", _host]), do: {:delete_label, [key: :string]}
  defp route(_other), do: nil

  defp arguments(:bid_actor, it) do
    %{reference: it.component_ref, id: it.component_id, constraints: it.constraints}
  end

  defp arguments(:bid_provider, it) do
    %{
      reference: it.provider_ref,
      id: it.provider_id,
      link_name: nil,
      constraints: it.constraints
    }
  end

  # The one was the other's name for a time.
  defp arguments(:equalize_actor, it) do
    %{
      id: it.component_id,
      key: nil,
      reference: if(it.component_ref != "", do: it.component_ref),
      instances: max(it.count, it.max_instances),
      annotations: it.annotations,
      config: it.config,
      limits: it.component_limits,
      mismatch: if(it.allow_update, do: :update, else: :keep),
      allow_issuer_change: it.allow_issuer_change
    }
  end

  # 1.x names the exact image, so force the update: unsigned code has no revision to compare. Our own command
  # line says whether to force it.
  defp arguments(:exchange_actor, it) do
    %{
      id: it.component_id,
      reference: it.new_component_ref,
      force: it.force,
      allow_issuer_change: it.allow_issuer_change
    }
  end

  defp arguments(:launch_provider, it) do
    %{
      reference: it.provider_ref,
      id: it.provider_id,
      link_name: nil,
      config: {:names, it.config},
      annotations: it.annotations
    }
  end

  defp arguments(:withdraw_provider, it) do
    %{id: it.provider_id || it.provider_ref, link_name: nil}
  end

  defp arguments(:connect, it) do
    %{
      source: it.source_id,
      target: it.target,
      contract: contract(it),
      name: it.name,
      interfaces: it.interfaces,
      source_configs: it.source_config,
      target_configs: it.target_config
    }
  end

  defp arguments(:disconnect, it) do
    %{source: it.source_id, contract: contract(it), name: it.name}
  end

  defp arguments(name, it) when name in [:put_label, :delete_label], do: it

  defp contract(it), do: "#{it.wit_namespace}:#{it.wit_package}"
end
