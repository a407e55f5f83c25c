defmodule Exosuit.ComponentsGuideTest do
  # The examples of guides/components.md, against a component of the interface that it shows.
  use Exosuit.HostCase, async: true

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
