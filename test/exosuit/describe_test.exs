defmodule Exosuit.DescribeTest do
  # Who answers the imports of real components on a host, as links come and go.
  use Exosuit.HostCase, async: true

  alias Exosuit.World.{Answer, Description}

  defmodule Calculator do
    @moduledoc "What `delegator` is linked to."
    use Exosuit.Provider, contract: "exosuit:test"

    @impl Exosuit.Provider
    def handle_function("exosuit:test/calculator@1.0.0#add", [a, b], _context), do: a + b
  end

  @calculator "exosuit:test/calculator@1.0.0"

  defp answer(host, code, options) do
    {:ok, %Description{answers: answers}} = Exosuit.describe(host, code, options)
    Enum.find(answers, &(&1.import == @calculator))
  end

  test "a component that uses a link says who answers, on a host and without one" do
    host = start_supervised_host!(actors: [delegator: "components/delegator"])
    code = Guests.path("components/delegator")

    assert {:ok, %Description{answers: answers}} = Exosuit.describe(code)

    assert [%Answer{by: :link, contract: "exosuit:test", links: [], text: "a link"}] =
             Enum.filter(answers, &(&1.import == @calculator))

    assert %Answer{by: :nobody, text: text} = answer(host, code, id: "delegator")
    assert text == "nobody: no link for exosuit:test from delegator"
    assert %Answer{by: :nobody, text: text} = answer(host, code, [])
    assert text =~ "an actor without id and token"

    {:ok, "calc"} = Exosuit.start_provider(host, Calculator, id: "calc")
    :ok = Exosuit.put_link(host, source: "delegator", target: "calc", contract: "exosuit:test")

    assert %Answer{by: :link, text: "provider calc", links: [link]} =
             answer(host, code, id: "delegator")

    assert %{target: "calc", kind: :provider, target_status: "running", status: "in_force"} = link
    # It is as it says.
    assert {:ok, 3} = Exosuit.call(host, "delegator", "exosuit:test/delegator@1.0.0#add", [1, 2])
    assert %Answer{by: :nobody} = answer(host, code, id: "another")

    :ok = Exosuit.stop_provider(host, "calc")

    assert %Answer{text: "calc, which does not run on this host"} =
             answer(host, code, id: "delegator")

    :ok = Exosuit.delete_link(host, source: "delegator", contract: "exosuit:test")
    assert %Answer{by: :nobody} = answer(host, code, id: "delegator")
  end

  test "a token that does not name a contract is not answered by a provider" do
    host = start_supervised_host!()
    {:ok, "calc"} = Exosuit.start_provider(host, Calculator, id: "calc")
    dir = tmp_dir!()

    for {caps, by} <- [{["exosuit:other"], :nobody}, {["exosuit:test"], :link}] do
      {path, keys} = Guests.sign(dir, "components/delegator", caps: caps)
      link = [source: keys.subject["public_key"], target: "calc", contract: "exosuit:test"]
      :ok = Exosuit.put_link(host, link)
      assert %Answer{by: ^by, links: [_one]} = answer(host, path, [])
    end
  end

  test "the contracts in a module's token are answered" do
    host = start_supervised_host!()

    {path, _keys} =
      Guests.sign(tmp_dir!(), "echo", caps: ["wasmcloud:keyvalue", "wasmcloud:builtin:logging"])

    assert {:ok, %Description{kind: :wasmbus_module, answers: answers}} =
             Exosuit.describe(host, path)

    assert %{"wasmcloud:keyvalue" => :nobody, "wasmcloud:builtin:logging" => :host} ==
             Map.new(answers, &{&1.import, &1.by})

    assert Enum.any?(
             answers,
             &(&1.text =~ "the built-in provider keyvalue or another one can be linked")
           )
  end

  test "the command says the same of a running host" do
    dir = tmp_dir!()
    host = start_supervised_host!(data_dir: dir, actors: [delegator: "components/delegator"])
    {:ok, "calc"} = Exosuit.start_provider(host, Calculator, id: "calc")
    :ok = Exosuit.put_link(host, source: "delegator", target: "calc", contract: "exosuit:test")

    arguments = [
      "inspect",
      Guests.path("components/delegator"),
      "--data-dir",
      dir,
      "--id",
      "delegator"
    ]

    assert {text, 0} = System.cmd(Guests.command(), arguments)
    assert text =~ "#{@calculator}  (provider calc)"
    assert {json, 0} = System.cmd(Guests.command(), arguments ++ ["--json"])
    {:ok, %{"answers" => answers, "needs" => %{"instances" => _}}} = Exosuit.Json.decode(json)

    assert %{"by" => "link", "links" => [%{"target" => "calc"}]} =
             Enum.find(answers, &(&1["import"] == @calculator))
  end

  test "options that are not known are refused" do
    host = start_supervised_host!()

    assert_raise ArgumentError, ~r"unknown", fn ->
      Exosuit.describe(host, "shop.wasm", name: "a")
    end

    assert {:error, %Error{}} = Exosuit.describe(host, "/absent.wasm")
  end
end
