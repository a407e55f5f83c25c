defmodule Exosuit.ProviderWitTest do
  # Providers in Elixir of a WIT interface, called by a component: `delegator` has each of its own
  # functions done by whoever it is linked to.
  use Exosuit.HostCase, async: true

  @interface "exosuit:test/calculator@1.0.0#"

  defmodule Calculator do
    @moduledoc """
    The interface of `test/guests/components/wit/test.wit`. What is greeted may be a command; waits
    are told to the process whose name is in the configuration.
    """
    use Exosuit.Provider, contract: "exosuit:test", max_calls: 256

    @impl Exosuit.Provider
    def handle_function("exosuit:test/calculator@1.0.0#" <> function, arguments, context) do
      calculate(function, arguments, context)
    end

    defp calculate("add", [a, b], _context), do: a + b
    defp calculate("greet", ["raise " <> text], _context), do: raise(ArgumentError, text)
    defp calculate("greet", ["throw"], _context), do: throw("a secret")
    defp calculate("greet", ["exit"], _context), do: exit(:normal)
    defp calculate("greet", ["kill"], _context), do: Process.exit(self(), :kill)
    defp calculate("greet", ["pid"], _context), do: self()
    defp calculate("greet", ["map"], _context), do: %{["secret"] => 1}
    defp calculate("greet", ["number"], _context), do: 7
    defp calculate("greet", ["bytes"], _context), do: <<255>>
    defp calculate("greet", ["invocation"], _context), do: {:ok, "as with bytes"}
    defp calculate("greet", ["unknown"], _context), do: {:error, :unknown_operation}
    defp calculate("greet", ["state"], context), do: inspect(context.link.values)
    defp calculate("greet", ["wait " <> name], context), do: wait(context, name)
    defp calculate("greet", [name], _context), do: "Hello, #{name}!"
    defp calculate("reverse", [bytes], _context), do: bytes |> reversed() |> IO.iodata_to_binary()
    defp calculate("sum", [numbers], _context), do: Enum.sum(numbers)
    defp calculate("maybe", [text], _context), do: text
    defp calculate("divide", [a, 99], _context), do: {:ok, [a, self()]}
    defp calculate("divide", [_a, -1], _context), do: raise("a secret")
    defp calculate("divide", [_a, 0], _context), do: {:error, "by zero"}
    defp calculate("divide", [a, b], _context), do: {:ok, div(a, b)}
    defp calculate("check", [true], _context), do: :ok
    defp calculate("check", [false], _context), do: :error
    defp calculate("spin", [], context), do: wait(context, nil)
    defp calculate("grow", [pages], _context), do: pages

    defp reversed(bytes), do: bytes |> :binary.bin_to_list() |> Enum.reverse()

    # Until the test sends something.
    defp wait(context, answer) do
      test = context.state["test"] |> String.to_charlist() |> :erlang.list_to_pid()
      send(test, {:waits, self(), answer})
      receive do: (:go -> answer)
    end
  end

  defmodule Bytes do
    @moduledoc "Of the same contract, and with no function."
    use Exosuit.Provider, contract: "exosuit:test"

    @impl Exosuit.Provider
    def handle_invocation(_operation, payload, _context), do: {:ok, payload}
  end

  setup do
    %{host: start_supervised_host!(actors: [delegator: "components/delegator"])}
  end

  defp serve!(host, module \\ Calculator) do
    test = self() |> :erlang.pid_to_list() |> to_string()
    {:ok, id} = Exosuit.start_provider(host, module, id: "calc", config: %{"test" => test})
    :ok = link(host)
    id
  end

  defp link(host, fields \\ []) do
    link = [source: "delegator", target: "calc", contract: "exosuit:test"]
    Exosuit.put_link(host, Keyword.merge(link, fields))
  end

  defp ask(host, function, arguments, options \\ []) do
    Exosuit.call(
      host,
      "delegator",
      "exosuit:test/delegator@1.0.0##{function}",
      arguments,
      options
    )
  end

  defp greet(host, name, options \\ []), do: ask(host, "greet", [name], options)

  describe "a function" do
    test "takes and gives values of every kind", %{host: host} do
      serve!(host)
      bytes = :crypto.strong_rand_bytes(100_000)
      reversed = bytes |> :binary.bin_to_list() |> Enum.reverse() |> IO.iodata_to_binary()
      numbers = Enum.to_list(1..10_000)

      for {function, arguments, expected} <- [
            {"add", [1, 2], 3},
            {"add", [2_147_483_647, 0], 2_147_483_647},
            {"add", [-2_147_483_648, 0], -2_147_483_648},
            {"greet", ["zwölf"], "Hello, zwölf!"},
            {"reverse", [bytes], reversed},
            {"reverse", [""], ""},
            {"sum", [numbers], 50_005_000},
            {"sum", [[]], 0},
            {"sum", [[18_446_744_073_709_551_615]], 18_446_744_073_709_551_615},
            {"maybe", [nil], nil},
            {"maybe", ["text"], "text"},
            {"divide", [7, 2], {:ok, 3}},
            {"divide", [7, 0], {:error, "by zero"}},
            {"check", [true], :ok},
            {"check", [false], :error},
            {"grow", [4_294_967_295], 4_294_967_295}
          ] do
        for execution <- [:inline, :async] do
          answer = ask(host, function, arguments, execution: execution)
          assert {function, answer} == {function, {:ok, expected}}
        end
      end
    end

    test "knows its link, whose values may change", %{host: host} do
      serve!(host)
      assert {:ok, "%{}"} = greet(host, "state")
      :ok = link(host, target_config: %{"url" => "here"})
      assert {:ok, ~s(%{"url" => "here"})} = greet(host, "state")
    end

    test "knows its own link among those of one name, which cover other interfaces", %{host: host} do
      serve!(host)
      :ok = link(host, interfaces: ["calculator"], target_config: %{"url" => "here"})
      :ok = link(host, interfaces: ["other"], target_config: %{"url" => "there"})
      assert {:ok, ~s(%{"url" => "here"})} = greet(host, "state")

      wider = ["calculator", "more"]
      :ok = link(host, interfaces: wider, target_config: %{"url" => "now here"})
      assert {:ok, ~s(%{"url" => "now here"})} = greet(host, "state")

      :ok = Exosuit.delete_link(host, source: "delegator", contract: "exosuit:test")
      assert {:error, %Error{detail: detail}} = greet(host, "state")
      assert detail =~ "missing link definition"
    end

    test "that raises, throws, exits or is killed ends its guest alone, with an event", it do
      id = serve!(it.host)
      :ok = Exosuit.subscribe(it.host)

      for {command, said} <- [
            {"raise a secret", "Calculator raised ArgumentError"},
            {"throw", "Calculator threw a value that was not caught"},
            {"exit", "the provider ended the call without an answer"},
            {"kill", "Calculator was killed"}
          ] do
        assert {:error, %Error{detail: detail}} = greet(it.host, command)
        assert detail =~ said
        refute detail =~ "secret"

        assert_receive {:exosuit_event, %{type: "invocation_failed", data: %{target: ^id} = data}}
        assert %{source: "delegator", operation: @interface <> "greet", reason: :provider} = data
        assert data.error =~ said
        refute inspect(data) =~ "secret"
        assert {:ok, "Hello, you!"} = greet(it.host, "you")
      end
    end

    test "with a result of text has what it raised as its error", %{host: host} do
      serve!(host)
      assert {:ok, {:error, text}} = ask(host, "divide", [1, -1])
      assert text =~ "Calculator raised RuntimeError"
      refute text =~ "secret"
    end

    test "that gives a value of the wrong type says what and where, with an event", %{host: host} do
      id = serve!(host)
      :ok = Exosuit.subscribe(host)

      for {command, said} <- [{"pid", "got a pid"}, {"map", "a map's key"}] do
        assert {:error, %Error{detail: detail}} = greet(host, command)
        assert detail =~ "Calculator answered #{@interface}greet with a value of the wrong type: "
        assert detail =~ said
        refute detail =~ "secret"
        assert_receive {:exosuit_event, %{type: "invocation_failed", data: %{target: ^id} = data}}
        assert data.error =~ said
      end

      assert {:ok, {:error, text}} = ask(host, "divide", [1, 99])
      assert text =~ "element 2: expected"
    end

    test "that gives a value of another type ends its guest", %{host: host} do
      serve!(host)

      for {function, arguments, said} <- [
            {"greet", ["number"], "expected a string, got an integer"},
            {"greet", ["bytes"], "not UTF-8"},
            {"greet", ["invocation"], "expected a string, got an ok"},
            {"add", [2_147_483_647, 1], "expected an s32, got 2147483648"}
          ] do
        assert {:error, %Error{detail: detail}} = ask(host, function, arguments)
        assert detail =~ @interface <> function
        assert detail =~ said
      end

      assert {:ok, 3} = ask(host, "add", [1, 2])
    end

    test "that the provider has not, is unknown", %{host: host} do
      id = serve!(host)
      assert {:error, %Error{detail: detail}} = greet(host, "unknown")
      assert detail =~ "exosuit:test has no such operation"

      :ok = Exosuit.stop_provider(host, id)
      serve!(host, Bytes)
      assert {:error, %Error{detail: detail}} = greet(host, "you")
      assert detail =~ "exosuit:test has no such operation"
    end

    test "that is slow is killed at the deadline", %{host: host} do
      serve!(host)
      assert {:error, %Error{reason: :deadline}} = greet(host, "wait x", timeout: 50)
      assert_receive {:waits, pid, "x"}
      await_end(pid)

      assert {:error, %Error{reason: :deadline}} = ask(host, "spin", [], timeout: 50)
      assert_receive {:waits, pid, nil}
      await_end(pid)
    end

    test "that is slow is killed when the caller is gone", %{host: host} do
      serve!(host)
      caller = spawn(fn -> greet(host, "wait x", timeout: 60_000) end)
      assert_receive {:waits, pid, "x"}, 5_000
      kill(caller)
      await_end(pid)
    end

    test "does not wait for another: two hundred guests at once", %{host: host} do
      :ok = Exosuit.scale_actor(host, "delegator", 256)
      serve!(host)
      tasks = for n <- 1..200, do: Task.async(fn -> greet(host, "wait #{n}", timeout: 60_000) end)
      pids = for _ <- tasks, do: receive(do: ({:waits, pid, _name} -> pid))
      assert length(Enum.uniq(pids)) == 200
      Enum.each(pids, &send(&1, :go))
      assert Task.await_many(tasks, 60_000) == for(n <- 1..200, do: {:ok, "#{n}"})
    end

    test "ends with its provider, which is started again", %{host: host} do
      id = serve!(host)
      task = Task.async(fn -> greet(host, "wait x", timeout: 60_000) end)
      assert_receive {:waits, worker, "x"}
      kill(Exosuit.whereis(host, id))
      assert {:error, %Error{}} = Task.await(task)
      await_end(worker)
      eventually(fn -> greet(host, "you") == {:ok, "Hello, you!"} end)
    end
  end

  describe "what is not allowed" do
    test "for want of a link is refused, and may be allowed later", %{host: host} do
      assert {:error, %Error{detail: detail}} = greet(host, "you")
      assert detail =~ "missing link definition for exosuit:test on default"
      assert {:ok, {:error, text}} = ask(host, "divide", [1, 1])
      assert text =~ "missing link definition"

      serve!(host)
      assert {:ok, "Hello, you!"} = greet(host, "you")
      :ok = Exosuit.delete_link(host, source: "delegator", contract: "exosuit:test")
      assert {:error, %Error{detail: detail}} = greet(host, "you")
      assert detail =~ "missing link definition"
    end

    test "for want of a claim is refused, with a link and without", %{host: host} do
      dir = tmp_dir!()
      # Before anything is known of its claims.
      {:ok, "calc"} = Exosuit.start_provider(host, Calculator, id: "calc")
      :ok = link(host, source: "signed")
      # The same component, signed anew: it keeps its links.
      keys = [issuer: Guests.key("account"), subject: Guests.key("module")]

      for {caps, answer} <- [
            {["exosuit:other"], :refused},
            {["exosuit:test"], {:ok, "Hello, you!"}}
          ] do
        {path, _keys} = Guests.sign(dir, "components/delegator", [caps: caps] ++ keys)
        {:ok, "signed"} = Exosuit.start_actor(host, path, id: "signed")
        found = Exosuit.call(host, "signed", "exosuit:test/delegator@1.0.0#greet", ["you"])

        if answer == :refused do
          assert {:error, %Error{detail: detail}} = found
          assert detail =~ "missing capability claim for exosuit:test"
          assert {:error, %Error{reason: :missing_claim}} = link(host, source: "signed")
        else
          assert found == answer
        end

        :ok = Exosuit.stop_actor(host, "signed")
      end
    end
  end

  test "a provider that answers no call at all does not compile" do
    assert_raise ArgumentError, ~r"define handle_invocation/3, handle_function/3, or both", fn ->
      Code.eval_string("""
      defmodule Exosuit.ProviderWitTest.Nothing do
        use Exosuit.Provider, contract: "a:b"
      end
      """)
    end
  end

  defp await_end(pid) do
    monitor = Process.monitor(pid)
    assert_receive {:DOWN, ^monitor, :process, ^pid, _reason}, 5_000
  end
end
