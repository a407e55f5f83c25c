defmodule Exosuit.Edge.EventForwarderTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.Directory
  alias Exosuit.Edge.EventForwarder

  test "a fact of the data plane that the table lacks is counted, and ends nothing" do
    host = start_supervised_host!()
    :ok = Exosuit.subscribe(host)
    forwarder = GenServer.whereis(Directory.via(host, EventForwarder))

    for notice <- [{"no_such_type", %{}}, {"provider_recovered", %{id: "kv", that: "disk"}}] do
      send(forwarder, {:exosuit_notice, notice})
      assert_receive {:exosuit_event, %{type: "notices_dropped", data: %{count: 1}}}, 5_000
    end

    send(forwarder, {:exosuit_notice, {"provider_recovered", %{id: "kv", what: "disk"}}})
    assert_receive {:exosuit_event, %{type: "provider_recovered", data: data}}, 5_000
    assert data == %{id: "kv", what: "disk"}
    assert GenServer.whereis(Directory.via(host, EventForwarder)) == forwarder
  end
end
