defmodule Exosuit.MessagePack do
  @moduledoc """
  MessagePack, as the interfaces of wasmCloud use it.

      iex> bytes = Exosuit.MessagePack.encode!(%{"key" => "a", "value" => 1})
      iex> Exosuit.MessagePack.decode(bytes)
      {:ok, %{"key" => "a", "value" => 1}}

  | MessagePack | Elixir |
  |---|---|
  | nil, booleans, integers (from -2⁶³ below 2⁶⁴), floats | the same |
  | str | a binary, which must be UTF-8 |
  | bin | `{:bin, binary}`: tagged, so that text and bytes come back as what they were |
  | array | a list |
  | map | a map; its keys are strings with wasmCloud, and may be anything that is encoded |
  | ext | `{:ext, type, binary}` |

  Decoding an encoded term gives the same term. Floats are written with 64 bits, everything else in its shortest form.
  Reading accepts any form. It refuses a float that is not a number, a key that occurs twice in a map, and values
  nested more than 128 deep.
  """

  alias Exosuit.Error

  @type value ::
          nil
          | boolean()
          | integer()
          | float()
          | String.t()
          | {:bin, binary()}
          | {:ext, -128..127, binary()}
          | [value()]
          | %{optional(value()) => value()}

  @max_depth 128
  @max_length 0xFFFFFFFF

  @doc """
  The bytes of a value. Raises `ArgumentError` for a term without a form in MessagePack.

      iex> Exosuit.MessagePack.encode!(["on", {:bin, <<255>>}])
      <<0x92, 0xA2, "on", 0xC4, 1, 255>>

      iex> Exosuit.MessagePack.encode!(<<255>>)
      ** (ArgumentError) expected a string of UTF-8; bytes are written as {:bin, binary}
  """
  @spec encode!(value()) :: binary()
  def encode!(value), do: IO.iodata_to_binary([encode(value, @max_depth)])

  @doc """
  Decodes the bytes, which must be exactly one value. An error has the reason `:invalid_input`.

      iex> Exosuit.MessagePack.decode(<<0x93, 1, 0xC0, 0xA1, "x">>)
      {:ok, [1, nil, "x"]}

      iex> {:error, error} = Exosuit.MessagePack.decode(<<0x93, 1>>)
      iex> error.detail
      "invalid MessagePack: it ends within a value"
  """
  @spec decode(binary()) :: {:ok, value()} | {:error, Error.t()}
  def decode(bytes) when is_binary(bytes) do
    case value(bytes, @max_depth) do
      {value, ""} -> {:ok, value}
      {_value, rest} -> refuse("#{byte_size(rest)} bytes are left over after the value")
    end
  catch
    {:malformed, why} -> refuse(why)
  end

  @doc """
  As `decode/1`; raises the error.

      iex> Exosuit.MessagePack.decode!(<<0xC3>>)
      true
  """
  @spec decode!(binary()) :: value()
  def decode!(bytes) do
    case decode(bytes) do
      {:ok, value} -> value
      {:error, error} -> raise error
    end
  end

  defp refuse(why), do: {:error, Error.new(:invalid_input, "invalid MessagePack: #{why}")}

  defp encode(_value, 0), do: raise(ArgumentError, "expected values less than 128 deep")
  defp encode(nil, _depth), do: 0xC0
  defp encode(false, _depth), do: 0xC2
  defp encode(true, _depth), do: 0xC3
  defp encode(number, _depth) when is_integer(number), do: integer(number)
  defp encode(number, _depth) when is_float(number), do: <<0xCB, number::float>>
  defp encode(text, _depth) when is_binary(text), do: string(text)
  defp encode({:bin, bytes}, _depth) when is_binary(bytes), do: [bin(byte_size(bytes)), bytes]

  defp encode({:ext, type, bytes}, _depth) when type in -128..127 and is_binary(bytes),
    do: [ext(byte_size(bytes)), <<type::signed>>, bytes]

  defp encode(values, depth) when is_list(values) do
    [array(length(values)) | Enum.map(values, &encode(&1, depth - 1))]
  end

  defp encode(map, depth) when is_map(map) and not is_struct(map) do
    pairs = for {key, value} <- map, do: [encode(key, depth - 1), encode(value, depth - 1)]
    [map(map_size(map)) | pairs]
  end

  # Does not show the value, which may be secret.
  defp encode(_value, _depth) do
    raise ArgumentError,
          "expected nil, a boolean, a number, a string, {:bin, binary}, {:ext, type, binary}, " <>
            "a list or a map; atoms, structs and other tuples have no form in MessagePack"
  end

  defp integer(n) when n in 0..0x7F, do: n
  defp integer(n) when n in -0x20..-1, do: <<n::signed>>
  defp integer(n) when n in 0..0xFF, do: <<0xCC, n>>
  defp integer(n) when n in 0..0xFFFF, do: <<0xCD, n::16>>
  defp integer(n) when n in 0..0xFFFFFFFF, do: <<0xCE, n::32>>
  defp integer(n) when n in 0..0xFFFFFFFFFFFFFFFF, do: <<0xCF, n::64>>
  defp integer(n) when n in -0x80..-1, do: <<0xD0, n::signed>>
  defp integer(n) when n in -0x8000..-1, do: <<0xD1, n::signed-16>>
  defp integer(n) when n in -0x80000000..-1, do: <<0xD2, n::signed-32>>
  defp integer(n) when n in -0x8000000000000000..-1, do: <<0xD3, n::signed-64>>
  defp integer(_n), do: raise(ArgumentError, "expected an integer from -2^63 below 2^64")

  defp string(text) do
    unless String.valid?(text) do
      raise ArgumentError, "expected a string of UTF-8; bytes are written as {:bin, binary}"
    end

    [str(byte_size(text)), text]
  end

  defp str(n) when n < 0x20, do: 0xA0 + n
  defp str(n) when n <= 0xFF, do: <<0xD9, n>>
  defp str(n) when n <= 0xFFFF, do: <<0xDA, n::16>>
  defp str(n), do: <<0xDB, length32(n)::32>>

  defp bin(n) when n <= 0xFF, do: <<0xC4, n>>
  defp bin(n) when n <= 0xFFFF, do: <<0xC5, n::16>>
  defp bin(n), do: <<0xC6, length32(n)::32>>

  defp array(n) when n < 0x10, do: 0x90 + n
  defp array(n) when n <= 0xFFFF, do: <<0xDC, n::16>>
  defp array(n), do: <<0xDD, length32(n)::32>>

  defp map(n) when n < 0x10, do: 0x80 + n
  defp map(n) when n <= 0xFFFF, do: <<0xDE, n::16>>
  defp map(n), do: <<0xDF, length32(n)::32>>

  defp ext(1), do: 0xD4
  defp ext(2), do: 0xD5
  defp ext(4), do: 0xD6
  defp ext(8), do: 0xD7
  defp ext(16), do: 0xD8
  defp ext(n) when n <= 0xFF, do: <<0xC7, n>>
  defp ext(n) when n <= 0xFFFF, do: <<0xC8, n::16>>
  defp ext(n), do: <<0xC9, length32(n)::32>>

  defp length32(n) when n <= @max_length, do: n
  defp length32(_n), do: raise(ArgumentError, "expected less than 4 GiB, or 2^32 values")

  defp value(_bytes, 0), do: throw({:malformed, "values are nested more than #{@max_depth} deep"})
  defp value(<<n, rest::binary>>, _depth) when n < 0x80, do: {n, rest}
  defp value(<<0x8::4, n::4, rest::binary>>, depth), do: pairs(n, rest, depth)
  defp value(<<0x9::4, n::4, rest::binary>>, depth), do: values(n, rest, depth)
  defp value(<<0b101::3, n::5, rest::binary>>, _depth), do: text(n, rest)
  defp value(<<0xC0, rest::binary>>, _depth), do: {nil, rest}
  defp value(<<0xC2, rest::binary>>, _depth), do: {false, rest}
  defp value(<<0xC3, rest::binary>>, _depth), do: {true, rest}
  defp value(<<0xC4, n, rest::binary>>, _depth), do: bytes(n, rest)
  defp value(<<0xC5, n::16, rest::binary>>, _depth), do: bytes(n, rest)
  defp value(<<0xC6, n::32, rest::binary>>, _depth), do: bytes(n, rest)
  defp value(<<0xC7, n, rest::binary>>, _depth), do: extension(n, rest)
  defp value(<<0xC8, n::16, rest::binary>>, _depth), do: extension(n, rest)
  defp value(<<0xC9, n::32, rest::binary>>, _depth), do: extension(n, rest)
  defp value(<<0xCA, number::float-32, rest::binary>>, _depth), do: {number, rest}
  defp value(<<0xCB, number::float-64, rest::binary>>, _depth), do: {number, rest}
  defp value(<<0xCA, _number::32, _rest::binary>>, _depth), do: no_number()
  defp value(<<0xCB, _number::64, _rest::binary>>, _depth), do: no_number()
  defp value(<<0xCC, n, rest::binary>>, _depth), do: {n, rest}
  defp value(<<0xCD, n::16, rest::binary>>, _depth), do: {n, rest}
  defp value(<<0xCE, n::32, rest::binary>>, _depth), do: {n, rest}
  defp value(<<0xCF, n::64, rest::binary>>, _depth), do: {n, rest}
  defp value(<<0xD0, n::signed, rest::binary>>, _depth), do: {n, rest}
  defp value(<<0xD1, n::signed-16, rest::binary>>, _depth), do: {n, rest}
  defp value(<<0xD2, n::signed-32, rest::binary>>, _depth), do: {n, rest}
  defp value(<<0xD3, n::signed-64, rest::binary>>, _depth), do: {n, rest}
  defp value(<<0xD4, rest::binary>>, _depth), do: extension(1, rest)
  defp value(<<0xD5, rest::binary>>, _depth), do: extension(2, rest)
  defp value(<<0xD6, rest::binary>>, _depth), do: extension(4, rest)
  defp value(<<0xD7, rest::binary>>, _depth), do: extension(8, rest)
  defp value(<<0xD8, rest::binary>>, _depth), do: extension(16, rest)
  defp value(<<0xD9, n, rest::binary>>, _depth), do: text(n, rest)
  defp value(<<0xDA, n::16, rest::binary>>, _depth), do: text(n, rest)
  defp value(<<0xDB, n::32, rest::binary>>, _depth), do: text(n, rest)
  defp value(<<0xDC, n::16, rest::binary>>, depth), do: values(n, rest, depth)
  defp value(<<0xDD, n::32, rest::binary>>, depth), do: values(n, rest, depth)
  defp value(<<0xDE, n::16, rest::binary>>, depth), do: pairs(n, rest, depth)
  defp value(<<0xDF, n::32, rest::binary>>, depth), do: pairs(n, rest, depth)
  defp value(<<0b111::3, n::5, rest::binary>>, _depth), do: {n - 0x20, rest}
  defp value(<<0xC1, _rest::binary>>, _depth), do: throw({:malformed, "0xc1 begins no value"})
  defp value(_short, _depth), do: too_short()

  defp text(n, bytes) do
    case bytes do
      <<text::binary-size(n), rest::binary>> -> {valid(text), rest}
      _short -> too_short()
    end
  end

  defp valid(text) do
    if String.valid?(text), do: text, else: throw({:malformed, "a str is not UTF-8"})
  end

  defp bytes(n, bytes) do
    case bytes do
      <<bytes::binary-size(n), rest::binary>> -> {{:bin, bytes}, rest}
      _short -> too_short()
    end
  end

  defp extension(n, bytes) do
    case bytes do
      <<type::signed, bytes::binary-size(n), rest::binary>> -> {{:ext, type, bytes}, rest}
      _short -> too_short()
    end
  end

  # A declared length reserves nothing: values are read one after the other, as far as bytes follow.
  defp values(n, bytes, depth, read \\ [])
  defp values(0, bytes, _depth, read), do: {Enum.reverse(read), bytes}

  defp values(n, bytes, depth, read) do
    {value, rest} = value(bytes, depth - 1)
    values(n - 1, rest, depth, [value | read])
  end

  defp pairs(n, bytes, depth, read \\ %{})
  defp pairs(0, bytes, _depth, read), do: {read, bytes}

  defp pairs(n, bytes, depth, read) do
    {key, rest} = value(bytes, depth - 1)
    {value, rest} = value(rest, depth - 1)
    if is_map_key(read, key), do: throw({:malformed, "a map has the same key twice"})
    pairs(n - 1, rest, depth, Map.put(read, key, value))
  end

  defp no_number, do: throw({:malformed, "a float is not a number (NaN or infinity)"})
  defp too_short, do: throw({:malformed, "it ends within a value"})
end
