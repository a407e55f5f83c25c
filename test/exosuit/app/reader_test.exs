defmodule Exosuit.App.ReaderTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.App.{Reader, Shares, Snapshots}
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
end
