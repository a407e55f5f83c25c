defmodule Plugins.ToolchainsTest do
  # The plugins of guests/, as the tools of their languages build them: `bin/test-more toolchains` builds these, and
  # says in EXOSUIT_TOOLCHAINS where they are.
  use ExUnit.Case, async: true

  @moduletag :toolchains
  # The first compilation of twelve megabytes of an interpreter takes its time.
  @moduletag timeout: 600_000

  @order %{
    id: "17",
    currency: :chf,
    lines: [%{article: "bolt", quantity: 200, unit_price: 1.52}],
    note: nil
  }

  test "the plugin in Rust gives discounts" do
    name = upload!("discount")

    assert {:ok, %{lines: [%{unit_price: 1.368}], note: nil}} = Plugins.transform(name, @order)
    assert {:error, "an order needs a line"} = Plugins.transform(name, %{@order | lines: []})

    assert [info: "order 17 is number 1, discounts: 1", warning: "order 17 has no lines"] =
             Plugins.log(name)
  end

  test "the plugin in JavaScript rounds prices in francs" do
    name = upload!("rounding")

    assert {:ok, order} = Plugins.transform(name, @order)
    assert %{lines: [%{unit_price: 1.5}], note: "rounded to five centimes"} = order
    assert {:ok, %{note: "thanks"}} = Plugins.transform(name, %{@order | note: "thanks"})

    euros = %{@order | currency: :eur}
    assert Plugins.transform(name, euros) == {:ok, euros}

    negative = %{@order | lines: [%{article: "bolt", quantity: 1, unit_price: -1.0}]}
    assert {:error, "a price is negative"} = Plugins.transform(name, negative)

    assert Plugins.log(name) ==
             for(n <- 1..2, do: {:info, "order 17 is number #{n} in francs"})
  end

  test "the plugin in JavaScript answers many calls at a time" do
    name = upload!("rounding")

    answers =
      1..40
      |> Task.async_stream(fn _n -> Plugins.transform(name, @order) end,
        max_concurrency: 8,
        timeout: 60_000
      )
      |> Enum.map(fn {:ok, answer} -> answer end)

    assert Enum.all?(answers, &match?({:ok, %{lines: [%{unit_price: 1.5}]}}, &1))
    assert length(Plugins.log(name)) == 40
  end

  defp upload!(file) do
    path = Path.join(System.fetch_env!("EXOSUIT_TOOLCHAINS"), file <> ".wasm")
    name = "#{file}-#{System.unique_integer([:positive])}"
    :ok = Plugins.upload(name, File.read!(path))
    on_exit(fn -> Plugins.remove(name) end)
    name
  end
end
