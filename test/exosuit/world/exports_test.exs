defmodule Exosuit.World.ExportsTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.World

  @wanted """
  package acme:plugins@1.0.0;
  interface types {
    enum color { red, green }
    flags rights { read, write }
    variant shipping { pickup, parcel(string) }
    record line { article: string, price: f64, note: option<string>, stock: map<string, u32> }
    record order { lines: list<line>, color: color, rights: rights, shipping: shipping, at: tuple<u8, u16> }
  }
  interface health { check: func() -> result<u32, string>; }
  world plugin {
    use types.{order};
    export transform: func(order: order) -> result<order, string>;
    export health;
  }
  """

  setup do
    %{dir: tmp_dir!()}
  end

  test "a world fits itself, and one that names its types and parameters differently", %{dir: dir} do
    assert :ok == check(dir, @wanted)

    assert :ok ==
             check(dir, """
             package acme:plugins@1.0.0;
             interface other {
               enum paint { red, green }
               flags may { read, write }
               variant way { pickup, parcel(string) }
               type article = string;
               type count = u32;
               record item { article: article, price: f64, note: option<string>, stock: map<string, count> }
               record basket { lines: list<item>, color: paint, rights: may, shipping: way, at: tuple<u8, u16> }
               type purchase = basket;
             }
             interface health { check: func() -> result<u32, string>; more: func(); }
             world plugin {
               use other.{purchase};
               export transform: func(it: purchase) -> result<purchase, string>;
               export health;
               export more: func();
             }
             """)
  end

  for {old, new, said} <- [
        {"price: f64", "price: f32", "transform: order.lines[].price: expected f64, got f32"},
        {"price: f64", "cost: f64",
         "transform: order.lines[]: expected record of article, price, note, stock, got record of article, cost, note, stock"},
        {"note: option<string>", "note: string",
         "transform: order.lines[].note: expected option, got string"},
        {"note: option<string>", "note: option<char>",
         "transform: order.lines[].note: expected string, got char"},
        {"map<string, u32>", "map<string, u8>",
         "transform: order.lines[].stock[]: expected u32, got u8"},
        {"map<string, u32>", "map<char, u32>",
         "transform: order.lines[].stock[key]: expected string, got char"},
        {"{ red, green }", "{ red, blue }",
         "transform: order.color: expected enum of red, green, got enum of red, blue"},
        {"{ read, write }", "{ read }",
         "transform: order.rights: expected flags of read, write, got flags of read"},
        {"parcel(string)", "parcel",
         "transform: order.shipping.parcel: expected string, got nothing"},
        {"tuple<u8, u16>", "tuple<u8, u8>", "transform: order.at.1: expected u16, got u8"},
        {"order) -> result<order, string>", "order) -> result<order>",
         "transform: result.error: expected string, got nothing"},
        {"order) -> result<order, string>", "order)",
         "transform: result: expected result of ok, error, got nothing"},
        {"transform: func(order: order)", "transform: func(order: order, more: u8)",
         "expected transform: func(order: order) -> result<order, string>, got func(order: order, more: u8)"},
        {"export transform:", "export change:",
         "expected an export transform: func(order: order) -> result<order, string>, got " <>
           "acme:plugins/health@1.0.0#check, change"},
        {"result<u32, string>; }", "result<u32, u8>; }",
         "acme:plugins/health@1.0.0#check: result.error: expected string, got u8"}
      ] do
    test "#{new} in the place of #{old} is named", %{dir: dir} do
      other = String.replace(@wanted, unquote(old), unquote(new))
      assert {:error, %Error{reason: :invalid_module, detail: detail}} = check(dir, other)
      assert detail =~ unquote(said)
    end
  end

  test "names of a stranger's component make no long error", %{dir: dir} do
    exports = for n <- 1..9, do: "export #{String.duplicate("a", 1_000)}#{n}: func();"
    other = "package acme:other; world other { #{exports} }"
    assert {:error, %Error{detail: detail}} = check(dir, other)
    assert String.length(detail) == 1_000
  end

  # Whether the world of one text has the exports of the wanted one.
  defp check(dir, other) do
    [world, wanted] =
      for {text, n} <- Enum.with_index([other, @wanted]) do
        path = Path.join(dir, "#{n}.wit")
        File.write!(path, text)
        {:ok, world} = World.read(path)
        world
      end

    World.check_exports(world, wanted)
  end
end
