defmodule Exosuit.CompileTest do
  # The whole VM compiles in turns, so that a slow compile of these tests would hold up others: each is
  # ended soon.
  use Exosuit.HostCase, async: true

  import Bitwise

  setup do
    %{dir: tmp_dir!()}
  end

  test "twenty huge functions cost their actors alone" do
    host = start_supervised_host!(compile: [memory: 67_108_864])
    start_actor!(host, "echo", "echo")

    starting =
      for number <- 1..20 do
        code = {:bytes, huge(number, 2_000_000)}
        Task.async(fn -> Exosuit.start_actor(host, code, id: "huge-#{number}") end)
      end

    assert {:ok, "hi"} = Exosuit.call(host, "echo", "op", "hi")

    for task <- starting do
      assert {:error, %Error{reason: :invalid_module} = error} = Task.await(task, 300_000)
      assert Exception.message(error) =~ "memory"
    end

    assert {:ok, "still"} = Exosuit.call(host, "echo", "op", "still")
    assert [%{id: "echo", status: :running}] = Exosuit.inventory(host).actors
  end

  test "a compile that takes too long is ended" do
    host = start_supervised_host!(compile: [time: 20])
    code = {:bytes, huge(21, 7_000_000)}

    assert {:error, %Error{reason: :invalid_module} = error} =
             Exosuit.start_actor(host, code, id: "slow")

    assert Exception.message(error) =~ "20ms"
    assert Exosuit.inventory(host).actors == []
  end

  test "an update hears of its claims before anything is compiled", it do
    host = start_supervised_host!(compile: [time: 1])
    keys = [issuer: Guests.key("account"), subject: Guests.key("module")]
    wasm = Path.join(it.dir, "huge.wasm")
    File.write!(wasm, huge(22, 1_000_000))
    sign = fn options -> elem(Guests.sign(it.dir, "busy", options), 0) end

    # In memory already, so that this host, which compiles nothing, starts it.
    other = start_supervised_host!()
    first = sign.(keys ++ [rev: 5])
    {:ok, id} = Exosuit.start_actor(other, first)
    {:ok, ^id} = Exosuit.start_actor(host, first)

    for {options, reason} <- [
          {keys ++ [rev: 4], :conflict},
          {[subject: keys[:subject], rev: 6], :invalid_claims},
          {[rev: 6], :invalid_claims},
          {keys ++ [rev: 6], :invalid_module}
        ] do
      code = sign.(options ++ [wasm: wasm])
      assert {:error, %Error{reason: ^reason}} = Exosuit.update_actor(host, id, code)
    end

    assert {:ok, "first"} = Exosuit.call(host, id, "op", "")
  end

  test "an actor that is stopped while it is compiled is compiled no further" do
    host = start_supervised_host!()
    code = {:bytes, huge(23, 7_000_000)}
    starting = Task.async(fn -> Exosuit.start_actor(host, code, id: "unwanted") end)
    [_ | _] = running = eventually(fn -> Enum.find([compiles()], &(&1 != [])) end)

    assert :ok = eventually(fn -> if Exosuit.stop_actor(host, "unwanted") == :ok, do: :ok end)
    assert {:error, %Error{reason: :dropped}} = Task.await(starting, 60_000)
    # It would have taken minutes.
    assert eventually(fn -> running -- compiles() == running end)
    start_actor!(host, "echo", "echo")
    assert {:ok, "hi"} = Exosuit.call(host, "echo", "op", "hi")
  end

  # The programs that compile for this VM.
  defp compiles do
    for stat <- Path.wildcard("/proc/[0-9]*/stat"),
        {:ok, text} <- [File.read(stat)],
        [_pid, "exosuit-compile", rest] <- [String.split(text, ["(", ")"])],
        [_state, parent | _more] = String.split(rest),
        parent == System.pid(),
        do: stat
  end

  # A wasmbus module of one function of so many bytes. Each number makes another one.
  defp huge(number, bytes) do
    # local.get 0, i32.const, i32.add, local.set 0
    step = <<0x20, 0, 0x41, number &&& 0x3F, 0x6A, 0x21, 0>>
    body = [0, :binary.copy(step, div(bytes, 7)), 0x20, 0, 0x0B]
    code = [1, leb(IO.iodata_length(body)), body]

    IO.iodata_to_binary([
      <<0, "asm", 1::32-little, 1, 7, 1, 0x60, 2, 0x7F, 0x7F, 1, 0x7F, 3, 2, 1, 0>>,
      <<5, 3, 1, 0, 1, 7, 25, 2, 6, "memory", 2, 0, 12, "__guest_call", 0, 0, 10>>,
      [leb(IO.iodata_length(code)), code]
    ])
  end

  defp leb(value) when value < 0x80, do: [value]
  defp leb(value), do: [(value &&& 0x7F) ||| 0x80 | leb(value >>> 7)]
end
