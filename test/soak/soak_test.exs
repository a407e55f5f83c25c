defmodule Exosuit.SoakTest do
  # `bin/soak`: two hosts under load, and one fault after another, from a seed. Alone in its VM, since
  # it weighs it.
  use Exosuit.HostCase, async: false

  alias Exosuit.{Directory, Router}
  alias Exosuit.Model.Link
  alias Exosuit.Soak.{Faults, Load, World}

  @moduletag :soak
  @moduletag timeout: :infinity

  # Seconds between the end of a fault and the next one, and how long recovery may take: the longest
  # pause of the retry policy, and what a busy machine adds.
  @quiet 2
  @clients 2

  # What the VM weighs at the end, of what it weighed once it was warm.
  @growth 1.10

  test "every fault ends by itself, and no acknowledged increment is lost" do
    seed = number("SOAK_SEED", :rand.uniform(1_000_000))
    seconds = 60 * number("SOAK_MINUTES", 30)
    :rand.seed(:exsss, seed)
    say("seed #{seed}, #{div(seconds, 60)} minutes")

    world = World.start!()
    await_recovery(world, "the start")
    load = Load.start!(Enum.flat_map(world.hosts, &World.services/1), @clients)
    # One round of everything, so that what is built once is built.
    Faults.pause(min(60, div(seconds, 10)))
    before = weigh()

    world = suffer(world, deadline(seconds), 0)
    told = Load.finish(load)
    say("answers: #{inspect(told.answers)}; failures: #{inspect(told.failures)}")

    assert counts(world, told) == []
    assert disagreements(world) == []
    after_all = weigh()
    say("memory: #{before} KiB before, #{after_all} KiB after")
    assert after_all <= before * @growth
  end

  defp suffer(world, deadline, count) do
    if System.monotonic_time(:second) >= deadline do
      say("#{count} faults")
      world
    else
      {world, fault} = Faults.commit(world, Faults.draw(world))
      say(fault)
      await_recovery(world, fault)
      Faults.pause(@quiet)
      suffer(world, deadline, count + 1)
    end
  end

  # A minute at the most, the longest pause of the retry policy, twice.
  defp await_recovery(world, fault, tries \\ 2) do
    assert Exosuit.Case.eventually(fn -> Enum.all?(world.hosts, &Faults.recovered?/1) end)
  rescue
    error in ExUnit.AssertionError ->
      missing = for host <- world.hosts, not Faults.recovered?(host), do: host.number
      say("after #{fault}, not all of hosts #{inspect(missing)} answers yet")

      if tries == 1,
        do: reraise(error, __STACKTRACE__),
        else: await_recovery(world, fault, tries - 1)
  end

  defp counts(world, told) do
    services = world.hosts |> Enum.flat_map(&World.services/1) |> Enum.uniq_by(&elem(&1, 0))

    for {name, _port, _path} = service <- services,
        name != "ping",
        {:ok, last} = Load.count(service),
        wrong <- Load.wrongs(told, name, last),
        do: wrong
  end

  # The tables of the control plane and of the data plane, of each host and of both.
  defp disagreements(world) do
    links = for host <- world.hosts, do: Enum.sort(Exosuit.links(host.name))
    same = if Enum.uniq(links) |> length() == 1, do: [], else: ["the hosts have other links"]
    same ++ Enum.flat_map(world.hosts, &disagreement(&1.name))
  end

  defp disagreement(host) do
    written = for link <- Exosuit.links(host), do: {Link.key(link), link.target, link.interfaces}
    states = Router.link_states(Directory.fetch!(host, :config).router)
    asleep = for {link, state} <- states, state not in [:in_force, :waiting], do: {link, state}

    if Enum.sort(written) == Enum.sort(Map.keys(states)) and asleep == [],
      do: [],
      else: [{host, written, states}]
  end

  defp weigh do
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    [_line, kib] = Regex.run(~r/^VmRSS:\s+(\d+) kB/m, File.read!("/proc/self/status"))
    String.to_integer(kib)
  end

  defp deadline(seconds), do: System.monotonic_time(:second) + seconds

  defp number(variable, default) do
    case System.get_env(variable, "") do
      "" -> default
      text -> String.to_integer(text)
    end
  end

  defp say(text), do: IO.puts("#{Time.utc_now() |> Time.truncate(:second)} #{text}")
end
