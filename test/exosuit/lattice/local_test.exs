defmodule Exosuit.Lattice.LocalTest do
  # Subscribers that do not read.
  use Exosuit.HostCase, async: true

  alias Exosuit.Edge.{EventForwarder, EventLogger}
  alias Exosuit.{Directory, Lattice}
  alias Exosuit.Event.RecordsRefused

  @max_entries 10_000

  test "a subscriber that does not read has a bounded mailbox, and is told what it missed" do
    host = start_supervised_host!()
    instance = Directory.fetch!(host, :instance)
    reader = reader(host)
    :ok = :sys.suspend(reader)
    for n <- 1..(@max_entries + 500), do: Lattice.announce(instance, %RecordsRefused{count: n})

    assert {:message_queue_len, waiting} = Process.info(reader, :message_queue_len)
    assert waiting in @max_entries..(@max_entries + 1)

    :ok = :sys.resume(reader)
    read = Agent.get(reader, & &1, 60_000)
    assert Enum.map(read, & &1.data.count) == Enum.to_list(length(read)..1//-1)

    :ok = Lattice.announce(instance, %RecordsRefused{count: 0})

    assert [%{data: %{count: 0}}, %{type: "events_dropped"} = dropped | ^read] =
             Agent.get(reader, & &1)

    assert dropped.data == %{count: @max_entries + 500 - length(read), subscriber: true}
  end

  test "others get every event meanwhile" do
    host = start_supervised_host!()
    instance = Directory.fetch!(host, :instance)
    deaf = reader(host)
    :ok = :sys.suspend(deaf)
    hears = reader(host)

    for n <- 1..(2 * @max_entries) do
      :ok = Lattice.announce(instance, %RecordsRefused{count: n})
      # It reads as fast as it is sent.
      if rem(n, 1_000) == 0, do: Agent.get(hears, fn _read -> :ok end, 60_000)
    end

    assert length(Agent.get(hears, & &1, 60_000)) == 2 * @max_entries
  end

  test "a log that nobody reads holds up no event, and no mailbox grows without bound" do
    host = start_supervised_host!(actors: [faults: "faults"])
    :ok = Exosuit.subscribe(host)
    logger = GenServer.whereis(Directory.via(host, EventLogger))
    announcer = GenServer.whereis(Directory.via(host, EventForwarder))
    :ok = :sys.suspend(logger)

    assert {:error, %Error{reason: :trap}} = Exosuit.call(host, "faults", "trap", "")
    assert_receive {:exosuit_event, %{type: "invocation_failed"}}, 5_000

    for n <- 1..20_000 do
      send(announcer, {:exosuit_notice, {:log, "faults", :debug, "line #{n}"}})
    end

    # It has read them all.
    assert %EventForwarder{dropped: dropped} = :sys.get_state(announcer, 60_000)
    assert dropped > 10_000
    assert {:message_queue_len, waiting} = Process.info(logger, :message_queue_len)
    assert waiting <= @max_entries + 1
    :ok = :sys.resume(logger)
    assert %EventLogger{} = :sys.get_state(logger, 60_000)
  end

  # An agent that keeps the events that it reads, the last first.
  defp reader(host) do
    reader = start_supervised!({Exosuit.Lattice.LocalTest.Reader, host}, id: make_ref())
    # It has subscribed.
    Agent.get(reader, & &1)
    reader
  end

  defmodule Reader do
    @moduledoc "Keeps the events that it reads; asked as an agent is."
    use GenServer

    def start_link(host), do: GenServer.start_link(__MODULE__, host)

    @impl GenServer
    def init(host) do
      :ok = Exosuit.subscribe(host)
      {:ok, []}
    end

    @impl GenServer
    def handle_call({:get, fun}, _from, read), do: {:reply, fun.(read), read}

    @impl GenServer
    def handle_info({:exosuit_event, event}, read), do: {:noreply, [event | read]}
  end
end
