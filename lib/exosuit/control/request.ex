defmodule Exosuit.Control.Request do
  @moduledoc """
  A command that came over the lattice, with the protocol of its sender and the subject for the reply.

  A reply that is too large for a message is cut (`Exosuit.Protocol.Short`). If that does not help, or a value is not
  text, the sender gets an error instead. Without a connection, it gets nothing. A message without a subject for its
  reply is carried out without one.
  """

  alias Exosuit.{Error, Instance, Json, Protocol}
  alias Exosuit.Control.Execution
  alias Exosuit.Lattice.{Bus, Session}
  alias Exosuit.Model.Command
  alias Exosuit.Protocol.Short

  @typedoc """
  `reply_to` is `nil` if the sender wants no reply. `command` is `nil` until `decode/3`. `acknowledged?` says that the
  sender has its reply already.
  """
  @type t :: %__MODULE__{
          session: Session.t(),
          protocol: module(),
          reply_to: String.t() | nil,
          command: Command.t() | nil,
          acknowledged?: boolean()
        }

  @enforce_keys [:session, :protocol, :reply_to]
  defstruct [:session, :protocol, :reply_to, :command, acknowledged?: false]

  # The default of NATS servers for a message.
  @max_body 1_048_576

  @doc """
  Decodes the command: `tokens` are those of the subject after the prefix. `:ignore` if not even a refusal is sent.
  `:invalid_input` for a body that is not UTF-8, is not JSON, or has more than 1 MiB.
  """
  @spec decode(t(), [String.t()], binary()) :: {:ok, t()} | {:error, Error.t()} | :ignore
  def decode(request, tokens, payload) do
    with {:ok, body} <- decode(payload),
         {:ok, command} <- request.protocol.decode_command(tokens, body),
         do: {:ok, %{request | command: command}}
  end

  @doc "Carries out the command, and replies unless it was acknowledged before. Runs in a task of its own."
  @spec carry_out(t(), Instance.t()) :: :ok
  def carry_out(%__MODULE__{acknowledged?: true, command: command}, instance) do
    _reported_by_events = Execution.run_acknowledged(command, instance)
    :ok
  end

  def carry_out(request, instance), do: answer(request, Execution.run(request.command, instance))

  @doc "Reports why the command is not carried out: by the reply, or by an event if it was acknowledged."
  @spec abandon(t(), Error.t(), Instance.t()) :: :ok
  def abandon(%__MODULE__{acknowledged?: true, command: command}, error, instance) do
    {:error, _reported} = Execution.abandon(command, error, instance)
    :ok
  end

  def abandon(request, error, _instance), do: answer(request, {:error, error})

  @doc "Replies with the result of the command, unless it was acknowledged before."
  @spec answer(t(), Protocol.result()) :: :ok
  def answer(%__MODULE__{acknowledged?: true}, _result), do: :ok
  def answer(request, result), do: reply(request, request.command, result)

  @doc """
  Acknowledges a request, or refuses a request with an unknown command. Encoded without a command, because there may be
  none.
  """
  @spec acknowledge(t(), Protocol.result()) :: :ok
  def acknowledge(request, result), do: reply(request, nil, result)

  defp reply(%__MODULE__{reply_to: nil}, _command, _result), do: :ok

  defp reply(request, command, result) do
    with %{} = reply <- request.protocol.encode_reply(command, result),
         {:ok, text} <- Short.encode(reply, Bus.max_payload(request.session)),
         :ok <- Bus.publish(request.session, request.reply_to, text) do
      :ok
    else
      nil -> :ok
      {:error, error} -> apologize(request, error)
    end
  end

  # Used if the reply cannot be encoded, because a value is not text for example, or if it is too large. Without a
  # connection this fails as well, and the sender gets no reply.
  defp apologize(request, error) do
    {:ok, text} = Json.encode(request.protocol.encode_reply(nil, {:error, error}))
    _lost = Bus.publish(request.session, request.reply_to, text)
    :ok
  end

  defp decode(""), do: {:ok, nil}

  defp decode(payload) when byte_size(payload) > @max_body do
    {:error,
     Error.new(
       :invalid_input,
       "the body has #{byte_size(payload)} bytes, expected at most #{@max_body}"
     )}
  end

  defp decode(payload) do
    if String.valid?(payload),
      do: Json.decode(payload),
      else: {:error, Error.new(:invalid_input, "expected the body to be UTF-8")}
  end
end
