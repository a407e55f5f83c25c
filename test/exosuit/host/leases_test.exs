defmodule Exosuit.Host.LeasesTest do
  # Singletons on a host, which ends them when their leases end.
  use Exosuit.HostCase, async: true

  alias Exosuit.Directory
  alias Exosuit.Host.{Leases, Reconciler, Specifications}
  alias Exosuit.Model.ActorSpecification

  # A share of an application that has no record would be stopped.
  @lease {nil, "one"}

  setup do
    host = start_supervised_host!(actors: [other: "echo"])
    %{host: host, instance: Directory.fetch!(host, :instance)}
  end

  test "a singleton starts with its lease alone, and ends with it", it do
    assert {:error, %Error{reason: :unavailable, detail: detail}} = start(it)
    assert detail =~ "does not hold its lease"

    :ok = Leases.hold(it.instance, @lease, now() + 8_000)
    assert :ok = start(it)
    assert {:ok, "hi"} = Exosuit.call(it.host, "one", "op", "hi")
    {:ok, %{pid: pid}} = Exosuit.fetch_actor(it.host, "one")
    monitor = Process.monitor(pid)
    assert_receive {:DOWN, ^monitor, :process, _pid, :killed}, 20_000
    assert eventually(fn -> status(it) == :refused end)
    assert {:ok, "hi"} = Exosuit.call(it.host, "other", "op", "hi")

    :ok = Leases.hold(it.instance, @lease, now() + 60_000)
    assert eventually(fn -> Exosuit.call(it.host, "one", "op", "hi") == {:ok, "hi"} end)
  end

  test "is killed at the end of its lease, not before a renewed one ends", it do
    started = now()
    :ok = Leases.hold(it.instance, @lease, started + 8_000)
    assert :ok = start(it)
    {:ok, %{pid: pid}} = Exosuit.fetch_actor(it.host, "one")
    monitor = Process.monitor(pid)
    :ok = Leases.hold(it.instance, @lease, started + 9_000)
    assert_receive {:DOWN, ^monitor, :process, _pid, :killed}, 20_000
    assert now() - started >= 9_000
  end

  test "a lease is given back when the last process of the singleton has ended", it do
    assert :ok = Leases.end_singleton(it.instance, @lease)

    :ok = Leases.hold(it.instance, @lease, now() + 60_000)
    assert :ok = start(it)
    ended = Task.async(fn -> Leases.end_singleton(it.instance, @lease) end)
    assert Task.yield(ended, 200) == nil
    :ok = Exosuit.stop_actor(it.host, "one")
    assert Task.await(ended) == :ok
    # It is closed until it is held again.
    assert {:error, %Error{reason: :unavailable}} = start(it)
  end

  defp start(it) do
    {:ok, {other, _compiled}} = Specifications.fetch(it.instance, {:actor, "other"})
    one = %ActorSpecification{other | id: "one", singleton?: true}
    Reconciler.run(it.instance, one)
  end

  defp status(it) do
    case Exosuit.fetch_actor(it.host, "one") do
      {:ok, %{status: status}} -> status
      {:error, _gone} -> :gone
    end
  end

  defp now, do: System.monotonic_time(:millisecond)
end
