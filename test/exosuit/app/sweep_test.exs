defmodule Exosuit.App.SweepTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.App.{Record, Sweep}
  alias Exosuit.Directory
  alias Exosuit.Lattice.Store

  @two_days 2 * 86_400_000

  test "an object goes once two sweeps in a row found it old and unnamed" do
    session = Directory.fetch!(start_supervised_host!(), :instance).lattice
    {:ok, named} = Store.put_object(session, "named")
    {:ok, unnamed} = Store.put_object(session, "unnamed")
    version = %{model: named, manifest: named, objects: [], at: 0, by: "me"}
    {:ok, record} = Record.new("app", version)
    names = Sweep.named([record])
    later = System.system_time(:millisecond) + @two_days

    # It is young; found once; named again; and at last twice.
    now = System.system_time(:millisecond)
    assert {:ok, none} = Sweep.run(session, names, MapSet.new([unnamed]), now)
    assert MapSet.size(none) == 0
    assert {:ok, found} = Sweep.run(session, names, none, later)
    assert found == MapSet.new([unnamed])
    assert {:ok, again} = Sweep.run(session, MapSet.put(names, unnamed), found, later)
    assert {:ok, "unnamed"} = Store.fetch_object(session, unnamed)
    assert {:ok, found} = Sweep.run(session, names, again, later)
    assert {:ok, left} = Sweep.run(session, names, found, later)
    assert MapSet.size(left) == 0
    assert {:error, %Error{reason: :not_found}} = Store.fetch_object(session, unnamed)
    assert {:ok, "named"} = Store.fetch_object(session, named)
  end
end
