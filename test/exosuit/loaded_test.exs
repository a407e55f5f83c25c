defmodule Exosuit.LoadedTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.Actor.Handover
  alias Exosuit.{Artifact, Directory}
  alias Exosuit.Host.{Actors, Reconciler, Specifications}

  setup do
    host = start_supervised_host!()
    instance = Directory.fetch!(host, :instance)
    %{host: host, instance: instance, dir: tmp_dir!()}
  end

  defp load!(it, path) do
    {:ok, loaded} = Artifact.load({:file, path, nil}, it.instance.config)
    loaded
  end

  test "the code that was checked starts, although its file has changed since", it do
    {path, keys} = Guests.sign(it.dir, "busy", rev: 1)
    key = keys.subject["public_key"]
    loaded = load!(it, path)
    File.write!(path, "no module")

    assert {:ok, ^key} = Actors.start(it.instance, loaded, [])
    assert {:ok, "first"} = Exosuit.call(it.host, key, "op", "")
    assert {:ok, %{image_ref: "file://" <> ^path}} = Exosuit.fetch_actor(it.host, key)
  end

  test "the code that was checked replaces running code, although its file has changed since",
       it do
    {first, keys} = Guests.sign(it.dir, "busy", rev: 1)
    {second, _keys} = Guests.sign(it.dir, "second", [rev: 2] ++ Map.to_list(keys))
    {:ok, id} = Exosuit.start_actor(it.host, first)
    loaded = load!(it, second)
    File.rm!(second)

    assert :ok = Actors.update(it.instance, id, loaded, [])
    assert {:ok, "second"} = Exosuit.call(it.host, id, "op", "")
  end

  test "an object whose bytes have another digest is refused", it do
    bytes = File.read!(Guests.path("echo"))
    digest = Exosuit.Native.digest(bytes)
    named = &{:object, "echo.wasm", "sha256:" <> String.downcase(&1), {:bytes, bytes}}
    config = %{it.instance.config | unsigned: :allow}

    assert {:ok, %{digest: ^digest, claims: :unsigned}} = Artifact.load(named.(digest), config)
    other = String.reverse(digest)
    assert {:error, %Error{reason: :io}} = Artifact.load(named.(other), config)
  end

  test "nothing on the host keeps the bytes of an actor that runs from a file", it do
    {path, _keys} = Guests.sign(it.dir, "echo")
    %{size: size} = File.stat!(path)
    {:ok, id} = Exosuit.start_actor(it.host, path)
    actor = Exosuit.whereis(it.host, id)

    for role <- [Reconciler, Specifications, :actors],
        pid = GenServer.whereis(Directory.via(it.host, role)),
        do: assert(binaries(pid, size) == [])

    # It hibernates a moment after it has reported its start.
    assert eventually(fn -> binaries(actor, size) == [] end)
    assert :ets.tab2list(it.instance.tables.handover) == []
  end

  test "code that nobody took is gone after the start, or when its lender is gone", it do
    {path, _keys} = Guests.sign(it.dir, "echo")
    loaded = load!(it, path)
    test = self()

    {lender, monitor} =
      spawn_monitor(fn ->
        Handover.lend(it.instance, loaded, fn reference ->
          send(test, {:lent, reference})
          receive do: (:never -> :ok)
        end)
      end)

    assert_receive {:lent, abandoned}
    Process.exit(lender, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^lender, :killed}

    lent = Handover.lend(it.instance, loaded, & &1)
    assert Handover.take(it.instance, abandoned) == nil
    assert Handover.take(it.instance, lent) == nil
  end

  defp binaries(pid, size) do
    {:binary, binaries} = Process.info(pid, :binary)
    Enum.filter(binaries, fn {_address, bytes, _count} -> bytes == size end)
  end
end
