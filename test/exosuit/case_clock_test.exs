defmodule Exosuit.CaseClockTest do
  # The time and the random numbers of a test, in components, programs and wasmbus modules.
  use Exosuit.HostCase, async: true

  alias Exosuit.Case.Clock

  @noon ~U[2026-12-24 12:00:00Z]
  @chances ~w(bytes number insecure seed)

  # A program of preview 1, which writes its wall clock, its monotonic clock and a random number.
  @program """
  (module
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
      (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 64)))
      (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 72)))
      (drop (call $random (i32.const 80) (i32.const 8)))
      (i32.store (i32.const 0) (i32.const 64))
      (i32.store (i32.const 4) (i32.const 24))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
  """

  # A wasmbus module that answers with the same.
  @wasmbus """
  (module
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasmbus" "__guest_response" (func $respond (param i32 i32)))
    (memory (export "memory") 1)
    (func (export "__guest_call") (param i32 i32) (result i32)
      (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 64)))
      (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 72)))
      (drop (call $random (i32.const 80) (i32.const 8)))
      (call $respond (i32.const 64) (i32.const 24))
      (i32.const 1)))
  """

  setup_all do
    dir = tmp_dir!()

    Guests.assemble(dir, %{
      "chance" => File.read!("test/guests/text/chance.wat"),
      "program" => @program,
      "wasmbus" => @wasmbus
    })

    %{
      actors: for(name <- ~w(chance program wasmbus)a, do: {name, Path.join(dir, "#{name}.wasm")})
    }
  end

  defp start(actors, options), do: Exosuit.Case.start_host!([actors: actors] ++ options)

  defp ask(host, function) do
    {:ok, number} = Exosuit.call(host, "chance", function, [])
    number
  end

  # Wall clock and monotonic clock in nanoseconds, and a random number.
  defp seen(host, "program"), do: seen(Exosuit.call(host, "program", "wasi:cli/run#run", ""))
  defp seen(host, "wasmbus"), do: seen(Exosuit.call(host, "wasmbus", "See", ""))

  defp seen({:ok, <<wall::little-64, monotonic::little-64, random::little-64>>}),
    do: {wall, monotonic, random}

  test "guests see the clock of the test, which the test moves", %{actors: actors} do
    clock = Clock.new(@noon)
    host = start(actors, clock: clock)
    noon = DateTime.to_unix(@noon, :millisecond)

    assert ask(host, "wall") == noon
    monotonic = ask(host, "monotonic")
    assert ask(host, "monotonic") == monotonic

    for actor <- ~w(program wasmbus) do
      assert {wall, ^monotonic, _random} = seen(host, actor)
      assert wall == noon * 1_000_000
    end

    :ok = Clock.advance(clock, 1_500)
    assert ask(host, "wall") == noon + 1_500
    assert ask(host, "monotonic") == monotonic + 1_500_000_000
    assert Clock.now(clock) == ~U[2026-12-24 12:00:01.500000Z]

    # Back, as the clock of a machine may be set; the monotonic one never goes back.
    :ok = Clock.set(clock, ~U[1970-01-01 00:00:01Z])
    assert ask(host, "wall") == 1_000

    for actor <- ~w(program wasmbus),
        do:
          assert(
            {1_000_000_000, monotonic + 1_500_000_000} ==
              host |> seen(actor) |> Tuple.delete_at(2)
          )

    assert ask(host, "monotonic") == monotonic + 1_500_000_000
  end

  test "a warm instance sees its clock move", %{actors: actors} do
    clock = Clock.new(@noon)
    host = start([], clock: clock)
    {:ok, "chance"} = Exosuit.start_actor(host, actors[:chance], id: "chance", warm: [])
    before = ask(host, "wall")
    :ok = Clock.advance(clock, 7)
    assert ask(host, "wall") == before + 7
  end

  test "a seed gives the same random numbers in each run, and others to another actor", %{
    actors: actors
  } do
    numbers = fn seed ->
      host = start(actors, seed: seed)
      component = for function <- @chances ++ @chances, do: ask(host, function)
      component ++ for actor <- ~w(program wasmbus program), do: host |> seen(actor) |> elem(2)
    end

    one = numbers.(42)
    assert one == numbers.(42)
    assert Enum.uniq(one) == one
    assert Enum.all?(Enum.zip(one, numbers.(43)), fn {a, b} -> a != b end)
  end

  test "the random numbers of the host follow the seed", %{actors: actors} do
    numbers = fn ->
      host = start(actors, seed: 7)
      {path, _keys} = Guests.sign(tmp_dir!(), "caller", caps: ["wasmcloud:builtin:numbergen"])
      {:ok, "caller"} = Exosuit.start_actor(host, path, id: "caller")
      call = "default\0wasmcloud:builtin:numbergen\0NumberGen.GenerateGuid\0"

      for _ <- 1..3 do
        {:ok, answer} = Exosuit.call(host, "caller", "call", call)
        {:ok, guid} = Exosuit.MessagePack.decode(answer)
        guid
      end
    end

    assert [<<_::binary-size(36)>>, second, third] = numbers.()
    assert [_first, ^second, ^third] = numbers.()
    assert second != third
  end

  test "without them, guests see the machine's", %{actors: actors} do
    host = start(actors, [])
    assert_in_delta ask(host, "wall"), System.system_time(:millisecond), 60_000
    {wall, _monotonic, _random} = seen(host, "program")
    assert_in_delta wall, System.system_time(:nanosecond), 60_000_000_000
    all = for _ <- 1..3, function <- @chances, do: ask(host, function)
    assert Enum.uniq(all) == all
  end

  test "a clock and a seed that are none are refused" do
    for {options, said} <- [
          {[clock: @noon], ~r"Exosuit.Case.Clock"},
          {[seed: -1], ~r":seed"},
          {[seed: "a"], ~r":seed"}
        ],
        do: assert_raise(ArgumentError, said, fn -> start([], options) end)

    for simulation <- [[seed: -1], [clock: @noon], [other: 1], 7] do
      assert_raise ArgumentError, ~r":simulation", fn ->
        Exosuit.Config.new!(name: :never, trusted_issuers: :any, simulation: simulation)
      end
    end

    assert_raise ArgumentError, ~r"1970", fn -> Clock.new(~U[1969-12-31 23:59:59Z]) end
    assert_raise ArgumentError, ~r"DateTime", fn -> Clock.new("now") end
    clock = Clock.new()
    assert_raise ArgumentError, ~r"set/2 to go back", fn -> Clock.advance(clock, -1) end
    assert Clock.now(clock) == ~U[2000-01-01 00:00:00.000000Z]
  end
end
