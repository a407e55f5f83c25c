defmodule Exosuit.Protocol do
  @moduledoc """
  The protocols of the peers: one pure codec for each peer, which all senders and receivers of its messages use.

  | peer | codec |
  |---|---|
  | hosts and clients of the OTP era | `Exosuit.Protocol.Otp` |
  | hosts and clients of wasmCloud 1.x | `Exosuit.Protocol.V1` |
  | Exosuit's own clients, over the control socket and over NATS | `Exosuit.Protocol.Socket` |
  | tools made for wadm | `Exosuit.Protocol.Wadm` |

  Each decodes messages to the structs of `Exosuit.Model.Command`, and encodes their results: submodules `Commands`
  and `Replies`. Both generations of wasmCloud also have `Events` and `Records`. `Exosuit.Protocol.Events` decodes the
  events of other hosts, of either generation. Decoded values need no further check. No text becomes an atom, and no
  error shows a value that may be a secret.

  The listener for commands over NATS calls a codec by this behaviour.
  """

  alias Exosuit.Error
  alias Exosuit.Model.Command

  @typedoc "The result of a command. The diagnostics are lines for people about a manifest."
  @type result :: {:ok, term()} | {:error, Error.t()} | {:error, Error.t(), diagnostics :: list()}

  @doc "The beginning of every subject."
  @callback prefix(topic_prefix :: String.t(), lattice :: String.t()) :: String.t()

  @doc "The subjects after the prefix. For each, says whether one host of the lattice answers, or all."
  @callback subscriptions(host_id :: String.t()) :: [{String.t(), :all | :one}]

  @doc """
  Decodes the rest of a subject and a body. If the result is `:ignore`, no refusal is sent. Subjects with a host id
  are those of this host only.
  """
  @callback decode_command([String.t()], body :: term()) ::
              {:ok, Command.t()} | {:error, Error.t()} | :ignore

  @doc "Whether a command is acknowledged before it is carried out. Events then report its result."
  @callback acknowledged?(Command.t()) :: boolean()

  @doc """
  Encodes the reply to a command; `nil` if none is sent. Without a command, the result is a refusal, or the
  acknowledgement `{:ok, %{}}`, with a `:message` for the sender if there is one.
  """
  @callback encode_reply(Command.t() | nil, result()) :: map() | nil
end
