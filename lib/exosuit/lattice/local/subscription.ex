defmodule Exosuit.Lattice.Local.Subscription do
  @moduledoc """
  A subscription of the local bus: a process that is linked to the subscriber, and sends it one message at a time.

  The process has the queue that a mailbox must not be: bounded, and outside the subscriber. It holds 4 096 messages or
  16 MiB at most, as over NATS; an empty queue accepts a message of any size. If the subscriber is slow and the queue is
  full, messages are lost. The event `lattice_slow_consumer` reports that, once until the subscriber has caught up.

      sender ── put/2 ──► queue ── `{:exosuit_lattice, reference, message}` ──► subscriber
                            ▲                                                       │
                            └──────────────────── next/1 ───────────────────────────┘

  It ends with its subscriber, for any reason of its end. Its crash ends the subscriber through the link.
  """

  use Exosuit.Server, restart: :temporary, hides_state: true

  alias Exosuit.Event
  alias Exosuit.Lattice.Events
  alias Exosuit.Lattice.Local.Handle
  alias Exosuit.Registries

  # As `exosuit_core` has it for subscriptions over NATS.
  @max_messages 4_096
  @max_bytes 16_777_216

  @enforce_keys [:owner, :reference, :handle, :key, :value]
  defstruct [
    :owner,
    :reference,
    :handle,
    :key,
    :value,
    queue: :queue.new(),
    count: 0,
    bytes: 0,
    behind?: false,
    wanted?: true
  ]

  @typedoc "A message as the subscriber gets it."
  @type message :: {subject :: String.t(), reply_to :: String.t() | nil, payload :: binary()}

  @doc """
  Starts a subscription for the calling process, registered under this key with this value. It has messages as soon as
  this function returns.
  """
  @spec start_link(Handle.t(), term(), term(), reference()) :: GenServer.on_start()
  def start_link(handle, key, value, reference) do
    GenServer.start_link(__MODULE__, %__MODULE__{
      owner: self(),
      reference: reference,
      handle: handle,
      key: key,
      value: value
    })
  end

  @doc "Queues a message. Does not wait."
  @spec put(pid(), message()) :: :ok
  def put(subscription, message) do
    send(subscription, {:message, message})
    :ok
  end

  @impl GenServer
  def init(state) do
    Process.monitor(state.owner)
    {:ok, _owner} = Registries.register(Registries.subscribers(), state.key, state.value)
    {:ok, state}
  end

  @impl GenServer
  def handle_cast(:next, state), do: {:noreply, send_next(%{state | wanted?: true})}

  def handle_cast(:stop, state) do
    # Unlinked, so that an owner that traps exits gets no message.
    Process.unlink(state.owner)
    {:stop, :normal, state}
  end

  @impl GenServer
  def handle_info({:message, message}, state),
    do: {:noreply, state |> enqueue(message) |> send_next()}

  def handle_info({:DOWN, _monitor, :process, owner, _reason}, %{owner: owner} = state),
    do: {:stop, :normal, state}

  # An empty queue accepts a message of any size.
  defp enqueue(state, message) do
    bytes = state.bytes + size(message)

    if state.count == @max_messages or (state.count > 0 and bytes > @max_bytes),
      do: fall_behind(state),
      else: %{
        state
        | queue: :queue.in(message, state.queue),
          count: state.count + 1,
          bytes: bytes
      }
  end

  defp fall_behind(%{behind?: true} = state), do: state

  defp fall_behind(state) do
    Events.announce(state.handle, %Event.LatticeSlowConsumer{connection: "local"})
    %{state | behind?: true}
  end

  defp send_next(%{wanted?: false} = state), do: state
  defp send_next(%{count: 0} = state), do: %{state | behind?: false}

  defp send_next(state) do
    {{:value, message}, queue} = :queue.out(state.queue)
    send(state.owner, {:exosuit_lattice, state.reference, message})
    bytes = state.bytes - size(message)
    %{state | queue: queue, count: state.count - 1, bytes: bytes, wanted?: false}
  end

  defp size({subject, reply_to, payload}),
    do: byte_size(subject) + byte_size(reply_to || "") + byte_size(payload)
end
