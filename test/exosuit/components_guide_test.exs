defmodule Exosuit.ComponentsGuideTest do
  # The examples of guides/components.md, against a component of the interface that it shows.
  use Exosuit.HostCase, async: true

  alias Exosuit.WitWorld

  @guide File.read!(Path.expand("../../guides/components.md", __DIR__))

  test "each call does what the guide says" do
    dir = tmp_dir!()
    Guests.assemble(dir, %{"shop" => File.read!("test/guests/text/shop.wat")})
    host = start_supervised_host!()
    wasm = Path.join(dir, "shop.wasm")
    {:ok, "shop"} = Exosuit.start_actor(host, wasm, id: "shop")

    calls = Regex.scan(~r/<!-- call -->\n```elixir\n(.*?)```/s, @guide)
    assert length(calls) == 4
    for [_all, code] <- calls, do: Code.eval_string(code, host: host, wasm: wasm)

    [[_all, module]] = Regex.scan(~r/<!-- module -->\n```elixir\n(.*?)```/s, @guide)
    # The guide's project has the WIT at its root.
    module |> String.replace(~s("wit"), ~s("test/guests/wit")) |> Code.compile_string()
    [[_all, code]] = Regex.scan(~r/<!-- module call -->\n```elixir\n(.*?)```/s, @guide)
    Code.eval_string(code, host: host)
  end

  # The types of the table's rows, except resources.
  @types %{
    "`bool`" => [:bool],
    "`u8` … `s64`" => [:s8, :s16, :s32, :s64],
    "`f32`, `f64`" => [:f32, :f64],
    "`char`" => [:char],
    "`string`" => [:string],
    "`list<u8>`" => [{:list, :u8}],
    "`list<u32>`" => [{:list, :u32}],
    "`map<string, u32>`" => [{:map, :string, :u32}],
    "`tuple<u8, string>`" => [{:tuple, [:u8, :string]}],
    "`record`" => [{:record, [{"name", :string}, {"unit-count", :u8}]}],
    "`variant`" => [{:variant, [{"pickup", nil}, {"parcel", :string}]}],
    "`enum`" => [{:enum, ["red", "green"]}],
    "`flags`" => [{:flags, ["read", "write"]}],
    "`option<u8>`" => [{:option, :u8}],
    "`option<option<u8>>`" => [{:option, {:option, :u8}}],
    "`result<u8, string>`" => [{:result, :u8, :string}],
    "`result`" => [{:result, nil, nil}]
  }

  test "a guest takes and returns the values of the table" do
    [_all, table] = Regex.run(~r/<!-- types -->\n(.*?)\n\n/s, @guide)
    [_head, _line | rows] = for line <- String.split(table, "\n"), do: String.split(line, " | ")

    values =
      for [type, _example, values] <- rows,
          type = String.trim_leading(type, "| "),
          not String.starts_with?(type, "`own"),
          do: {type, Regex.scan(~r/`([^`]+)`/, values, capture: :all_but_first)}

    assert Enum.sort(for {type, _values} <- values, do: type) == Enum.sort(Map.keys(@types))

    cases =
      for {row, values} <- values,
          {type, n} <- Enum.with_index(@types[row]),
          do: {"#{:erlang.phash2(row)}-#{n}", type, values}

    dir = tmp_dir!()

    Guests.assemble(
      dir,
      Map.new(cases, fn {id, type, _} -> {id, WitWorld.component(type, :mirror)} end)
    )

    host = start_supervised_host!()

    for {id, type, values} <- cases do
      {:ok, ^id} = Exosuit.start_actor(host, Path.join(dir, id <> ".wasm"), id: id)

      for [value] <- values do
        {value, _binding} = Code.eval_string(value)
        answer = Exosuit.call(host, id, "echo", WitWorld.arguments(value))
        assert {type, answer} == {type, {:ok, {7, value}}}
      end
    end
  end

  test "resources of a guest, and of a provider" do
    host = start_supervised_host!()
    start_actor!(host, "carts", "carts")
    [[_all, code]] = Regex.scan(~r/<!-- resources -->\n```elixir\n(.*?)```/s, @guide)
    Code.eval_string(code, host: host)

    [[_all, module]] = Regex.scan(~r/<!-- resource provider -->\n```elixir\n(.*?)```/s, @guide)
    module |> String.replace(~s("wit"), ~s("test/guests/text/carts.wit")) |> Code.compile_string()
    {:ok, "provider"} = Exosuit.start_provider(host, MyApp.Carts, id: "provider")
    start_actor!(host, "shopper", "shopper")
    :ok = Exosuit.put_link(host, source: "shopper", target: "provider", contract: "acme:shop")
    assert Exosuit.call(host, "shopper", "shop", [7]) == {:ok, 18}
    assert Exosuit.call(host, "shopper", "visit", [7]) == {:ok, 8}
  end
end
