defmodule Exosuit.Protocol.Otp.Commands do
  @moduledoc """
  Decodes the commands of the OTP era: a schema for each subject, and the struct that its body becomes. Pure.

  `Exosuit.Protocol.Otp` has the table of subjects. Unknown fields are ignored, as newer clients send more. Empty texts
  and missing ones mean the same, because clients of the era send both: an empty link name is `default`.

  An id of an actor is its public key in this era. The count of a stop of 0 means all instances.
  """

  alias Exosuit.Error
  alias Exosuit.Model.Command
  alias Exosuit.Protocol.{Registries, Schema}

  @doc """
  Decodes the rest of a subject, as tokens, and a body, as decoded JSON.

  `:ignore` for an auction that cannot be read: the holder of an auction counts every answer as a bid. `:invalid_input`
  names the field of another form, and `:unknown_operation` has the text by which hosts of the era refuse a subject.

      iex> alias Exosuit.Protocol.Otp.Commands
      iex> {:ok, command} = Commands.decode(["cmd", "NABC", "la"], %{"actor_ref" => "file:///a.wasm"})
      iex> {command.code, command.instances}
      {{:reference, "file:///a.wasm"}, 1}
  """
  @spec decode([String.t()], term()) :: {:ok, Command.t()} | {:error, Error.t()} | :ignore
  def decode(["registries", "put"], body), do: Registries.decode(body, nil)
  def decode(["ping", "hosts"], _body), do: {:ok, %Command.Ping{}}
  def decode(["get", "claims"], _body), do: {:ok, %Command.Claims{}}
  def decode(["get", "links"], _body), do: {:ok, %Command.Links{of: :lattice}}
  def decode(["get", _host, "inv"], _body), do: {:ok, %Command.Inventory{}}
  def decode(["cmd", _host, "stop"], _body), do: {:ok, %Command.StopHost{}}

  # The holder of an auction counts every answer as a bid, so an invalid request gets no answer.
  def decode(["auction", _what] = tokens, body) do
    with {:error, _error} <- decode_body(tokens, body), do: :ignore
  end

  def decode(["auction" | _other], _body), do: :ignore
  def decode(tokens, body), do: decode_body(tokens, body)

  defp decode_body(tokens, body) do
    with {:ok, schema} <- schema(tokens),
         {:ok, it} <- Schema.check_body(body, schema),
         do: {:ok, command(tokens, it)}
  end

  defp schema(["linkdefs", "put"]) do
    {:ok,
     [
       actor_id: {:name, :id},
       contract_id: {:name, :contract},
       link_name: {:text, "default"},
       provider_id: {:name, :id},
       values: {:string_map, %{}}
     ]}
  end

  defp schema(["linkdefs", "del"]) do
    {:ok, [actor_id: :string, contract_id: {:name, :contract}, link_name: {:text, "default"}]}
  end

  defp schema(["auction", "actor"]) do
    {:ok, [actor_ref: :string, constraints: {:string_map, %{}}]}
  end

  defp schema(["auction", "provider"]) do
    {:ok, [provider_ref: :string, link_name: {:text, "default"}, constraints: {:string_map, %{}}]}
  end

  defp schema(["cmd", _host, "la"]) do
    {:ok, [actor_ref: :string, count: {:count, 1}, annotations: {:string_map, %{}}]}
  end

  defp schema(["cmd", _host, "sa"]) do
    {:ok, [actor_ref: :string, count: {:count, 0}, annotations: {:string_map, %{}}]}
  end

  defp schema(["cmd", _host, "scale"]) do
    {:ok,
     [
       actor_id: :string,
       actor_ref: {:text, ""},
       count: :count,
       annotations: {:string_map, %{}}
     ]}
  end

  defp schema(["cmd", _host, "upd"]) do
    {:ok, [new_actor_ref: :string, actor_id: {:text, ""}]}
  end

  defp schema(["cmd", _host, "lp"]) do
    {:ok,
     [
       provider_ref: :string,
       link_name: {:text, "default"},
       configuration: {:text, ""},
       annotations: {:string_map, %{}}
     ]}
  end

  defp schema(["cmd", _host, "sp"]) do
    {:ok, [provider_ref: :string, link_name: {:text, "default"}]}
  end

  defp schema(_other), do: {:error, Error.new(:unknown_operation, "Invalid request topic")}

  defp command(["linkdefs", "put"], it) do
    %Command.PutLink{
      source: it.actor_id,
      target: it.provider_id,
      contract: it.contract_id,
      name: name(it.link_name),
      target_config: it.values
    }
  end

  defp command(["linkdefs", "del"], it) do
    %Command.DeleteLink{
      source: it.actor_id,
      contract: it.contract_id,
      name: name(it.link_name)
    }
  end

  defp command(["auction", "actor"], it) do
    %Command.AuctionActor{reference: it.actor_ref, constraints: it.constraints}
  end

  defp command(["auction", "provider"], it) do
    %Command.AuctionProvider{
      reference: it.provider_ref,
      link_name: name(it.link_name),
      constraints: it.constraints
    }
  end

  defp command(["cmd", _host, "la"], it) do
    %Command.StartActor{
      code: {:reference, it.actor_ref},
      instances: max(it.count, 1),
      annotations: it.annotations
    }
  end

  defp command(["cmd", _host, "sa"], it) do
    %Command.StopActor{
      id: it.actor_ref,
      instances: if(it.count == 0, do: :all, else: it.count),
      annotations: it.annotations
    }
  end

  # An actor that is started this way has its public key as its id.
  defp command(["cmd", _host, "scale"], it) do
    %Command.ScaleActor{
      id: it.actor_id,
      instances: it.count,
      annotations: it.annotations,
      start?: true,
      code: if(it.actor_ref != "", do: {:reference, it.actor_ref}),
      key: it.actor_id,
      mismatch: :refuse
    }
  end

  defp command(["cmd", _host, "upd"], it) do
    %Command.UpdateActor{
      code: {:reference, it.new_actor_ref},
      id: if(it.actor_id != "", do: it.actor_id)
    }
  end

  defp command(["cmd", _host, "lp"], it) do
    %Command.StartProvider{
      code: {:reference, it.provider_ref},
      link_name: name(it.link_name),
      config: {:text, it.configuration},
      annotations: it.annotations
    }
  end

  defp command(["cmd", _host, "sp"], it) do
    %Command.StopProvider{id: it.provider_ref, link_name: name(it.link_name)}
  end

  defp name(""), do: "default"
  defp name(name), do: name
end
