defmodule Exosuit.FaultsTest do
  # What a guest does wrong costs its own call, while another actor answers as if nothing were.
  use Exosuit.HostCase, async: true

  setup do
    %{host: start_supervised_host!(actors: [faults: "faults", echo: "echo", flood: "flood"])}
  end

  @faults [
    trap: {"trap", :trap},
    oob: {"oob", :trap},
    division: {"div", :trap},
    endless_loop: {"spin", :deadline},
    memory_hog: {"hog", :limit},
    deep_recursion: {"recurse", :limit},
    error_of_its_own: {"error", :guest}
  ]

  for {name, {operation, reason}} <- @faults do
    test "#{name}: it costs one call, and others are answered meanwhile", %{host: host} do
      faults = for _ <- 1..8, do: Task.async(fn -> fault(host, unquote(operation)) end)

      for n <- 1..50 do
        assert {:ok, "#{n}"} == Exosuit.call(host, "echo", "op", "#{n}")
      end

      for {:error, error} <- Task.await_many(faults, 30_000),
          do: assert(error.reason == unquote(reason))

      assert {:ok, "well"} = Exosuit.call(host, "faults", "echo", "well")
    end
  end

  test "a log flood is bounded, and says how much was lost", %{host: host} do
    %{router: router} = Exosuit.Directory.fetch!(host, :instance)
    :ok = Exosuit.Router.observe(router, self())
    assert {:ok, _answer} = Exosuit.call(host, "flood", "op", "")
    assert_receive {:exosuit_notice, {:log_dropped, "flood", lost}} when lost > 0, 5_000
    assert Enum.count(notices(), &match?({:log, "flood", _level, _text}, &1)) in 1..2_000
    assert {:ok, "well"} = Exosuit.call(host, "echo", "op", "well")
  end

  test "a storm of refusals is told no faster than anybody reads it", %{host: host} do
    %{router: router} = Exosuit.Directory.fetch!(host, :instance)
    :ok = Exosuit.Router.observe(router, self())
    started = System.monotonic_time(:millisecond)
    for _ <- 1..20_000, do: {:error, _unknown} = Exosuit.call(host, "nobody", "op", "")

    assert_receive {:exosuit_notice, {"notices_dropped", %{count: count}}} when count > 0, 5_000
    told = length(notices())

    # 500 in a tenth of a second, of which one more begins and ends at any moment; the first are told
    # at once.
    assert told <= 500 * (3 + div(System.monotonic_time(:millisecond) - started, 100))
    assert told < 20_000
  end

  test "a failed call is an event, without its payload", %{host: host} do
    :ok = Exosuit.subscribe(host)
    {:error, _trap} = Exosuit.call(host, "faults", "trap", "a secret payload")

    assert_receive {:exosuit_event, %{type: "invocation_failed", data: data}}
    assert %{source: "host", target: "faults", operation: "trap", reason: :trap} = data
    refute inspect(data) =~ "secret"
  end

  test "thousands of traps from many processes leave the VM as it was", %{host: host} do
    tasks =
      for n <- 1..64, operation = Enum.at(~w(trap oob div recurse echo), rem(n, 5)) do
        Task.async(fn -> for _ <- 1..40, do: elem(fault(host, operation), 0) end)
      end

    results = tasks |> Task.await_many(60_000) |> List.flatten() |> Enum.frequencies()
    assert %{ok: ok, error: errors} = results
    assert ok + errors == 64 * 40
    assert {:ok, "well"} = Exosuit.call(host, "echo", "op", "well")
  end

  defp notices(found \\ []) do
    receive do: ({:exosuit_notice, notice} -> notices([notice | found])), after: (0 -> found)
  end

  defp fault(host, operation), do: Exosuit.call(host, "faults", operation, "", timeout: 500)
end
