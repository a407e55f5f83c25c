defmodule Exosuit.Bench.Heartbeats do
  @moduledoc false
  # What a host has to do that hears the heartbeats of many others: how long this process works on each,
  # all threads together, and what it keeps of each. The heartbeats are such as this host sends itself,
  # in the words of either generation, with other names; they come all at once, and none may be lost.

  alias Exosuit.Bench.{Floor, Lattice, Measure, Nats, Row}
  alias Exosuit.Directory
  alias Exosuit.Lattice.{Bus, Peers}

  @hosts 1_000
  @actors 10
  @lattice "crowd"
  @subject "wasmbus.evt." <> @lattice

  # What the rows tell of beside.
  @many 10_000
  @interval 30

  @spec rows(Floor.t(), Nats.t(), Path.t(), Path.t()) :: [Row.t()]
  def rows(floor, nats, echo, directory) do
    host = Lattice.host(__MODULE__, nats, nil, @lattice)
    for n <- 1..@actors, do: {:ok, _id} = Exosuit.start_actor(host, echo, id: "echo-#{n}")
    instance = Directory.fetch!(host, :instance)

    burst = fn subject ->
      file = Path.join(directory, subject)
      File.write!(file, crowd(heartbeat(instance, subject), instance.source))
      fn -> burst(instance, fn -> Floor.publish(floor, nats.url, subject, file) end) end
    end

    [otp, v1] = Enum.map([@subject, @subject <> ".host_heartbeat"], burst)
    before = memory(instance)
    otp.()
    kept = (memory(instance) - before) / 1_024 / @hosts
    [otp, v1] = Measure.medians([otp, v1])

    [
      row("a heartbeat of another host, OTP form", "µs of a core", otp),
      row("a heartbeat of another host, 1.x form", "µs of a core", v1),
      row("  of #{@many} hosts, in both forms", "% of a core", share(otp + v1)),
      row("another host, of #{@hosts}", "KiB", kept),
      row("  #{@many} of them", "MiB", kept * @many / 1_024)
    ]
  end

  defp row(name, unit, value), do: Row.new(name, unit, value, nil, nil)

  defp share(microseconds), do: microseconds * @many / @interval / 1_000_000 * 100

  # Microseconds for each.
  defp burst(instance, send) do
    begun = System.monotonic_time(:millisecond)
    # What a host says in the millisecond in which this begins would be taken for new.
    Lattice.await(fn -> System.monotonic_time(:millisecond) > begun end)
    before = worked()
    send.()
    Lattice.await(fn -> seen(instance, name(@hosts)) > begun end)
    worked = worked() - before
    true = Enum.all?(1..@hosts, &(seen(instance, name(&1)) > begun))
    worked / @hosts
  end

  defp seen(instance, host_id) do
    case Peers.get(instance, host_id) do
      nil -> -0x8000_0000_0000
      peer -> peer.seen
    end
  end

  # One of this host's own, as it comes out of the server.
  defp heartbeat(instance, subject) do
    {:ok, subscription} = Bus.subscribe(instance.lattice, subject)
    :ok = Exosuit.heartbeat(instance.name)
    payload = next(subscription)
    :ok = Bus.unsubscribe(subscription)
    payload
  end

  defp next(%{reference: reference} = subscription) do
    receive do
      {:exosuit_lattice, ^reference, {_subject, nil, payload}} ->
        if payload =~ "host_heartbeat" do
          payload
        else
          :ok = Bus.next(subscription)
          next(subscription)
        end
    after
      30_000 -> raise "the host has no heartbeat"
    end
  end

  defp crowd(heartbeat, own) do
    for n <- 1..@hosts, do: [String.replace(heartbeat, own, name(n)), ?\n]
  end

  # As long as a key.
  defp name(n), do: "N" <> String.pad_leading("#{n}", 55, "0")

  # Microseconds that all threads of this process have worked, as the scheduler of Linux counts.
  defp worked do
    Path.wildcard("/proc/self/task/*/schedstat")
    |> Enum.map(fn path -> path |> File.read!() |> Integer.parse() |> elem(0) end)
    |> Enum.sum()
    |> div(1_000)
  end

  # Bytes of the table of hosts, in which all of it is: no text is so long that it stands apart.
  defp memory(instance) do
    :ets.info(instance.tables.peers, :memory) * :erlang.system_info(:wordsize)
  end
end
