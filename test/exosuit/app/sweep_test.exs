defmodule Exosuit.App.SweepTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.App.{Record, Sweep}
  alias Exosuit.Directory
  alias Exosuit.Lattice.{Session, Store}

  @two_days 2 * 86_400_000

  # A local store in which somebody writes a record at the moment of a deletion.
  defmodule Busy do
    alias Exosuit.Lattice.Local

    def objects({local, _key, _text}), do: Local.objects(local)
    def get_object({local, _key, _text}, digest), do: Local.get_object(local, digest)
    def put_object({local, _key, _text}, bytes), do: Local.put_object(local, bytes)
    def watch({local, _key, _text}, bucket, reference), do: Local.watch(local, bucket, reference)
    def next(inlet), do: Local.next(inlet)
    def cancel(inlet), do: Local.cancel(inlet)

    def delete_object({local, key, text}, digest) do
      {:ok, _revision} = Local.compare_and_set(local, :applications, key, text, 0)
      Local.delete_object(local, digest)
    end
  end

  # A local store whose objects cannot be read in time.
  defmodule Slow do
    alias Exosuit.Lattice.Local

    defdelegate objects(local), to: Local
    defdelegate delete_object(local, digest), to: Local
    defdelegate watch(local, bucket, reference), to: Local
    defdelegate next(inlet), to: Local
    defdelegate cancel(inlet), to: Local
    def get_object(_local, _digest), do: {:error, Exosuit.Error.new(:deadline, "too late")}
  end

  setup do
    session = Directory.fetch!(start_supervised_host!(), :instance).lattice
    %{session: session, later: System.system_time(:millisecond) + @two_days}
  end

  test "an object goes once two sweeps in a row found it old and unnamed", it do
    session = it.session
    {:ok, named} = Store.put_object(session, "named")
    {:ok, unnamed} = Store.put_object(session, "unnamed")
    write(session, "app", named)

    # It is young; found once; named again; and at last twice.
    now = System.system_time(:millisecond)
    assert {:ok, none} = Sweep.run(session, MapSet.new([unnamed]), now)
    assert MapSet.size(none) == 0
    assert {:ok, found} = Sweep.run(session, none, it.later)
    assert found == MapSet.new([unnamed])
    write(session, "other", unnamed)
    assert {:ok, again} = Sweep.run(session, found, it.later)
    assert {:ok, "unnamed"} = Store.fetch_object(session, unnamed)
    :ok = Store.delete(session, :applications, "app.other")
    assert {:ok, found} = Sweep.run(session, again, it.later)
    assert {:ok, left} = Sweep.run(session, found, it.later)
    assert MapSet.size(left) == 0
    assert {:error, %Error{reason: :not_found}} = Store.fetch_object(session, unnamed)
    assert {:ok, "named"} = Store.fetch_object(session, named)
  end

  test "an object that is named while it is deleted is put back", it do
    {:ok, digest} = Store.put_object(it.session, "used again")
    busy = %Session{backend: Busy, handle: {it.session.handle, "app.app", text("app", digest)}}
    assert {:ok, _left} = Sweep.run(busy, MapSet.new([digest]), it.later)
    assert {:ok, "used again"} = Store.fetch_object(it.session, digest)
  end

  test "an object that cannot be read now stays, as it could not be put back", it do
    {:ok, digest} = Store.put_object(it.session, "unnamed")
    slow = %{it.session | backend: Slow}
    assert {:ok, _left} = Sweep.run(slow, MapSet.new([digest]), it.later)
    assert {:ok, "unnamed"} = Store.fetch_object(it.session, digest)
  end

  test "nothing is deleted while a record cannot be read", it do
    {:ok, digest} = Store.put_object(it.session, "perhaps named")
    {:ok, _revision} = Store.compare_and_set(it.session, :applications, "app.app", "{}", 0)

    assert {:error, %Error{reason: :unavailable}} =
             Sweep.run(it.session, MapSet.new([digest]), it.later)

    assert {:ok, "perhaps named"} = Store.fetch_object(it.session, digest)
  end

  defp write(session, app, digest) do
    :ok =
      Store.update(session, :applications, "app." <> app, fn _old -> {:put, text(app, digest)} end)
  end

  defp text(app, digest) do
    version = %{model: digest, manifest: digest, objects: [], at: 0, by: "me"}
    {:ok, record} = Record.new(app, version)
    {:ok, text} = Record.encode(record)
    text
  end
end
