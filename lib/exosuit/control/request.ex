defmodule Exosuit.Control.Request do
  @moduledoc false
  # A message of the lattice that wants something, and the way back to whoever sent it.

  alias Exosuit.{Error, Json}
  alias Exosuit.Control.{Command, Execution, Short}
  alias Exosuit.Lattice.{Bus, Session}

  @type t :: %__MODULE__{
          session: Session.t(),
          generation: module(),
          reply_to: String.t() | nil,
          command: Command.t() | nil,
          answered?: boolean()
        }

  @enforce_keys [:session, :generation, :reply_to]
  defstruct [:session, :generation, :reply_to, :command, answered?: false]

  # What a server takes by default. A larger one may be allowed; nothing here needs it.
  @most_body 1_048_576

  @doc "What the message wants, by the tokens behind the prefix and its body."
  @spec read(t(), [String.t()], binary()) :: {:ok, t()} | {:error, Error.t()} | :ignore
  def read(request, tokens, payload) do
    with {:ok, body} <- decode(payload),
         {:ok, command} <- request.generation.parse(tokens, body),
         do: {:ok, %{request | command: command}}
  end

  @doc "Carries it out, and answers, if that is still to be done. Runs in a task of its own."
  @spec carry_out(t(), Exosuit.Control.context()) :: :ok
  def carry_out(%__MODULE__{answered?: true, command: command}, context) do
    _told_by_events = Execution.run_acknowledged(command, context)
    :ok
  end

  def carry_out(request, context), do: answer(request, Execution.run(request.command, context))

  @doc "Says that it is not carried out, and why: by the answer, or by an event after that."
  @spec abandon(t(), Error.t(), Exosuit.Control.context()) :: :ok
  def abandon(%__MODULE__{answered?: true, command: command}, error, context) do
    {:error, _told} = Execution.abandon(command, error, context)
    :ok
  end

  def abandon(request, error, _context), do: answer(request, {:error, error})

  @doc "Answers a request whose command is known."
  @spec answer(t(), Execution.result()) :: :ok
  def answer(%__MODULE__{answered?: true}, _result), do: :ok
  def answer(request, result), do: say(request, request.command.name, result)

  @doc "Answers by what it is and how it went, where anybody waits for that."
  @spec say(t(), atom(), Execution.result()) :: :ok
  def say(%__MODULE__{reply_to: nil}, _name, _result), do: :ok

  def say(request, name, result) do
    with %{} = reply <- request.generation.reply(name, result),
         {:ok, text} <- Short.encode(reply, Bus.max_payload(request.session)),
         :ok <- Bus.publish(request.session, request.reply_to, text) do
      :ok
    else
      nil -> :ok
      {:error, error} -> apologize(request, error)
    end
  end

  # No text, say. Without a connection this fails, too, and nobody waits any more.
  defp apologize(request, error) do
    {:ok, text} = Json.encode(request.generation.reply(:unknown, {:error, error}))
    _lost = Bus.publish(request.session, request.reply_to, text)
    :ok
  end

  defp decode(""), do: {:ok, nil}

  defp decode(payload) when byte_size(payload) > @most_body do
    {:error, Error.new(:invalid_input, "a body has at most #{@most_body} bytes")}
  end

  defp decode(payload) do
    if String.valid?(payload),
      do: Json.decode(payload),
      else: {:error, Error.new(:invalid_input, "the body is not UTF-8")}
  end
end
