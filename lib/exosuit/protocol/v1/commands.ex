defmodule Exosuit.Protocol.V1.Commands do
  @moduledoc """
  Decodes the commands of wasmCloud 1.x: a schema for each subject, and the struct that its body becomes. Pure.

  `Exosuit.Protocol.V1` has the table of subjects. Unknown fields are ignored, as newer clients send more.

  Where 1.x differs from Exosuit's own commands:

  - an update is forced by default, because 1.x names the exact image, and unsigned components have no revision to
    compare
  - a put replaces no link that another client made (`replace?: false`)
  - `max_instances` and `count` are the same field in different versions of 1.x; the greater one counts
  - the name of a configuration may have dots, and is then several tokens of the subject
  """

  alias Exosuit.Error
  alias Exosuit.Model.Command
  alias Exosuit.Protocol.{Registries, Schema}

  @default_registry_type "oci"

  @doc """
  Decodes the rest of a subject, as tokens, and a body, as decoded JSON.

  `:ignore` for an auction that cannot be read: the holder of an auction counts every answer as a bid. `:invalid_input`
  names the field of another form, and `:unknown_operation` the subject.

      iex> Exosuit.Protocol.V1.Commands.decode(["config", "get", "shop", "eu"], nil)
      {:ok, %Exosuit.Model.Command.GetConfig{name: "shop.eu"}}
  """
  @spec decode([String.t()], term()) :: {:ok, Command.t()} | {:error, Error.t()} | :ignore
  def decode(["registry", "put"], body), do: Registries.decode(body, @default_registry_type)
  def decode(["host", "ping"], _body), do: {:ok, %Command.Ping{}}
  def decode(["host", "get", _host], _body), do: {:ok, %Command.Inventory{}}
  def decode(["host", "stop", _host], _body), do: {:ok, %Command.StopHost{}}
  def decode(["claims", "get"], _body), do: {:ok, %Command.Claims{}}
  def decode(["link", "get"], _body), do: {:ok, %Command.Links{of: :lattice}}

  def decode(["config", verb | [_ | _] = name] = tokens, body) do
    config(verb, Enum.join(name, "."), body, tokens)
  end

  # The holder of an auction counts every answer as a bid, so an invalid request gets no answer.
  def decode([kind, "auction"] = tokens, body) when kind in ["component", "provider"] do
    with {:error, _error} <- decode_body(tokens, body), do: :ignore
  end

  def decode(tokens, body), do: decode_body(tokens, body)

  defp decode_body(tokens, body) do
    with {:ok, schema} <- schema(tokens),
         {:ok, it} <- Schema.check_body(body, schema),
         do: {:ok, command(tokens, it)}
  end

  defp config("get", name, _body, _tokens), do: {:ok, %Command.GetConfig{name: name}}
  defp config("del", name, _body, _tokens), do: {:ok, %Command.DeleteConfig{name: name}}

  defp config("put", name, body, _tokens) do
    case Schema.check(%{"values" => body}, values: :string_map) do
      {:ok, %{values: values}} -> {:ok, %Command.PutConfig{name: name, values: values}}
      {:error, _} -> {:error, Error.new(:invalid_input, "expected an object of strings")}
    end
  end

  defp config(_verb, _name, _body, tokens), do: unsupported(tokens)

  defp unsupported(tokens) do
    subject = tokens |> Enum.join(".") |> inspect(printable_limit: 200)
    {:error, Error.new(:unknown_operation, "unsupported subject: #{subject}")}
  end

  defp schema(["component", "auction"]) do
    {:ok, [component_ref: {:text, ""}, component_id: :string, constraints: {:string_map, %{}}]}
  end

  defp schema(["provider", "auction"]) do
    {:ok, [provider_ref: {:text, ""}, provider_id: :string, constraints: {:string_map, %{}}]}
  end

  defp schema(["component", "scale", _host]) do
    {:ok,
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

  defp schema(["component", "update", _host]) do
    {:ok,
     [
       component_id: :string,
       new_component_ref: :string,
       force: {:boolean, true},
       allow_issuer_change: {:boolean, false}
     ]}
  end

  defp schema(["provider", "start", _host]) do
    {:ok,
     [
       provider_id: :string,
       provider_ref: :string,
       config: {{:names, :configuration}, []},
       annotations: {:string_map, %{}}
     ]}
  end

  defp schema(["provider", "stop", _host]) do
    {:ok, [provider_id: {:text, nil}, provider_ref: {:text, ""}]}
  end

  defp schema(["link", "put"]) do
    {:ok,
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

  defp schema(["link", "del"]) do
    {:ok,
     [
       source_id: {:name, :id},
       name: {{:name, :link_name}, "default"},
       wit_namespace: {:name, :namespace},
       wit_package: {:name, :package}
     ]}
  end

  defp schema(["label", "put", _host]), do: {:ok, [key: :string, value: :text]}
  defp schema(["label", "del", _host]), do: {:ok, [key: :string]}
  defp schema(other), do: unsupported(other)

  defp command(["component", "auction"], it) do
    %Command.AuctionActor{
      reference: it.component_ref,
      id: it.component_id,
      constraints: it.constraints
    }
  end

  defp command(["provider", "auction"], it) do
    %Command.AuctionProvider{
      reference: it.provider_ref,
      id: it.provider_id,
      constraints: it.constraints
    }
  end

  # `max_instances` and `count` are the same field in different versions of 1.x.
  defp command(["component", "scale", _host], it) do
    %Command.ScaleActor{
      id: it.component_id,
      instances: max(it.count, it.max_instances),
      annotations: it.annotations,
      start?: true,
      code: if(it.component_ref != "", do: {:reference, it.component_ref}),
      config: {:names, it.config},
      limits: it.component_limits,
      mismatch: if(it.allow_update, do: :update, else: :keep),
      allow_issuer_change: it.allow_issuer_change
    }
  end

  # 1.x names the exact image, so the update is forced by default: unsigned code has no revision to compare. Our own
  # command line says whether to force it.
  defp command(["component", "update", _host], it) do
    %Command.UpdateActor{
      code: {:reference, it.new_component_ref},
      id: it.component_id,
      force: it.force,
      allow_issuer_change: it.allow_issuer_change
    }
  end

  defp command(["provider", "start", _host], it) do
    %Command.StartProvider{
      code: {:reference, it.provider_ref},
      id: it.provider_id,
      config: {:names, it.config},
      annotations: it.annotations
    }
  end

  defp command(["provider", "stop", _host], it) do
    %Command.StopProvider{id: it.provider_id || it.provider_ref}
  end

  # A put replaces no link that another client made.
  defp command(["link", "put"], it) do
    %Command.PutLink{
      source: it.source_id,
      target: it.target,
      contract: contract(it),
      name: it.name,
      interfaces: it.interfaces,
      source_configs: it.source_config,
      target_configs: it.target_config,
      replace?: false
    }
  end

  defp command(["link", "del"], it) do
    %Command.DeleteLink{source: it.source_id, contract: contract(it), name: it.name}
  end

  defp command(["label", "put", _host], it), do: struct!(Command.PutLabel, it)
  defp command(["label", "del", _host], it), do: struct!(Command.DeleteLabel, it)

  defp contract(it), do: "#{it.wit_namespace}:#{it.wit_package}"
end
