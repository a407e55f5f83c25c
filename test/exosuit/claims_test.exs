defmodule Exosuit.ClaimsTest do
  use Exosuit.HostCase, async: true

  import Bitwise

  alias Exosuit.{Claims, Config, Json, Retry}

  doctest Claims

  test "claims that are not valid yet are worth another try, and those that expired are not" do
    config = Config.new!(name: __MODULE__, trusted_issuers: :any)
    now = System.os_time(:second)

    assert {:ok, %Claims{}} = Claims.admit(signed(%{"nbf" => now - 60}), config)
    assert {:error, %Error{} = early} = Claims.admit(signed(%{"nbf" => now + 3_600}), config)
    assert {:error, %Error{} = late} = Claims.admit(signed(%{"exp" => now - 60}), config)

    assert early.reason == :unavailable and not Retry.final?(early.reason)
    assert late.reason == :invalid_claims and Retry.final?(late.reason)
  end

  # The guest with a token that says more; the command line signs none that is valid later.
  defp signed(more) do
    {path, %{issuer: issuer}} = Guests.sign(tmp_dir!(), "echo")
    [token] = Regex.run(~r/eyJ[\w-]+\.[\w-]+\.[\w-]+/, File.read!(path))
    [header, body, _signature] = String.split(token, ".")
    {:ok, claims} = body |> Base.url_decode64!(padding: false) |> Json.decode()
    {:ok, body} = claims |> Map.merge(more) |> Json.encode()
    text = "#{header}.#{Base.url_encode64(body, padding: false)}"
    token = "#{text}.#{Base.url_encode64(signature(text, issuer["seed"]), padding: false)}"
    File.read!(Guests.path("echo")) <> section("jwt", token)
  end

  # A seed: two bytes of its kind, the key, two of a checksum.
  defp signature(text, seed) do
    <<_kind::16, key::binary-size(32), _checksum::16>> = Base.decode32!(seed, padding: false)
    :crypto.sign(:eddsa, :none, text, [key, :ed25519])
  end

  # A custom section of a Wasm module.
  defp section(name, content) do
    body = <<byte_size(name), name::binary, content::binary>>
    <<0, leb128(byte_size(body))::binary, body::binary>>
  end

  defp leb128(n) when n < 0x80, do: <<n>>
  defp leb128(n), do: <<1::1, band(n, 0x7F)::7, leb128(n >>> 7)::binary>>
end
