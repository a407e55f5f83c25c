defmodule Exosuit.SoakTest do
  # `bin/soak`: two hosts under load, and one fault after another, from a seed. Alone in its VM, since
  # it weighs it.
  use Exosuit.HostCase, async: false

  alias Exosuit.{Directory, Router}
  alias Exosuit.Model.Link
  alias Exosuit.Soak.{Faults, Load, Memory, World}

  @moduletag :soak
  @moduletag timeout: :infinity
  # A captured log stays in the memory that is measured: it goes to a file.
  @moduletag capture_log: false

  # Seconds between the end of a fault and the next one, and how long recovery may take: the longest
  # pause of the retry policy, and what a busy machine adds.
  @quiet 2
  @clients 2

  # The memory at the end, in relation to that after a third of the time: until then it grows, as pools
  # fill and the C library's heaps spread.
  @growth 1.10

  @log_bytes 100_000_000

  test "every fault ends by itself, and no acknowledged increment is lost" do
    seed = number("SOAK_SEED", :rand.uniform(1_000_000))
    seconds = 60 * number("SOAK_MINUTES", 30)
    :rand.seed(:exsss, seed)
    say("seed #{seed}, #{div(seconds, 60)} minutes; the log is in #{log_to_file!()}")

    world = World.start!()
    await_recovery(world, "the start")
    load = Load.start!(Enum.flat_map(world.hosts, &World.services/1), @clients)
    start = System.monotonic_time(:second)
    world = Enum.reduce(Faults.all(world), world, &suffer(&2, &1))
    world = suffer_until(world, start + div(seconds, 3), 0)
    before = Memory.take()

    world = suffer_until(world, start + seconds, 0)
    told = Load.finish(load)
    say("answers: #{inspect(told.answers)}; failures: #{inspect(told.failures)}")

    assert counts(world, told) == []
    assert disagreements(world) == []
    later = Memory.take()
    say("memory:\n" <> Memory.compare(before, later))
    assert later.resident <= before.resident * @growth
  end

  defp suffer_until(world, deadline, count) do
    if System.monotonic_time(:second) >= deadline do
      say("#{count} faults")
      world
    else
      world |> suffer(Faults.draw(world)) |> suffer_until(deadline, count + 1)
    end
  end

  defp suffer(world, fault) do
    {world, what} = Faults.commit(world, fault)
    say(what)
    await_recovery(world, what)
    Faults.pause(@quiet)
    world
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
    states = Router.link_states(Directory.fetch!(host, :instance).router)
    asleep = for {link, state} <- states, state not in [:in_force, :waiting], do: {link, state}

    if Enum.sort(written) == Enum.sort(Map.keys(states)) and asleep == [],
      do: [],
      else: [{host, written, states}]
  end

  # Instead of the console, whose handler has another name in each version of Elixir.
  defp log_to_file! do
    file = Path.join(Mix.Project.build_path(), "soak.log")
    File.rm(file)

    for handler <- :logger.get_handler_ids(),
        do: :logger.set_handler_config(handler, :level, :none)

    config = %{file: to_charlist(file), max_no_bytes: @log_bytes, max_no_files: 1}
    formatter = {:logger_formatter, %{}}
    :ok = :logger.add_handler(:soak, :logger_std_h, %{config: config, formatter: formatter})
    file
  end

  defp number(variable, default) do
    case System.get_env(variable, "") do
      "" -> default
      text -> String.to_integer(text)
    end
  end

  defp say(text), do: IO.puts("#{Time.utc_now() |> Time.truncate(:second)} #{text}")
end
