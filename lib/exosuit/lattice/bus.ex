defmodule Exosuit.Lattice.Bus do
  @moduledoc """
  Messages between the hosts of a lattice and their tools. Every function takes the host's session.

  A subject is a text of tokens with dots between them. A subscription may have `*` in the place of a token,
  and `>` in the place of all further ones.

  Messages are delivered at most once: without a connection, or to a subscriber that is too slow, they are lost. State
  that must not be lost is in `Exosuit.Lattice.Store`. Anybody who can connect to the servers can publish, so a
  receiver trusts nothing in a message.

  ## Messages

  A subscription sends its process `{:exosuit_lattice, reference, {subject, reply_to | nil, payload}}`, one at a time:
  the next one after a call of `next/1`. A slow process therefore has one message in its mailbox, and not a flood.
  Further messages wait outside the mailbox, 4 096 messages or 16 MiB at most. Beyond that, they are lost, and an event
  `lattice_slow_consumer` reports it.

      {:ok, subscription} = Bus.subscribe(session, "orders.*")
      reference = subscription.reference

      receive do
        {:exosuit_lattice, ^reference, {"orders." <> id, _reply_to, payload}} ->
          handle(id, payload)
          Bus.next(subscription)
      end
  """

  alias Exosuit.{Error, Lattice}
  alias Exosuit.Lattice.Session

  @enforce_keys [:backend, :inlet, :reference]
  defstruct [:backend, :inlet, :reference]

  @typedoc "A subscription, or a watch of `Exosuit.Lattice.Store`."
  @type t :: %__MODULE__{
          backend: module(),
          inlet: Lattice.Backend.inlet(),
          reference: reference()
        }

  @doc "The state of the connection, see `t:Exosuit.Lattice.Backend.connection/0`."
  @spec connection(Session.t()) :: Lattice.Backend.connection()
  def connection(%Session{} = session), do: session.backend.connection(session.handle)

  @doc "Whether messages can be sent now. The connection may be lost right after the answer."
  @spec connected?(Session.t()) :: boolean()
  def connected?(%Session{} = session), do: session.backend.connected?(session.handle)

  @doc "The maximum number of bytes of a message, as the server last reported it."
  @spec max_payload(Session.t()) :: non_neg_integer()
  def max_payload(%Session{} = session), do: session.backend.max_payload(session.handle)

  @doc """
  Sends a message to all subscribers. Does not wait, not for the server either. Returns an error without a connection,
  and for a message beyond `max_payload/1`.
  """
  @spec publish(Session.t(), String.t(), binary()) :: :ok | {:error, Error.t()}
  def publish(%Session{} = session, subject, payload),
    do: session.backend.publish(session.handle, subject, payload)

  @doc """
  Sends a message and waits for the first answer, for this number of milliseconds at most. Blocks the calling process.

  Returns an error at once if nobody has subscribed to the subject, and `:deadline` if no answer came in time.
  """
  @spec request(Session.t(), String.t(), binary(), non_neg_integer()) ::
          {:ok, binary()} | {:error, Error.t()}
  def request(%Session{} = session, subject, payload, timeout),
    do: session.backend.request(session.handle, subject, payload, timeout)

  @doc """
  Sends a message and returns all answers that come within this number of milliseconds, in the order of their arrival.
  The wait ends early after `max` answers, or after 64 MiB of them. Without a subscriber, returns an empty list at
  once. Blocks the calling process.
  """
  @spec gather(Session.t(), String.t(), binary(), non_neg_integer(), non_neg_integer()) ::
          {:ok, [binary()]} | {:error, Error.t()}
  def gather(%Session{} = session, subject, payload, within, max),
    do: session.backend.gather(session.handle, subject, payload, within, max)

  @doc """
  Subscribes the calling process to a subject, which may have wildcards. One subscriber of each group gets each
  message; `nil` is no group. The subscription survives outages; messages sent during an outage are lost. It ends with
  the calling process.
  """
  @spec subscribe(Session.t(), String.t(), String.t() | nil) :: {:ok, t()} | {:error, Error.t()}
  def subscribe(%Session{} = session, subject, group \\ nil) do
    open(session, &session.backend.subscribe(session.handle, subject, group, &1))
  end

  @doc """
  Asks for the next message. The first message comes without a call of this function.
  """
  @spec next(t()) :: :ok
  def next(%__MODULE__{backend: backend, inlet: inlet}), do: backend.next(inlet)

  @doc "Ends a subscription; it ends with its process, too."
  @spec unsubscribe(t()) :: :ok
  def unsubscribe(%__MODULE__{backend: backend, inlet: inlet}), do: backend.cancel(inlet)

  # Public for `Exosuit.Lattice.Store`, whose watches work in the same way.
  @doc false
  @spec open(Session.t(), (reference() -> {:ok, term()} | {:error, Error.t()})) ::
          {:ok, t()} | {:error, Error.t()}
  def open(session, open) do
    reference = make_ref()

    with {:ok, inlet} <- open.(reference),
         do: {:ok, %__MODULE__{backend: session.backend, inlet: inlet, reference: reference}}
  end
end
