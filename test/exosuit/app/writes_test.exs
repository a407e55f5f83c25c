defmodule Exosuit.App.WritesTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.App.{Record, Writes}
  alias Exosuit.Directory
  alias Exosuit.Model.Digest

  # A store in which a key was deleted by revision 10, and which accepts a write after exactly that.
  defmodule Deleted do
    def read(_handle, :applications, "app.shop"), do: {:ok, {nil, 10}}
    def compare_and_set(_handle, :applications, "app.shop", _text, 10), do: {:ok, 11}
  end

  setup do
    instance = Directory.fetch!(start_supervised_host!(), :instance)
    %{instance: put_in(instance.lattice.backend, Deleted)}
  end

  test "a record is put back, unless it was deleted after the store lacked it", %{instance: it} do
    digest = Digest.of("code")
    version = %{model: digest, manifest: digest, objects: [], at: 1, by: "me"}
    {:ok, record} = Record.new("shop", version)

    for record <- [record, {:newer, 2, "newer"}] do
      assert Writes.put_back(it, "shop", record, 10) == {:ok, 11}
      assert Writes.put_back(it, "shop", record, 9) == :conflict
      assert Writes.record(it, "shop", record, 10) == {:ok, 11}
    end
  end
end
