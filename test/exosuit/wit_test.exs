defmodule Exosuit.WitTest do
  # Functions of components, called with values and with bytes.
  use Exosuit.HostCase, async: true

  setup do
    guests = for name <- ["calculator", "delegator"], do: {name, "components/#{name}"}
    host = start_supervised_host!(actors: guests)
    link = [source: "delegator", target: "calculator", contract: "exosuit:test"]
    :ok = Exosuit.put_link(host, link)
    %{host: host}
  end

  # The delegator passes what it is given on to the calculator, and its answer back.
  defp ask(host, actor, function, payload, options \\ []) do
    operation = "exosuit:test/#{actor}@1.0.0##{function}"
    Exosuit.call(host, actor, operation, payload, options)
  end

  for actor <- ["calculator", "delegator"] do
    describe "the #{actor}" do
      @describetag actor: actor

      test "takes and gives values of every kind", %{host: host, actor: actor} do
        bytes = :crypto.strong_rand_bytes(100_000)
        reversed = bytes |> :binary.bin_to_list() |> Enum.reverse() |> :binary.list_to_bin()

        for {function, arguments, expected} <- [
              {"add", [1, 2], 3},
              {"greet", ["zwölf"], "Hello, zwölf!"},
              {"greet", [""], "Hello, !"},
              {"reverse", [bytes], reversed},
              {"reverse", [""], ""},
              {"reverse", [[1, 2, 255]], <<255, 2, 1>>},
              {"sum", [[1, 2, 3]], 6},
              {"sum", [[]], 0},
              {"maybe", [nil], nil},
              {"maybe", ["text"], "text"},
              {"maybe", ["nil"], "nil"},
              {"divide", [7, 2], {:ok, 3}},
              {"divide", [7, 0], {:error, "7 cannot be divided by 0"}},
              {"check", [true], :ok},
              {"check", [false], :error}
            ] do
          for execution <- [:inline, :async] do
            answer = ask(host, actor, function, arguments, execution: execution)
            assert {function, answer} == {function, {:ok, expected}}
          end
        end
      end

      test "takes integers as far as their type goes", %{host: host, actor: actor} do
        for {function, arguments, expected} <- [
              {"add", [2_147_483_647, -2_147_483_648], -1},
              {"sum", [[18_446_744_073_709_551_615]], 18_446_744_073_709_551_615},
              {"sum", [[0, 9_223_372_036_854_775_808]], 9_223_372_036_854_775_808}
            ] do
          assert {:ok, expected} == ask(host, actor, function, arguments)
        end

        for {function, arguments, said} <- [
              {"add", [2_147_483_648, 0], "expected an s32, got 2147483648"},
              {"add", [0, -2_147_483_649], "expected an s32, got -2147483649"},
              {"sum", [[-1]], "expected a u64, got -1"},
              {"sum", [[18_446_744_073_709_551_616]], "an integer of more than 64 bits"},
              {"grow", [-1], "expected a u32"}
            ] do
          assert {:error, %Error{reason: :invalid_input, detail: detail}} =
                   ask(host, actor, function, arguments)

          assert detail =~ said
        end
      end
    end
  end

  test "a value that does not fit is refused, by its argument's name", %{host: host} do
    for {function, arguments, said} <- [
          {"greet", [1], "calculator@1.0.0#greet: name: expected a string, got an integer"},
          {"greet", [<<255>>], "not UTF-8"},
          {"greet", [nil], "got nothing"},
          {"add", [true, 1], "a: expected an s32, got a bool"},
          {"sum", [[1, "2"]], "[1]: expected a u64, got a text or bytes"},
          {"add", [1.5, 2], "a: expected an s32, got a float"},
          {"add", [%{}, 2], "a: expected an s32, got a map"},
          {"add", [:secret, 2], "a: expected an s32, got a name"},
          {"sum", [[1, 1 | List.duplicate(:x, 20_000)]], "[2]: expected a u64, got a name"},
          {"check", [:ok], "expected a bool, got an ok"},
          {"add", [1], "takes 2 arguments (a, b), got 1"},
          {"fail", [1], "takes 0 arguments (), got 1"}
        ] do
      assert {:error, %Error{reason: :invalid_input, detail: detail}} =
               ask(host, "calculator", function, arguments)

      assert detail =~ said
    end
  end

  test "a term that is no value is refused, by its place, and is not told", %{host: host} do
    for {arguments, said} <- [
          {[1, [2, %{secret: self()}]], "argument 2: element 2: element 1: expected"},
          {[1, {"a", {:ok, [self()]}}], "argument 2: element 2: element 1: "},
          {[%{1.5 => 2}],
           "argument 1: element 1: expected an atom, a string, an integer or a boolean as a map's key"},
          {[self()],
           "argument 1: expected a binary, a number, an atom, a list, a tuple or a map, got a pid"},
          {[make_ref()], "got a reference"},
          {[&is_nil/1], "got a function"},
          {[<<1::7>>], "got bits that are no whole bytes"},
          {[1 | 2], "got an improper list"},
          {[[1 | 2]], "argument 1: expected"},
          {[1, -9_223_372_036_854_775_809], "argument 2: expected"},
          {[nested(100)], "nested 64 deep"},
          {[List.duplicate(1, 8_400_000)], "8388608 values"},
          {List.duplicate(List.duplicate(nil, 1_000), 8_400), "8388608 values"},
          {[List.duplicate(:binary.copy("x", 1_000_000), 270)], "268435456 bytes"}
        ] do
      for actor <- ["calculator", "nobody"] do
        assert {:error, %Error{reason: :invalid_input, detail: detail}} =
                 ask(host, actor, "add", arguments)

        assert detail =~ said
        refute detail =~ "secret"
      end
    end
  end

  test "a function of bytes is called with bytes, too", %{host: host} do
    assert {:ok, "Hello, Ada!"} = ask(host, "calculator", "greet", "Ada")
    assert {:ok, <<3, 2, 1>>} = ask(host, "calculator", "reverse", <<1, 2, 3>>)
    assert {:error, %Error{reason: :invalid_input}} = ask(host, "calculator", "add", "1, 2")
  end

  test "only a function is called with values", %{host: host} do
    start_actor!(host, "echo", "echo")

    assert {:error, %Error{reason: :invalid_input, detail: detail}} =
             Exosuit.call(host, "echo", "Echo.Say", ["hello"])

    assert detail =~ "takes bytes, got typed values"
    assert {:ok, "hello"} = Exosuit.call(host, "echo", "Echo.Say", "hello")

    for payload <- [:hello, 1, %{}, nil, {:ok, "hello"}],
        do:
          assert_raise(FunctionClauseError, fn ->
            Exosuit.call(host, "echo", "Echo.Say", payload)
          end)
  end

  defp nested(0), do: 1
  defp nested(depth), do: [nested(depth - 1)]
end
