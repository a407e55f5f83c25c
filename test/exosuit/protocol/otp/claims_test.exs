defmodule Exosuit.Protocol.Otp.ClaimsTest do
  use ExUnit.Case, async: true

  alias Exosuit.{Error, Json}
  alias Exosuit.Protocol.Otp.Claims

  @key "M" <> String.duplicate("A", 55)

  test "claims of both eras are read, and what is written is the older form" do
    otp = ~s({"call_alias":"","iss":"A","name":"echo","caps":"a:b, c:d","rev":"3","tags":"",
      "version":null,"sub":"#{@key}","contract_id":""})

    later =
      ~s({"call_alias":null,"issuer":"A","name":"echo","revision":"3","subject":"#{@key}","tags":""})

    assert {:ok, %{capabilities: ["a:b", "c:d"]} = claims} = Claims.decode(@key, otp)
    assert {:ok, same} = Claims.decode(@key, later)
    assert same == %{claims | capabilities: []}
    assert {:ok, record} = Claims.encode(claims)
    assert {:ok, ^claims} = Claims.decode(@key, record)

    assert {:ok, %{"iss" => "A", "rev" => "3", "caps" => "a:b,c:d", "contract_id" => ""}} =
             Json.decode(record)

    for wrong <- ["", "[]", ~s({"sub":"other"}), ~s({"rev":"x"}), <<255>>] do
      assert {:error, %Error{reason: :invalid_input}} = Claims.decode(@key, wrong)
    end

    assert {:error, _} = Claims.decode("M", "{}")
  end

  test "a record that is larger than a token may be is refused" do
    {:ok, record} = Json.encode(%{sub: @key, tags: String.duplicate("x", 100_000)})
    assert {:error, %Error{reason: :invalid_input}} = Claims.decode(@key, record)
  end
end
