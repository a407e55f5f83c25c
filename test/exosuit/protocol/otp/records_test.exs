defmodule Exosuit.Protocol.Otp.RecordsTest do
  use ExUnit.Case, async: true

  alias Exosuit.{Error, Json}
  alias Exosuit.Model.Link
  alias Exosuit.Protocol.Otp.Records

  @link %Link{source: "Mbob", target: "V", namespace: "wasmcloud", package: "testy"}

  test "a record has the key that the peers give it" do
    assert Records.key(Link.key(@link)) ==
             "LINKDEF_B40411AD09B70A2C83D59923584F66BA2C5A3C274DC4F19416DA49CCD6531F9C"
  end

  test "a link is decoded as it was encoded" do
    link = %{@link | target_config: %{"URL" => "x"}}
    assert Records.expressible?(link)
    {:ok, record} = Records.encode(link)

    assert {:ok, fields} = Json.decode(record)
    assert "LINKDEF_" <> fields["id"] == Records.key(Link.key(link))
    assert fields["values"] == %{"URL" => "x"}
    assert Records.decode(record) == {:ok, link}
  end

  test "links with interfaces or with configurations other than the target's cannot be expressed" do
    for more <- [[interfaces: ["store"]], [source_config: %{"a" => "b"}], [target_configs: ["c"]]] do
      refute Records.expressible?(struct!(@link, more))
    end
  end

  test "a record may lack what follows, and a link of another contract has colons" do
    {:ok, record} =
      Json.encode(%{actor_id: "M", provider_id: "V", contract_id: "wasmcloud:builtin:logging"})

    assert {:ok, %Link{name: "default", package: "builtin:logging", target_config: none}} =
             Records.decode(record)

    assert none == %{}
  end

  test "what is no link is refused" do
    for change <- [%{actor_id: "a.b"}, %{contract_id: "x"}, %{values: %{a: 1}}, %{link_name: "*"}] do
      fields = %{actor_id: "M", provider_id: "V", contract_id: "a:b", values: %{}}
      {:ok, record} = Json.encode(Map.merge(fields, change))
      assert {:error, %Error{reason: :invalid_input}} = Records.decode(record)
    end
  end
end
