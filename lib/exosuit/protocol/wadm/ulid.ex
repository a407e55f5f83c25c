defmodule Exosuit.Protocol.Wadm.Ulid do
  @moduledoc """
  A ULID, the version that wadm gives to a manifest without one: a text of 26 characters, which sorts by time.

      iex> Exosuit.Protocol.Wadm.Ulid.encode(1_469_918_176_385, <<0::80>>)
      "01ARYZ6S410000000000000000"
  """

  @digits List.to_tuple(String.graphemes("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))

  @doc "The ULID of a time in milliseconds since 1970, and ten random bytes."
  @spec encode(non_neg_integer(), <<_::80>>) :: String.t()
  def encode(time, <<random::binary-size(10)>>) do
    for <<(digit::5 <- <<0::2, time::48, random::binary>>)>>, into: "", do: elem(@digits, digit)
  end
end
