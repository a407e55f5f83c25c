defmodule Exosuit.Lattice.Nats do
  @moduledoc """
  The lattice of many hosts, over NATS.

  A host has two connections, one for commands, events and shared state, and one for calls, so that neither waits
  for the other. Both are made in the background, and made again when they are lost. Without a connection, a host
  keeps running its actors and providers. `state/1` and events report the state of the connections.

  The connections are in Rust (`exosuit_lattice`). This module has no process: a function hands its request over, and
  waits for the one message that answers it.

  This module is a backend of `Exosuit.Lattice.Bus`, over the first connection, and of `Exosuit.Lattice.Store`, whose
  buckets and objects are in JetStream:

  | what | stream |
  |---|---|
  | `:data` | `KV_LATTICEDATA_<lattice>` |
  | `:configurations` | `KV_CONFIGDATA_<lattice>` |
  | `:applications` | `KV_exosuit_<lattice>` |
  | objects | `OBJ_exosuit_<lattice>_objects` |

  A heartbeat that is too large for a message is sent with counts in place of lists, so that the host does not count
  as lost. The event `heartbeat_shortened` reports this once, until heartbeats fit again.

  ## Limits of time

  | what | milliseconds |
  |---|---|
  | opening and closing the session | 60 000 |
  | a request or a gathering | as asked for, and 5 000 for the library |
  | a key of the store, a watch, a position | 30 000 |
  | an object | 600 000 |

  ## Events

  Each event is published on `wasmbus.evt.<lattice>` in the form of the OTP era, and on
  `wasmbus.evt.<lattice>.<name>` in that of 1.x. An event that cannot be sent is lost: the next heartbeat has the
  present state. `lost_events` of the instance is a `:counters` reference with three places: the number of lost
  events, whether the host has had a connection, and whether its last heartbeat was shortened.
  """
  @behaviour Exosuit.Lattice
  @behaviour Exosuit.Lattice.Backend

  alias Exosuit.{Config, Error, Event, Instance, Json, Native, Secret}
  alias Exosuit.Lattice.{Backend, Events, Session}
  alias Exosuit.Native.Answer
  alias Exosuit.Protocol.{Envelope, Otp, V1}

  @typedoc "See `t:Exosuit.Lattice.Backend.connection/0`."
  @type connection_state :: :connected | :closed | {:connecting, Error.t() | nil}

  # The pause between two looks at a connection that is being made.
  @look 10

  # The options of a connection whose text stays in the data plane.
  @secrets [:servers, :seed, :jwt, :password, :token]

  # The timeout of work that does not wait for a server.
  @timeout 60_000

  # The time of the library itself, beyond the time of an answer.
  @grace 5_000

  # The longest time of a server's answer, and of an answer with an object, which may be large.
  @store_timeout 30_000
  @object_timeout 600_000

  @heartbeat "com.wasmcloud.lattice.host_heartbeat"

  @doc """
  Joins the lattice that the configuration names, as the host with this public key. Blocks the calling process while
  the options are checked. The configuration must have the cluster's key (`keep_secrets/1`).

  Does not wait for the servers. The error is that of an option: an address or a key of another form, for example.
  """
  @spec open(Config.t(), String.t(), reference()) :: {:ok, reference()} | {:error, Error.t()}
  def open(%Config{nats: nats} = config, public_key, router) do
    settings = %{
      lattice: config.lattice,
      host_key: public_key,
      cluster_seed: Secret.handle_of(nats.cluster_seed),
      accepted_cluster_seed: Secret.handle_of(nats.accepted_cluster_seed),
      cluster_issuers: nats.cluster_issuers,
      domain: nats.domain,
      replicas: nats.replicas,
      state_max_bytes: nats.state_max_bytes,
      reserved: [nats.prefix],
      control: handles(nats.control),
      rpc: handles(nats.rpc)
    }

    Answer.await(&Native.lattice_open(router, settings, &1), @timeout)
  end

  @doc """
  Moves the secrets of a configuration into the data plane. Makes a key of the cluster if none is given; other
  hosts then accept no calls of this host. Reads the files of the secrets, in the calling process.
  """
  @spec keep_secrets(Config.Nats.t()) :: {:ok, Config.Nats.t()} | {:error, Error.t()}
  def keep_secrets(nats) do
    with {:ok, control} <- keep(nats.control),
         {:ok, rpc} <- keep(nats.rpc),
         {:ok, cluster_seed} <- cluster_seed(nats.cluster_seed),
         {:ok, accepted} <- keep_one(nats.accepted_cluster_seed),
         {:ok, host_seed} <- keep_one(nats.host_seed) do
      seeds = %{cluster_seed: cluster_seed, accepted_cluster_seed: accepted, host_seed: host_seed}
      {:ok, struct!(nats, Map.merge(seeds, %{control: control, rpc: rpc}))}
    end
  end

  @doc "The states of the connections."
  @spec state(reference()) :: %{control: connection_state(), rpc: connection_state()}
  def state(lattice) do
    {control, rpc} = Native.lattice_state(lattice)
    %{control: words(control), rpc: words(rpc)}
  end

  @doc """
  Waits for the outcome of the first attempt to connect, for a bounded time, so that requests right after the start do
  not fail. Blocks the calling process, which looks at the state every 10 ms.
  """
  @impl Backend
  def await_first(lattice, %Config{nats: nats}) do
    # An attempt that has not ended has no error yet.
    pending? = &(&1 == {:connecting, nil})
    await(lattice, now() + nats.control.connect_timeout, pending?)
  end

  @impl Backend
  def adopt(lattice), do: lattice

  @impl Backend
  def children(_lattice), do: []

  @impl Backend
  def started(_lattice), do: :ok

  @impl Backend
  def connections(lattice), do: state(lattice)

  @impl Backend
  def refused_calls(lattice), do: lattice |> Native.lattice_refused() |> Map.new()

  @impl Backend
  def take_macs(lattice, others_do?), do: Native.lattice_take_macs(lattice, others_do?)

  @doc "Sends queued messages, and closes the connections. Blocks the calling process."
  @spec close(reference()) :: :ok
  def close(lattice) do
    _late = Answer.await(&Native.lattice_close(lattice, &1), @timeout)
    :ok
  end

  @impl Exosuit.Lattice
  def take_lost(%Instance{lost_events: counter}) do
    lost = :counters.get(counter, 1)
    :counters.sub(counter, 1, lost)
    lost
  end

  @impl Exosuit.Lattice
  def first_connection?(%Instance{lost_events: counter}) do
    set(counter, 2, 1) == 0
  end

  @impl Exosuit.Lattice
  def publish(instance, event) do
    Events.publish(instance, event)

    # There is no connection yet when a host starts: `Exosuit.Edge.Heartbeat` announces the start later.
    if event.type == "host_started", do: :ok, else: publish_remote(instance, event)
  end

  # Events that cannot be sent at once are lost and counted: the next heartbeat has the present state.
  @impl Exosuit.Lattice
  def publish_remote(instance, event) do
    subject = "wasmbus.evt." <> instance.config.lattice

    messages =
      Enum.map(Otp.Events.encode(event), &{subject, &1}) ++
        Enum.map(V1.Events.encode(event), fn {name, message} ->
          {"#{subject}.#{name}", message}
        end)

    sent = Enum.map(messages, fn {subject, message} -> send_one(instance, subject, message) end)
    unless Enum.all?(sent), do: :counters.add(instance.lost_events, 1, 1)
    if event.type == "host_heartbeat", do: tell_shortened(instance, event, sent)
    :ok
  end

  @impl Exosuit.Lattice
  def leave(instance), do: close(instance.lattice.handle)

  @impl Backend
  def max_payload(lattice), do: Native.lattice_max_payload(lattice)

  @impl Backend
  def capabilities, do: [:others, :commands]

  @impl Backend
  def connection(lattice), do: state(lattice).control

  @impl Backend
  def connected?(lattice), do: state(lattice).control == :connected

  @impl Backend
  def publish(lattice, subject, payload) do
    publish = fn -> Native.lattice_publish(lattice, subject, payload) end

    with {:error, failure} <- Answer.checked(publish),
         do: {:error, Error.from_native(failure)}
  end

  @impl Backend
  def request(lattice, subject, payload, timeout) do
    Answer.await(
      &Native.lattice_request(lattice, subject, payload, timeout, &1),
      timeout + @grace
    )
  end

  @impl Backend
  def gather(lattice, subject, payload, within, max) do
    Answer.await(
      &Native.lattice_gather(lattice, subject, payload, within, max, &1),
      within + @grace
    )
  end

  @impl Backend
  def subscribe(lattice, subject, group, reference) do
    Answer.await(&Native.lattice_subscribe(lattice, subject, group, reference, &1), @grace)
  end

  @impl Backend
  def next(inlet), do: Native.lattice_next(inlet)

  @impl Backend
  def cancel(inlet), do: Native.lattice_unsubscribe(inlet)

  @impl Backend
  def prepare(lattice), do: ask(&Native.lattice_prepare(lattice, &1))

  @impl Backend
  def read(lattice, bucket, key), do: ask(&Native.lattice_get(lattice, bucket, key, &1))

  @impl Backend
  def compare_and_set(lattice, bucket, key, value, revision),
    do: ask(&Native.lattice_update(lattice, bucket, key, value, revision, &1))

  @impl Backend
  def delete(lattice, bucket, key) do
    with {:ok, _done} <- ask(&Native.lattice_delete(lattice, bucket, key, &1)), do: :ok
  end

  @impl Backend
  def remove(lattice, bucket, key, revision),
    do: ask(&Native.lattice_remove(lattice, bucket, key, revision, &1))

  @impl Backend
  def watch(lattice, bucket, reference),
    do: ask(&Native.lattice_watch(lattice, bucket, reference, &1))

  @impl Backend
  def position(lattice, bucket) do
    with {:ok, {identity, revision}} <- ask(&Native.lattice_position(lattice, bucket, &1)),
         do: {:ok, %{identity: identity, revision: revision}}
  end

  @impl Backend
  def put_object(lattice, bytes),
    do: Answer.await(&Native.lattice_put_object(lattice, bytes, &1), @object_timeout)

  @impl Backend
  def get_object(lattice, digest),
    do: Answer.await(&Native.lattice_get_object(lattice, digest, &1), @object_timeout)

  @impl Backend
  def delete_object(lattice, digest) do
    with {:ok, _was_there?} <- ask(&Native.lattice_delete_object(lattice, digest, &1)), do: :ok
  end

  @impl Backend
  def objects(lattice) do
    with {:ok, rows} <- ask(&Native.lattice_list_objects(lattice, &1)) do
      {:ok, for({digest, size, at} <- rows, do: %{digest: digest, size: size, at: at})}
    end
  end

  defp ask(fun), do: Answer.await(fun, @store_timeout)

  defp keep(connection) do
    connection = Map.update!(connection, :servers, &one_text/1)

    Enum.reduce_while(@secrets, {:ok, connection}, fn key, {:ok, connection} ->
      case keep_one(connection[key]) do
        {:ok, secret} -> {:cont, {:ok, %{connection | key => secret}}}
        error -> {:halt, error}
      end
    end)
  end

  defp keep_one(nil), do: {:ok, nil}
  defp keep_one(source), do: Secret.new(source)

  defp one_text(servers) when is_list(servers), do: Enum.join(servers, ",")
  defp one_text(secret), do: secret

  defp cluster_seed(nil) do
    with {:ok, {_public_key, seed}} <- Secret.generate("cluster"), do: {:ok, seed}
  end

  defp cluster_seed(source) do
    with {:ok, seed} <- Secret.new(source),
         {:ok, _public_key} <- Secret.public_key(seed, "cluster"),
         do: {:ok, seed}
  end

  defp handles(connection) do
    Enum.reduce(@secrets, connection, &Map.update!(&2, &1, fn it -> Secret.handle_of(it) end))
  end

  defp await(lattice, until, pending?) do
    if pending?.(state(lattice).control) and now() < until do
      receive do
      after
        @look -> await(lattice, until, pending?)
      end
    else
      :ok
    end
  end

  defp now, do: System.monotonic_time(:millisecond)

  # Returns whether the message was sent, or need not be sent; `:short` for a heartbeat without its lists.
  defp send_one(instance, subject, message) do
    case Json.encode(message) do
      {:ok, text} -> send_text(instance, subject, message, text)
      # Names that guests or manifests give need not be valid text.
      {:error, _no_text} -> true
    end
  end

  defp send_text(%{lattice: %Session{handle: lattice}}, subject, message, text) do
    with true <- byte_size(text) > max_payload(lattice),
         %{type: @heartbeat} <- message,
         {:ok, short} <- Json.encode(Envelope.shorten(message)) do
      publish(lattice, subject, short) == :ok and :short
    else
      _sent_as_it_is -> publish(lattice, subject, text) == :ok
    end
  end

  # Announced once, until heartbeats have their lists again.
  defp tell_shortened(instance, event, sent) do
    short? = :short in sent
    before = set(instance.lost_events, 3, if(short?, do: 1, else: 0))

    if short? and before == 0 do
      Exosuit.Lattice.announce(instance, %Event.HeartbeatShortened{
        max_payload: max_payload(instance.lattice.handle),
        count: length(event.data.actors)
      })
    end
  end

  defp set(counter, index, value) do
    before = :counters.get(counter, index)
    :counters.put(counter, index, value)
    before
  end

  defp words({:connecting, {:error, failure}}), do: {:connecting, Error.from_native(failure)}
  defp words(state), do: state
end
