defmodule Exosuit.App.ObjectsTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.App.{KeptObjects, Objects}
  alias Exosuit.Directory
  alias Exosuit.Lattice.Store
  alias Exosuit.Model.Digest

  test "a host without a data directory fetches an object once" do
    instance = Directory.fetch!(start_supervised_host!(), :instance)
    {:ok, digest} = Objects.put(instance, "wasm")
    assert :ok = Objects.ensure(instance, [digest])
    :ok = Store.delete_object(instance.lattice, digest)
    assert {:ok, {:bytes, "wasm"}} = Objects.source(instance, digest)
    assert {:error, %Error{reason: :not_found}} = Objects.fetch(instance, digest)
  end

  test "a host whose data directory cannot be written keeps objects in memory, and runs applications" do
    dir = tmp_dir!()
    File.write!(Path.join(dir, "file"), "")
    host = start_supervised_host!(data_dir: Path.join(dir, "file/below"))
    instance = Directory.fetch!(host, :instance)
    {:ok, digest} = Objects.put(instance, "wasm")
    assert {:ok, {:bytes, "wasm"}} = Objects.source(instance, digest)
    :ok = Store.delete_object(instance.lattice, digest)
    assert {:ok, {:bytes, "wasm"}} = Objects.source(instance, digest)
    assert {:ok, {_digest, {:bytes, "here"}}} = Objects.keep_here(instance, "here")

    assert {:ok, _steps, []} = Exosuit.apply_manifest(host, echo_manifest!())
    assert {:ok, "hello"} = Exosuit.call(host, "app-echo", "Echo.Say", "hello")
  end

  test "what is kept in memory is bounded: the objects that were used last" do
    instance = Directory.fetch!(start_supervised_host!(), :instance)

    kept =
      start_supervised!(%{
        id: :kept,
        start: {KeptObjects, :start_link, [{%{instance | name: __MODULE__}, 10}]}
      })

    for {digest, bytes} <- [a: "1234", b: "5678"], do: :ok = KeptObjects.put(kept, digest, bytes)
    assert KeptObjects.get(kept, :a) == "1234"
    :ok = KeptObjects.put(kept, :c, "90")
    :ok = KeptObjects.put(kept, :d, "12")

    assert for(digest <- [:a, :b, :c, :d], do: KeptObjects.get(kept, digest)) == [
             "1234",
             nil,
             "90",
             "12"
           ]

    :ok = KeptObjects.put(kept, :large, "more than ten")
    assert KeptObjects.get(kept, :large) == nil
    assert KeptObjects.get(kept, :a) == "1234"
  end

  test "files that nothing names or uses are deleted after a day" do
    dir = tmp_dir!()
    instance = Directory.fetch!(start_supervised_host!(data_dir: dir), :instance)

    [named, unnamed] =
      for bytes <- ["named", "unnamed"] do
        {:ok, {digest, {:path, _path}}} = Objects.keep_here(instance, bytes)
        digest
      end

    now = System.system_time(:second)
    :ok = Objects.prune(instance, MapSet.new([named]), now)
    assert {:ok, "unnamed"} = Objects.fetch(instance, unnamed)
    :ok = Objects.prune(instance, MapSet.new([named]), now + 2 * 86_400)
    assert {:error, %Error{reason: :not_found}} = Objects.fetch(instance, unnamed)
    assert {:ok, "named"} = Objects.fetch(instance, named)
  end

  test "objects that the lattice lacks are named" do
    instance = Directory.fetch!(start_supervised_host!(), :instance)
    {:ok, digest} = Objects.put(instance, "there")
    missing = Digest.of("missing")
    assert :ok = Objects.check_there(instance, [digest])

    assert {:error, %Error{reason: :not_found, detail: detail}} =
             Objects.check_there(instance, [digest, missing])

    assert detail =~ missing
  end
end
