defmodule Exosuit.Lattice.Bus do
  @moduledoc """
  Messages over NATS, as commands and events have them. `lattice` is the handle that
  `Exosuit.Lattice.Nats.open/1` gives.

  ## Messages

  A subscription sends its process `{:exosuit_lattice, reference, {subject, reply_to | nil,
  payload}}`, one at a time: the next one once `next/1` has asked for it. What comes faster waits, a
  few thousand at the most, in the data plane and not in the mailbox.
  """

  alias Exosuit.{Error, Native}
  alias Exosuit.Native.Answer

  @enforce_keys [:inlet, :reference]
  defstruct [:inlet, :reference]

  @type t :: %__MODULE__{inlet: reference(), reference: reference()}

  # What the library itself takes, beyond the time that an answer may.
  @grace 5_000

  @doc "Sends a message to whoever listens. Blocks nobody; without a connection it is an error."
  @spec publish(reference(), String.t(), binary()) :: :ok | {:error, Error.t()}
  def publish(lattice, subject, payload) do
    publish = fn -> Native.lattice_publish(lattice, subject, payload) end

    with {:error, failure} <- Answer.checked(publish),
         do: {:error, Error.from_native(failure)}
  end

  @doc """
  Sends a message and waits for the first answer, so many milliseconds at most. That nobody listens
  is an error at once. Blocks the calling process.
  """
  @spec request(reference(), String.t(), binary(), non_neg_integer()) ::
          {:ok, binary()} | {:error, Error.t()}
  def request(lattice, subject, payload, timeout) do
    Answer.await(
      &Native.lattice_request(lattice, subject, payload, timeout, &1),
      timeout + @grace
    )
  end

  @doc """
  Sends a message and gives all answers that come within so many milliseconds, `most` at the most,
  which end the wait. Blocks the calling process.
  """
  @spec gather(reference(), String.t(), binary(), non_neg_integer(), non_neg_integer()) ::
          {:ok, [binary()]} | {:error, Error.t()}
  def gather(lattice, subject, payload, within, most) do
    Answer.await(
      &Native.lattice_gather(lattice, subject, payload, within, most, &1),
      within + @grace
    )
  end

  @doc """
  Listens to a subject, which may have wildcards, for the calling process; of those in one group one
  gets each message. It lasts through every outage; what is sent meanwhile is lost.
  """
  @spec subscribe(reference(), String.t(), String.t() | nil) :: {:ok, t()} | {:error, Error.t()}
  def subscribe(lattice, subject, group \\ nil) do
    reference = make_ref()
    subscribe = &Native.lattice_subscribe(lattice, subject, group, reference, &1)

    with {:ok, inlet} <- Answer.await(subscribe, @grace),
         do: {:ok, %__MODULE__{inlet: inlet, reference: reference}}
  end

  @doc "Asks for the next message. The first is sent without."
  @spec next(t()) :: :ok
  def next(%__MODULE__{inlet: inlet}), do: Native.lattice_next(inlet)

  @doc "Ends a subscription; it ends with its process, too."
  @spec unsubscribe(t()) :: :ok
  def unsubscribe(%__MODULE__{inlet: inlet}), do: Native.lattice_unsubscribe(inlet)
end
