defmodule Exosuit.App.ReaderTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.App.{Placement, Reader, Shares, Snapshot, Snapshots}
  alias Exosuit.Directory

  test "while the processes of the applications start, a question is an error and not a crash" do
    instance = Directory.fetch!(start_supervised_host!(), :instance)
    assert Reader.list(instance) == []
    assert {:error, %Error{reason: :not_found}} = Reader.status(instance, "app")

    # One whose processes are not there.
    stray = %{instance | name: __MODULE__}
    assert Snapshots.table(stray, Exosuit.App.Shares) == nil
    assert {:error, %Error{reason: :unavailable}} = Reader.status(stray, "app")
    assert {:error, %Error{reason: :unavailable}} = Shares.table(stray)
    assert Reader.records(stray) == []
  end

  test "the table counts as filled only when it has all applications" do
    table = :ets.new(:applications, [:set])
    state = %Shares{instance: nil, tasks: nil, reports_to: nil, table: table}

    # The table is looked at while it is being filled.
    snapshots =
      Stream.map(["counter", "shop"], fn app ->
        refute Snapshots.filled?(table)
        {app, %Snapshot{}}
      end)

    news = {:know, state.member, Placement.candidates([]), snapshots}
    assert {:noreply, _state} = Shares.handle_cast(news, state)
    assert Snapshots.filled?(table)
    assert Snapshots.apps(table) == ["counter", "shop"]
  end
end
