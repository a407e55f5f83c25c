defmodule Exosuit.Protocol.Socket do
  @moduledoc """
  Exosuit's own commands: lines of JSON on the control socket (`guides/control-socket.md`).

      → {"v":1,"id":7,"command":"actor.stop","arguments":{"id":"shop"}}
      ← {"v":1,"id":7,"ok":{}}
      → {"v":1,"id":8,"command":"actor.stop","arguments":{"id":"shop"}}
      ← {"v":1,"id":8,"error":{"code":"not_found","detail":"not found: …"}}

  Hosts accept the commands about applications over NATS as well: a request to `exosuit.api.<lattice>.<command>` has
  the arguments as a JSON object. The reply is `{"ok": …}` or `{"error": {"code": …, "detail": …, "diagnostics":
  […]}}`. Exactly one host of the lattice answers.

  `Commands` decodes, `Replies` encodes, and `Lines` cuts the bytes of the socket into lines.
  """
  @behaviour Exosuit.Protocol

  alias Exosuit.{Error, Json}
  alias Exosuit.Model.Command
  alias Exosuit.Protocol
  alias Exosuit.Protocol.Socket.{Commands, Replies}

  @doc """
  Decodes a line; an error has the id of the request, if it has one, so that the client can match it.
  """
  @spec decode_line(binary()) ::
          {:ok, id :: term(), Command.t()} | {:error, id :: term(), Error.t()}
  def decode_line(line) do
    case Json.decode(line) do
      {:ok, request} -> Commands.decode_request(request)
      {:error, error} -> {:error, nil, error}
    end
  end

  @impl Protocol
  def prefix(_topic_prefix, lattice), do: "exosuit.api.#{lattice}"

  @impl Protocol
  def subscriptions(_host_id), do: [{"app.*", :one}]

  @impl Protocol
  def decode_command(["app", verb], body), do: Commands.decode("app." <> verb, body || %{})

  def decode_command(tokens, _body) do
    subject = tokens |> Enum.join(".") |> inspect(printable_limit: 200)
    {:error, Error.new(:unknown_operation, "unsupported subject: #{subject}")}
  end

  @impl Protocol
  def acknowledged?(_command), do: false

  @impl Protocol
  defdelegate encode_reply(command, result), to: Replies, as: :encode
end
