defmodule Exosuit.MessagePackTest do
  use ExUnit.Case, async: true

  alias Exosuit.{Error, MessagePack}

  doctest MessagePack

  # By the specification, each form at its first and last value.
  @golden [
    {nil, "c0"},
    {false, "c2"},
    {true, "c3"},
    {0, "00"},
    {127, "7f"},
    {128, "cc80"},
    {255, "ccff"},
    {256, "cd0100"},
    {65_535, "cdffff"},
    {65_536, "ce00010000"},
    {4_294_967_295, "ceffffffff"},
    {4_294_967_296, "cf0000000100000000"},
    {18_446_744_073_709_551_615, "cfffffffffffffffff"},
    {-1, "ff"},
    {-32, "e0"},
    {-33, "d0df"},
    {-128, "d080"},
    {-129, "d1ff7f"},
    {-32_768, "d18000"},
    {-32_769, "d2ffff7fff"},
    {-2_147_483_648, "d280000000"},
    {-2_147_483_649, "d3ffffffff7fffffff"},
    {-9_223_372_036_854_775_808, "d38000000000000000"},
    {1.5, "cb3ff8000000000000"},
    {"", "a0"},
    {"hello", "a568656c6c6f"},
    {"ü", "a2c3bc"},
    {{:bin, ""}, "c400"},
    {{:bin, <<255, 0>>}, "c402ff00"},
    {[], "90"},
    {[1, "a", [nil]], "9301a16191c0"},
    {%{}, "80"},
    {%{"key" => "a", "value" => 1}, "82a36b6579a161a576616c756501"},
    {%{1 => true}, "8101c3"},
    {{:ext, -1, <<0, 0, 0, 1>>}, "d6ff00000001"},
    {{:ext, 5, "abc"}, "c70305616263"}
  ]

  for {value, hex} <- @golden do
    test "#{hex}" do
      bytes = Base.decode16!(unquote(hex), case: :lower)
      assert MessagePack.encode!(unquote(Macro.escape(value))) == bytes
      assert MessagePack.decode(bytes) == {:ok, unquote(Macro.escape(value))}
    end
  end

  test "lengths take the shortest form" do
    for {length, head} <- [
          {31, "bf"},
          {32, "d920"},
          {255, "d9ff"},
          {256, "da0100"},
          {65_535, "daffff"},
          {65_536, "db00010000"}
        ] do
      bytes = MessagePack.encode!(String.duplicate("x", length))
      assert String.starts_with?(Base.encode16(bytes, case: :lower), head <> "78")
      assert {:ok, text} = MessagePack.decode(bytes)
      assert byte_size(text) == length
    end

    for {length, head} <- [{15, "9f"}, {16, "dc0010"}, {65_536, "dd00010000"}] do
      bytes = MessagePack.encode!(List.duplicate(nil, length))
      assert String.starts_with?(Base.encode16(bytes, case: :lower), head <> "c0")
      assert {:ok, values} = MessagePack.decode(bytes)
      assert length(values) == length
    end
  end

  test "forms that are longer than need be are read, and floats of 32 bits" do
    for {hex, value} <- [
          {"cd0001", 1},
          {"d30000000000000001", 1},
          {"db0000000161", "a"},
          {"dd0000000101", [1]},
          {"df00000001a16101", %{"a" => 1}},
          {"ca3fc00000", 1.5},
          {"c60000000161", {:bin, "a"}}
        ] do
      assert MessagePack.decode(Base.decode16!(hex, case: :lower)) == {:ok, value}
    end
  end

  test "what is encoded is decoded to the same, whatever it is" do
    :rand.seed(:exsss, {1, 2, 3})

    for _ <- 1..2_000 do
      value = random(4)
      assert MessagePack.decode(MessagePack.encode!(value)) == {:ok, value}
    end
  end

  test "what is cut off or changed is an error or a value, and never a crash" do
    :rand.seed(:exsss, {4, 5, 6})

    for _ <- 1..1_000 do
      bytes = MessagePack.encode!(random(4))
      cut = binary_part(bytes, 0, :rand.uniform(byte_size(bytes)) - 1)
      assert {:error, %Error{reason: :invalid_input}} = MessagePack.decode(cut)
      assert {kind, _} = MessagePack.decode(flip(bytes))
      assert kind in [:ok, :error]
    end
  end

  test "what is no MessagePack is told, without its bytes" do
    for {bytes, why} <- [
          {"", "it ends within a value"},
          {<<0xC1>>, "0xc1"},
          {<<1, 2>>, "1 bytes are left over"},
          {<<0xA1, 0xFF>>, "not UTF-8"},
          {<<0xCB, 0x7F, 0xF0, 0::48>>, "not a number"},
          {<<0x82, 0xA1, "a", 1, 0xA1, "a", 2>>, "twice"},
          {<<0xDD, 0xFFFFFFFF::32, 1>>, "ends within"},
          {String.duplicate(<<0x91>>, 1_000_000), "more than 128 deep"}
        ] do
      assert {:error, %Error{detail: detail} = error} = MessagePack.decode(bytes)
      assert detail =~ why
      assert_raise Error, fn -> raise error end
    end
  end

  test "what has no MessagePack is the caller's mistake" do
    for {value, why} <- [
          {:atom, "expected nil"},
          {{1, 2}, "expected nil"},
          {~D[2024-01-01], "structs"},
          {<<255>>, "{:bin, binary}"},
          {18_446_744_073_709_551_616, "below 2\\^64"},
          {-9_223_372_036_854_775_809, "below 2\\^64"},
          {{:ext, 200, ""}, "expected nil"},
          {Enum.reduce(1..200, [], fn _, inner -> [inner] end), "128 deep"}
        ] do
      assert_raise ArgumentError, Regex.compile!(why), fn -> MessagePack.encode!(value) end
    end
  end

  defp random(0), do: scalar(:rand.uniform(7))

  defp random(depth) do
    case :rand.uniform(4) do
      1 -> for _ <- 1..small()//1, do: random(depth - 1)
      2 -> for _ <- 1..small()//1, into: %{}, do: {random_key(), random(depth - 1)}
      _scalar -> scalar(:rand.uniform(7))
    end
  end

  defp random_key, do: if(:rand.uniform(4) == 1, do: scalar(3), else: scalar(5))

  defp scalar(1), do: nil
  defp scalar(2), do: :rand.uniform(2) == 1
  defp scalar(3), do: Bitwise.bsl(1, :rand.uniform(64) - 1) - :rand.uniform(300)
  defp scalar(4), do: -Bitwise.bsl(1, :rand.uniform(63) - 1) + :rand.uniform(300)
  defp scalar(5), do: for(_ <- 1..small()//1, into: "", do: <<:rand.uniform(0xD000)::utf8>>)
  defp scalar(6), do: {:bin, :rand.bytes(small() * 20)}

  defp scalar(7),
    do: Enum.random([(:rand.uniform() - 0.5) * 1.0e9, {:ext, small(), :rand.bytes(small())}])

  defp small, do: :rand.uniform(18) - 1

  defp flip(bytes) do
    at = :rand.uniform(byte_size(bytes)) - 1
    <<head::binary-size(at), _byte, tail::binary>> = bytes
    <<head::binary, :rand.uniform(256) - 1, tail::binary>>
  end
end
