defmodule Exosuit.Lattice.Bus do
  @moduledoc """
  Messages between the hosts of a lattice and their tools. Every function takes the host's session.

  A subject is a text of tokens with dots between them. A subscription may have `*` in the place of a token,
  and `>` in the place of all further ones.

  ## Messages

  A subscription sends its process `{:exosuit_lattice, reference, {subject, reply_to | nil, payload}}`, one at a time:
  the next one after a call of `next/1`. Further messages wait outside the mailbox, a few thousand at most.
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

  @doc "Whether messages can be sent now."
  @spec connected?(Session.t()) :: boolean()
  def connected?(%Session{} = session), do: session.backend.connected?(session.handle)

  @doc "The maximum number of bytes of a message, as the server last reported it."
  @spec max_payload(Session.t()) :: non_neg_integer()
  def max_payload(%Session{} = session), do: session.backend.max_payload(session.handle)

  @doc """
  Sends a message to all subscribers. Does not wait. Without a connection, returns an error.
  """
  @spec publish(Session.t(), String.t(), binary()) :: :ok | {:error, Error.t()}
  def publish(%Session{} = session, subject, payload),
    do: session.backend.publish(session.handle, subject, payload)

  @doc """
  Sends a message and waits for the first answer, for this number of milliseconds at most. Without a subscriber,
  returns an error at once. Blocks the calling process.
  """
  @spec request(Session.t(), String.t(), binary(), non_neg_integer()) ::
          {:ok, binary()} | {:error, Error.t()}
  def request(%Session{} = session, subject, payload, timeout),
    do: session.backend.request(session.handle, subject, payload, timeout)

  @doc """
  Sends a message and returns all answers that come within this number of milliseconds. The wait ends early after
  `most` answers. Blocks the calling process.
  """
  @spec gather(Session.t(), String.t(), binary(), non_neg_integer(), non_neg_integer()) ::
          {:ok, [binary()]} | {:error, Error.t()}
  def gather(%Session{} = session, subject, payload, within, max),
    do: session.backend.gather(session.handle, subject, payload, within, max)

  @doc """
  Subscribes the calling process to a subject, which may have wildcards. One subscriber of each group gets each
  message. The subscription survives outages; messages sent during an outage are lost.
  """
  @spec subscribe(Session.t(), String.t(), String.t() | nil) :: {:ok, t()} | {:error, Error.t()}
  def subscribe(%Session{} = session, subject, group \\ nil) do
    open(session, &session.backend.subscribe(session.handle, subject, group, &1))
  end

  @doc "Asks for the next message. The first message comes without a call of this function."
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
