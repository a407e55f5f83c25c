defmodule Exosuit.Lattice.OutageTest do
  # The servers go away under load, as a power cut would have it, and come back: for a moment, and for
  # as many heartbeats as ten minutes have.
  use Exosuit.HostCase, async: true

  alias Exosuit.Directory

  @moduletag timeout: 300_000

  # Milliseconds; a host has one every 30 s otherwise.
  @heartbeat 250
  @heartbeats_of_ten_minutes 20

  # What a caller waits between two calls: there are others on this machine.
  @pace 1

  # Far more than a call that fails at once may take.
  @timeout 60_000
  @timeout 120_000

  # Of single calls, and, once a second at most, how many of these were not told.
  @frequent ["invocation_failed", "notices_dropped"]

  setup do
    server = Exosuit.Nats.start!()
    {:ok, {_public_key, seed}} = Exosuit.Claims.generate_key("cluster")
    compressed = [cluster_seed: seed, reconnect_delay: 100, heartbeat_interval: @heartbeat]
    # A machine that is slow to answer is not a connection that is lost.
    options = Exosuit.Nats.options(server, [ping_interval: 60_000] ++ compressed)
    [one, two] = for _ <- 1..2, do: start_supervised_host!(nats: options)
    start_actor!(one, "here", "echo")
    start_actor!(two, "there", "echo")
    assert eventually(fn -> match?({:ok, _}, Exosuit.call(one, "there", "echo", "")) end)
    assert eventually(fn -> together?(one, two) and together?(two, one) end)
    %{server: server, one: one, two: two}
  end

  test "a moment without servers", it do
    suffer(it, fn -> :ok end)
  end

  test "ten minutes without servers, compressed", it do
    suffer(it, fn ->
      Process.send_after(self(), :ten_minutes, @heartbeat * @heartbeats_of_ten_minutes)
      assert_receive :ten_minutes, @timeout
      for host <- [it.one, it.two], do: assert_receive({^host, "host_lost"}, @timeout)
    end)
  end

  # An outage under load that lasts as long as `meanwhile` takes.
  defp suffer(%{one: one, two: two} = it, meanwhile) do
    assert :ok = Exosuit.put_link(one, link("before"))
    for host <- [one, two], do: listen(host)
    local = for _ <- 1..3, do: caller(one, "here")
    remote = for _ <- 1..3, do: caller(one, "there")
    await_calls(local ++ remote, :ok, 50)

    server = Exosuit.Nats.kill(it.server)
    await_changes([one, two], "lattice_disconnected")
    await_calls(remote, :unavailable, 50)
    meanwhile.()
    assert {:error, %Error{reason: :unavailable}} = Exosuit.put_link(one, link("meanwhile"))
    forget_calls()
    # Each of them would take a minute, were it not refused at once.
    await_calls(remote, :unavailable, 50)
    await_calls(local, :ok, 50)

    flood = Task.async(fn -> flood(one, "there") end)
    Exosuit.Nats.restart!(server)
    await_changes([one, two], "lattice_connected")
    :stopped = finish(flood)
    forget_calls()
    await_calls(local ++ remote, :ok, 50)

    for task <- local, do: assert(finish(task) == [:ok])
    for task <- remote, do: assert(Enum.sort(finish(task)) == [:ok, :unavailable])
    agree(one, two)
    assert eventually(fn -> together?(one, two) and together?(two, one) end)
    quiet([one, two])
  end

  # What was acknowledged is there, what is new reaches the other side, and what was refused is not.
  defp agree(one, two) do
    assert eventually(fn -> Exosuit.put_link(one, link("after-one")) == :ok end)
    assert eventually(fn -> Exosuit.put_link(two, link("after-two")) == :ok end)
    names = ["after-one", "after-two", "before"]
    for host <- [one, two], do: assert(eventually(fn -> links(host) == names end))
  end

  # Both connections of each host, whatever else there is to tell.
  defp await_changes(hosts, change) do
    for host <- hosts, _ <- 1..2, do: assert_receive({^host, ^change}, @timeout)
  end

  # Each change of a connection was told once, however often the hosts tried, and whatever failed.
  defp quiet(hosts) do
    told = told()

    # Of a machine that is slow, hosts are missed and come back; and what is lost is told each time.
    often = ["host_lost", "events_dropped"]
    told = Enum.reject(told, fn {_host, type} -> type in often end)
    for host <- hosts, do: assert(Enum.count(told, &match?({^host, _type}, &1)) < 30)

    changes = ["lattice_disconnected", "lattice_connected"]
    assert [] == for({_host, type} <- told, type in changes, do: type)
  end

  defp link(name) do
    [source: "here", target: "there", contract: "test:calls", name: name]
  end

  defp links(host), do: host |> Exosuit.links() |> Enum.map(& &1.name) |> Enum.sort()

  defp together?(host, other) do
    key = Directory.fetch!(other, :instance).source
    Enum.any?(Exosuit.hosts(host), &(&1.host_id == key))
  end

  # Calls one after the other, and says how each went.
  defp caller(host, actor) do
    test = self()
    Task.async(fn -> call(host, actor, test, MapSet.new()) end)
  end

  defp call(host, actor, test, seen) do
    receive do
      :stop -> MapSet.to_list(seen)
    after
      @pace ->
        outcome = outcome(Exosuit.call(host, actor, "echo", "", timeout: @timeout))
        send(test, {:called, self(), outcome})
        call(host, actor, test, MapSet.put(seen, outcome))
    end
  end

  # As fast as it goes, so that more fails than can be told.
  defp flood(host, actor) do
    receive do
      :stop -> :stopped
    after
      0 ->
        Exosuit.call(host, actor, "echo", "", timeout: @timeout)
        flood(host, actor)
    end
  end

  defp outcome({:ok, ""}), do: :ok
  defp outcome({:error, %Error{reason: reason}}), do: reason

  defp finish(task) do
    send(task.pid, :stop)
    Task.await(task, @timeout)
  end

  defp await_calls(tasks, outcome, count) do
    for %{pid: pid} <- tasks, _ <- 1..count do
      assert_receive {:called, ^pid, ^outcome}, @timeout
    end
  end

  defp forget_calls do
    receive do
      {:called, _pid, _outcome} -> forget_calls()
    after
      0 -> :ok
    end
  end

  # Events of a host, under its name.
  defp listen(host) do
    test = self()

    start_supervised!(
      {Task,
       fn ->
         Exosuit.subscribe(host)
         send(test, {:listening, host})
         tell(host, test)
       end},
      id: {:listener, host}
    )

    assert_receive {:listening, ^host}, @timeout
  end

  defp tell(host, test) do
    receive do
      {:exosuit_event, %{type: type}} ->
        if type not in @frequent, do: send(test, {host, type})
        tell(host, test)
    end
  end

  defp told do
    receive do
      {host, type} when is_atom(host) and is_binary(type) -> [{host, type} | told()]
    after
      0 -> []
    end
  end
end
