defmodule Exosuit.Edge.PeerMonitor do
  @moduledoc """
  Receives the heartbeats of the other hosts of the lattice, of either generation, and stores the hosts in
  `Exosuit.Lattice.Peers`. A host that misses two heartbeats is lost. Also announces changes of the shared links
  by other programs: if no host has announced a change for a while, the first host announces it.

  These heartbeats are wasmCloud's, and serve people, tools and calls: `Exosuit.hosts/1`, the names of hosts in
  messages, and whether calls may carry a MAC. Other beats decide where applications run (`Exosuit.App.Beat`).

  ## Changes of links

  A program may write a link into the shared bucket and announce nothing. Tools that follow events would miss it. So
  each host that sees such a change by its watch may have to announce it, but one of them only:

      link_applied on this host ──► is it the first host, by id? ──► waits 10 s ──► announces linkdef_set
                                                                       │
                    linkdef_set heard in the meantime, or just before ─┴──► nothing to do

  An event may arrive before this host has applied the change. Therefore the changes that were heard of are remembered
  for 10 s as well (`told`).

  ## Bounds

  - 1 000 concurrent changes in each direction. Of more, some are announced twice or not at all, which does no harm
  - the table of hosts has its own bounds. A host beyond them is ignored, and one event `hosts_ignored` says so until
    there is room again

  Everybody who reaches the NATS servers can send heartbeats. They decide what people see, whether a MAC is tried, and
  which host announces a change. The data plane checks each call by itself.
  """

  use Exosuit.Server

  alias Exosuit.{Directory, Event, Instance, Lattice}
  alias Exosuit.Lattice.{Bus, Peers, Session}
  alias Exosuit.Protocol.Events

  @enforce_keys [:instance]
  defstruct [:instance, subscriptions: %{}, untold: %{}, told: %{}, ignoring?: false, macs?: nil]

  # The time in which the host that made a change announces it.
  @timeout 10_000

  # The number of concurrent changes that are tracked. If there are more, some may be announced twice or not at all.
  # The same holds for a link whose names are longer than hosts accept.
  @max_entries 1_000

  @links ~w(linkdef_set linkdef_deleted)
  @links_here %{"link_applied" => "linkdef_set", "link_removed" => "linkdef_deleted"}

  @doc "Starts the process of a host in a lattice of several hosts. It subscribes after its start, and does not wait."
  @spec start_link(Instance.t()) :: GenServer.on_start()
  def start_link(instance) do
    GenServer.start_link(__MODULE__, instance, name: Directory.via(instance.name, __MODULE__))
  end

  @doc "Passes on an event of this host about a changed link. Does not wait."
  @spec notice(Instance.t(), Exosuit.Event.t()) :: :ok
  def notice(instance, %{type: type} = event) when is_map_key(@links_here, type) do
    GenServer.cast(
      Directory.via(instance.name, __MODULE__),
      {:changed, @links_here[type], event.data}
    )
  end

  def notice(_instance, _event), do: :ok

  @impl GenServer
  def init(instance), do: {:ok, %__MODULE__{instance: instance}, {:continue, :listen}}

  @impl GenServer
  def handle_continue(:listen, %{instance: instance} = state) do
    subject = "wasmbus.evt." <> instance.config.lattice

    subscriptions =
      for subject <- [subject, subject <> ".>"], into: %{} do
        {:ok, subscription} = Bus.subscribe(instance.lattice, subject)
        {subscription.reference, subscription}
      end

    look_around(instance)
    {:noreply, take_macs(%{state | subscriptions: subscriptions}, Peers.macs?(instance))}
  end

  @impl GenServer
  def handle_cast({:changed, type, link}, state) do
    key = {type, link_id(link)}

    if Peers.first?(state.instance) and not is_map_key(state.told, key) and
         map_size(state.untold) < @max_entries do
      Process.send_after(self(), {:tell, key}, @timeout)
      {:noreply, put_in(state.untold[key], link)}
    else
      {:noreply, state}
    end
  end

  @impl GenServer
  def handle_info({:exosuit_lattice, reference, {_subject, _reply_to, payload}}, state)
      when is_map_key(state.subscriptions, reference) do
    state = hear(state, Events.decode(payload))
    :ok = Bus.next(Map.fetch!(state.subscriptions, reference))
    {:noreply, state}
  end

  def handle_info(:look_around, %{instance: instance} = state) do
    for peer <- Peers.overdue(instance, now()) do
      Peers.forget(instance, peer.host_id)
      lost = %Event.HostLost{host_id: peer.host_id, friendly_name: peer.friendly_name}
      Lattice.announce(instance, lost)
    end

    look_around(instance)
    {:noreply, take_macs(state, Peers.macs?(instance))}
  end

  def handle_info({:tell, {type, _id} = key}, state) do
    {link, untold} = Map.pop(state.untold, key)
    if link, do: Lattice.announce(state.instance, event(type, link))
    {:noreply, %{state | untold: untold}}
  end

  def handle_info({:forget, key}, state) do
    {:noreply, %{state | told: Map.delete(state.told, key)}}
  end

  defp event("linkdef_set", link), do: Event.LinkdefSet.new(link)
  defp event("linkdef_deleted", link), do: Event.LinkdefDeleted.new(link)

  defp hear(state, {:ok, type, source, data}), do: hear(state, type, source, data)
  defp hear(state, :error), do: state

  defp hear(state, type, _source, data) when type in @links do
    case Events.link_key(data) do
      {:ok, id} -> told(state, {type, id})
      :error -> state
    end
  end

  # Ignores this host's own events, and events without a valid source.
  defp hear(%{instance: %{source: source}} = state, _type, source, _data), do: state
  defp hear(state, _type, nil, _data), do: state

  defp hear(state, "host_stopped", source, _data) do
    Peers.forget(state.instance, source)
    state
  end

  defp hear(state, type, source, data) when type in ~w(host_heartbeat host_started) do
    heartbeat = Events.heartbeat(data)
    heard = Peers.hear(state.instance, source, heartbeat, now())
    state = if heartbeat[:mac], do: take_macs(state, true), else: state
    if heard == :ok, do: %{state | ignoring?: false}, else: ignore(state, source)
  end

  defp hear(state, _other, _source, _data), do: state

  defp ignore(%{ignoring?: false} = state, source) do
    Lattice.announce(state.instance, %Event.HostsIgnored{
      host_id: source,
      max: Peers.max(),
      max_bytes: Peers.max_bytes()
    })

    %{state | ignoring?: true}
  end

  defp ignore(state, _source), do: state

  # Calls may carry a MAC if any other host accepts that. The data plane probes whether the hosts of a target do.
  defp take_macs(%{macs?: macs?} = state, macs?), do: state

  defp take_macs(state, macs?) do
    :ok = Session.take_macs(state.instance.lattice, macs?)
    %{state | macs?: macs?}
  end

  # The event may arrive before this host has applied the change.
  defp told(state, key) do
    if map_size(state.told) < @max_entries do
      Process.send_after(self(), {:forget, key}, @timeout)
      %{state | untold: Map.delete(state.untold, key), told: Map.put(state.told, key, true)}
    else
      %{state | untold: Map.delete(state.untold, key)}
    end
  end

  defp link_id(link), do: {link.source, "#{link.namespace}:#{link.package}", link.name}

  # The interval is short enough for hosts with the same heartbeat interval as this host.
  defp look_around(instance) do
    Process.send_after(self(), :look_around, min(instance.config.nats.heartbeat_interval, 10_000))
  end

  defp now, do: System.monotonic_time(:millisecond)
end
