defmodule Exosuit.Protocol.Socket.Replies do
  @moduledoc """
  Encodes the lines that go out: `{"v":1,"id":…}` with `ok`, `error` or `event`; and replies over NATS, which
  have `ok` or `error` alone. Pure.

  Terms of the VM become terms of JSON: structs become objects, atoms texts without the colon, and texts that are not
  UTF-8 their `inspect/1`. Fields with a pid are left out of objects, because a process means nothing outside.
  """

  alias Exosuit.{Event, Json, Protocol}
  alias Exosuit.Model.Command

  @version 1

  @doc """
  Encodes the result of a command as a map for JSON, with `ok` or `error`. The result of a call becomes
  `payload_base64`, because a payload may be any bytes.
  """
  @spec encode(Command.t() | nil, Protocol.result()) :: map()
  def encode(command, {:ok, value}), do: %{ok: command |> value(value) |> plain()}
  def encode(_command, {:error, error}), do: %{error: plain(failure(error))}

  def encode(_command, {:error, error, diagnostics}) do
    %{error: plain(Map.put(failure(error), :diagnostics, diagnostics))}
  end

  @doc "Encodes the result of a command as a line."
  @spec line(id :: term(), Command.t() | nil, Protocol.result()) :: iodata()
  def line(id, command, result), do: line(id, encode(command, result))

  @doc "Encodes an event of the host as a line, for the client that subscribed by the request with this id."
  @spec event(id :: term(), Event.t()) :: iodata()
  def event(id, event), do: line(id, %{event: plain(Event.to_cloud_event(event))})

  defp line(id, fields) do
    {:ok, json} = Json.encode(Map.merge(fields, %{v: @version, id: id}))
    [json, ?\n]
  end

  defp value(%Command.Call{}, payload), do: %{payload_base64: Base.encode64(payload)}
  defp value(_command, value), do: value

  defp failure(error), do: %{code: error.reason, detail: Exception.message(error)}

  # Converts terms of the VM to terms for JSON. Processes and references mean nothing outside.
  defp plain(value) when is_number(value) or value in [nil, true, false], do: value
  defp plain(value) when is_atom(value), do: name(value)
  defp plain(value) when is_list(value), do: Enum.map(value, &plain/1)
  defp plain(%_{} = value), do: value |> Map.from_struct() |> plain()

  defp plain(%{} = value) do
    for {key, value} <- value, not is_pid(value), into: %{}, do: {text(key), plain(value)}
  end

  defp plain(value) when is_binary(value) do
    if String.valid?(value), do: value, else: inspect(value)
  end

  defp plain(value), do: inspect(value)

  defp text(key) when is_binary(key), do: key
  defp text(key), do: name(key)

  defp name(atom), do: atom |> inspect() |> String.trim_leading(":")
end
