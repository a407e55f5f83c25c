defmodule Plugins.HostTest do
  # Not async: it kills the host of the app, and its log.
  use Exosuit.Case

  alias Plugins.{Host, Uploads}

  @order %{
    id: "1",
    currency: :usd,
    lines: [%{article: "nut", quantity: 1, unit_price: 1}],
    note: nil
  }

  test "a killed host runs the uploaded plugins again, with their stores" do
    :ok = Plugins.upload("ada", File.read!("priv/discount.wasm"))
    {:ok, _order} = Plugins.transform("ada", @order)

    # An upload that the end of the app interrupted, is not accepted.
    path = Uploads.write!("ada", File.read!("test/guests/bad.wasm"))
    host = host()
    Process.exit(host, :kill)

    eventually(fn -> host() not in [nil, host] and match?({:ok, _}, transform()) end)
    assert [{"ada", :running}] = Plugins.list()
    assert {:info, "order 1 is number 2, discounts: 0"} = List.last(Plugins.log("ada"))
    assert File.exists?(path)

    :ok = Plugins.upload("ada", File.read!("priv/discount.wasm"))
    refute File.exists?(path)
    :ok = Plugins.remove("ada")
    assert Plugins.list() == []
  end

  test "a killed log begins empty, and no plugin ends with it" do
    :ok = Plugins.upload("bob", File.read!("priv/discount.wasm"))
    {:ok, _order} = Plugins.transform("bob", @order)
    log = Process.whereis(Plugins.Log)
    plugin = Exosuit.whereis(Host, Host.actor("bob"))
    Process.exit(log, :kill)

    eventually(fn -> Process.whereis(Plugins.Log) not in [nil, log] end)
    {:ok, _order} = Plugins.transform("bob", @order)
    assert Plugins.log("bob") == [info: "order 1 is number 2, discounts: 0"]
    assert Exosuit.whereis(Host, Host.actor("bob")) == plugin
    :ok = Plugins.remove("bob")
  end

  # While its supervisor starts it, it has no process.
  defp host do
    {Host, pid, :supervisor, _modules} =
      List.keyfind(Supervisor.which_children(Plugins.Supervisor), Host, 0)

    if is_pid(pid), do: pid
  end

  defp transform do
    Plugins.transform("ada", @order)
  rescue
    # For a moment there is no such host.
    error in ArgumentError -> {:error, error}
  end
end
