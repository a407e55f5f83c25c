defmodule Exosuit.Lattice.LocalStoreTest do
  # What the store of a host without NATS survives.
  use Exosuit.HostCase, async: true

  alias Exosuit.{Directory, Registries}
  alias Exosuit.Lattice.{Bus, Store}
  alias Exosuit.Lattice.Local.{Log, Objects, Writer}

  @bucket :configurations

  describe "the log" do
    test "is read as it was written" do
      records = records()
      assert Log.decode(IO.iodata_to_binary(file(records))) == {records, nil}
    end

    test "is never read as something else, wherever it is damaged or cut off" do
      records = records()
      bytes = IO.iodata_to_binary(file(records))

      for at <- 0..(byte_size(bytes) - 1) do
        <<before::binary-size(at), byte, rest::binary>> = bytes
        damaged = <<before::binary, Bitwise.bxor(byte, 0x10), rest::binary>>
        {read, wrong} = Log.decode(damaged)
        assert read -- records == [] and length(read) < length(records)
        assert is_binary(wrong)

        {read, wrong} = Log.decode(before)
        assert List.starts_with?(records, read)
        # Between two records, nothing tells that there were more.
        assert is_binary(wrong) or before == IO.iodata_to_binary(file(read))
      end
    end

    test "with a record that is damaged has all the others" do
      [first, second, third | _] = records()
      [format, one, two, three] = file([first, second, third])
      <<sizes::binary-size(12), _type, rest::binary>> = IO.iodata_to_binary(two)
      bytes = IO.iodata_to_binary([format, one, sizes, 0, rest, three])
      assert {[^first, ^third], wrong} = Log.decode(bytes)
      assert wrong =~ "the record at byte"
    end

    test "takes terms that are no records for damage" do
      for term <- [
            :x,
            {:put, :data, "a", -1, ""},
            {:put, :other, "a", 1, ""},
            {:put, :data, 1, 1, ""}
          ] do
        payload = :erlang.term_to_binary(term)
        size = <<byte_size(payload)::32>>
        crcs = <<:erlang.crc32(size)::32, :erlang.crc32(payload)::32>>
        assert {[], wrong} = Log.decode(IO.iodata_to_binary([file([]), size, crcs, payload]))
        assert is_binary(wrong)
      end
    end
  end

  describe "a killed writer" do
    test "does not end its host, however soon it is killed" do
      Process.flag(:trap_exit, true)

      for _round <- 1..30 do
        options = [name: __MODULE__, trusted_issuers: :any, unsigned: :allow]
        {:ok, top} = Exosuit.start_link(options)
        writer = writer(__MODULE__)
        kill(writer)
        assert eventually(fn -> writer(__MODULE__) not in [nil, writer] end)
        assert Process.alive?(top)
        :ok = Supervisor.stop(top)
      end
    end

    for kept <- [true, false] do
      @tag kept: kept
      test "loses nothing, and watches go on (with a data directory: #{kept})", %{kept: kept} do
        host = start_supervised_host!(data_dir: if(kept, do: tmp_dir!()))
        it = session(host)
        first = set!(it, "one", "1")
        {:ok, digest} = Store.put_object(it, "bytes")
        {:ok, watch} = Store.watch(it, @bucket)
        assert next(watch) == {:put, "one", "1", first}
        assert next(watch) == :current
        {:ok, position} = Store.position(it, @bucket)

        writer = writer(host)
        kill(writer)
        assert {:ok, {"1", ^first}} = Store.read(it, @bucket, "one")
        assert eventually(fn -> writer(host) not in [nil, writer] end)
        assert {:ok, ^position} = Store.position(it, @bucket)
        assert {:ok, "bytes"} = Store.fetch_object(it, digest)

        assert eventually(fn ->
                 match?({:ok, _revision}, Store.compare_and_set(it, @bucket, "two", "2", 0))
               end)

        assert {:put, "two", "2", _revision} = next(watch)
      end
    end

    test "does not take the revisions of links back" do
      host = start_supervised_host!(data_dir: tmp_dir!())
      it = session(host)

      put = fn bucket, value ->
        {:ok, _} = Store.write(it, bucket, "LINK_x", fn _ -> value end)
      end

      put.(:data, {:put, "1"})
      # The log is shortened in between.
      for n <- 1..6, do: put.(:configurations, {:put, String.duplicate("#{n}", 900_000)})
      for n <- 2..9, do: put.(:data, {:put, "#{n}"})
      {:ok, position} = Store.position(it, :data)

      writer = writer(host)
      kill(writer)
      assert eventually(fn -> writer(host) not in [nil, writer] end)
      _loaded = :sys.get_state(writer(host))
      assert Store.position(it, :data) == {:ok, position}
    end

    test "has the watches compare: what was written and not told is told" do
      host = start_supervised_host!()
      it = session(host)
      set!(it, "gone", "1")
      {:ok, watch} = Store.watch(it, @bucket)
      assert {:put, "gone", "1", 1} = next(watch)
      assert next(watch) == :current

      # As a writer that is killed between the table and the watches leaves it.
      :sys.suspend(writer(host))
      :ets.insert(it.handle.table, [{{@bucket, "new"}, "2", 2}, {{:revision, @bucket}, 2}])
      :ets.delete(it.handle.table, {@bucket, "gone"})
      kill(writer(host))
      assert Enum.sort([next(watch), next(watch)]) == [{:deleted, "gone"}, {:put, "new", "2", 2}]
      assert eventually(fn -> set(it, "new", "3") == {:ok, 3} end)
    end
  end

  describe "a damaged log" do
    test "is kept aside and told, what can be read is in use, and the bucket is another one" do
      dir = tmp_dir!()
      host = start_supervised_host!(data_dir: dir)
      it = session(host)
      for n <- 1..3, do: set!(it, "key.#{n}", "value")
      {:ok, %{identity: identity}} = Store.position(it, @bucket)
      :ok = stop_supervised(host)

      path = Path.join(dir, "lattice.log")
      bytes = File.read!(path)
      File.write!(path, [bytes, "rubbish"])
      name = :"damaged_#{System.unique_integer([:positive])}"
      :ok = Exosuit.subscribe(name)
      child = start_supervised_host!(name: name, data_dir: dir)
      assert_receive {:exosuit_event, %{type: "lattice_state_damaged", data: data}}
      assert %{path: ^path, kept_as: aside, reason: :io, error: error} = data
      assert error =~ "#{path} is damaged: the record at byte #{byte_size(bytes)}"
      assert File.read!(aside) == bytes <> "rubbish"

      it = session(name)
      for n <- 1..3, do: assert({:ok, "value"} = Store.get(it, @bucket, "key.#{n}"))
      assert {:ok, %{identity: other, revision: 3}} = Store.position(it, @bucket)
      assert other != identity

      # Told once: the new file is whole.
      :ok = stop_supervised(child)
      start_supervised_host!(name: name, data_dir: dir)
      assert_receive {:exosuit_event, %{type: "host_started"}}
      refute_received {:exosuit_event, %{type: "lattice_state_damaged"}}
      assert {:ok, %{identity: ^other}} = Store.position(session(name), @bucket)
    end

    test "of a data directory that cannot be written is told, and the host serves from memory" do
      dir = tmp_dir!()
      File.mkdir_p!(Path.join(dir, "lattice.log"))
      name = :"unkept_#{System.unique_integer([:positive])}"
      :ok = Exosuit.subscribe(name)
      start_supervised_host!(name: name, data_dir: dir)
      assert_receive {:exosuit_event, %{type: "lattice_state_not_kept", data: %{error: error}}}
      assert error =~ "#{dir}/lattice.log cannot be read"
      assert set!(session(name), "key", "value") == 1
      assert {:ok, _digest} = Store.put_object(session(name), "bytes")
      assert File.ls!(Path.join(dir, "lattice.log")) == []
    end
  end

  test "a log does not grow without end" do
    dir = tmp_dir!()
    host = start_supervised_host!(data_dir: dir)
    it = session(host)
    value = String.duplicate("v", 900_000)
    for n <- 1..8, do: set!(it, "key", value <> "#{n}")
    assert File.stat!(Path.join(dir, "lattice.log")).size < 5_000_000
    :ok = stop_supervised(host)
    it = session(start_supervised_host!(data_dir: dir))
    assert {:ok, {last, 8}} = Store.read(it, @bucket, "key")
    assert last == value <> "8"
  end

  test "the files are their owner's alone" do
    dir = tmp_dir!()
    it = session(start_supervised_host!(data_dir: dir))
    set!(it, "key", "value")
    assert Bitwise.band(File.stat!(Path.join(dir, "lattice.log")).mode, 0o777) == 0o600
  end

  test "an object whose file is damaged is refused, and replaced when it is put again" do
    dir = tmp_dir!()
    it = session(start_supervised_host!(data_dir: dir))
    {:ok, "sha256:" <> name = digest} = Store.put_object(it, "bytes")
    path = Path.join([dir, "objects", name])
    assert File.read!(path) == "bytes"
    File.write!(path, "other")
    assert {:error, %Error{reason: :io} = error} = Store.fetch_object(it, digest)
    assert Exception.message(error) =~ "#{path} is damaged"
    assert Exception.message(error) =~ Store.digest("other")
    assert {:ok, ^digest} = Store.put_object(it, "bytes")
    assert {:ok, "bytes"} = Store.fetch_object(it, digest)
  end

  test "what a write that broke off has left is no object, and gone with the next start" do
    dir = tmp_dir!()
    left = Path.join([dir, "objects", String.duplicate("a", 64) <> ".1.new"])
    File.mkdir_p!(Path.dirname(left))
    File.write!(left, "half")
    it = session(start_supervised_host!(data_dir: dir))
    assert {:ok, []} = Store.objects(it)
    refute File.exists?(left)
  end

  test "files of objects have a bound together" do
    %{handle: handle} = it = session(start_supervised_host!(data_dir: tmp_dir!()))
    assert {:ok, digest} = Objects.put(handle, "12345", 8)
    assert {:error, %Error{reason: :limit} = error} = Objects.put(handle, "67890", 8)
    assert Exception.message(error) =~ "5 of at most 8 bytes are in use"
    # What is there needs no room.
    assert {:ok, ^digest} = Objects.put(handle, "12345", 8)
    assert {:ok, [%{digest: ^digest}]} = Store.objects(it)
  end

  test "objects in memory are bounded, and say what to set" do
    it = session(start_supervised_host!())
    large = :binary.copy(<<1>>, 268_435_456)
    assert {:ok, first} = Store.put_object(it, large)
    assert {:ok, ^first} = Store.put_object(it, large)
    assert {:ok, _other} = Store.put_object(it, :binary.copy(<<2>>, 268_435_456))
    assert {:error, %Error{reason: :limit} = error} = Store.put_object(it, "one more")
    assert Exception.message(error) =~ "data_dir"
    :ok = Store.delete_object(it, first)
    assert {:ok, _digest} = Store.put_object(it, "one more")
  end

  test "keys and values are bounded" do
    it = session(start_supervised_host!())
    value = String.duplicate("v", 1_048_576)

    assert {:error, %Error{reason: :limit} = error} =
             Enum.find_value(1..65, fn n ->
               with {:ok, _revision} <- set(it, "key.#{n}", value), do: nil
             end)

    assert Exception.message(error) =~ "the store of this host is full"
    # What is there can be changed, and deleted.
    assert {:ok, revision} = set(it, "key.1", "small")
    assert {:ok, true} = Store.remove(it, @bucket, "key.1", revision)
    assert {:ok, _revision} = set(it, "key.2", value)
  end

  test "a second host on the same data directory does not write there" do
    dir = tmp_dir!()
    host = start_supervised_host!(data_dir: dir)
    set!(session(host), "key", "value")
    name = :"second_#{System.unique_integer([:positive])}"
    second = {Exosuit, name: name, trusted_issuers: :any, data_dir: dir}
    assert {:error, {reason, _child}} = start_supervised(second)
    assert inspect(reason) =~ "another host runs on #{dir}"
    assert {:ok, "value"} = Store.get(session(host), @bucket, "key")
  end

  test "hosts of one VM share nothing" do
    [one, other] = for _ <- 1..2, do: session(start_supervised_host!())
    set!(one, "key", "value")
    assert {:ok, nil} = Store.get(other, @bucket, "key")
    {:ok, %{reference: reference}} = Bus.subscribe(one, ">")
    :ok = Bus.publish(other, "a", "")
    :ok = Bus.publish(one, "b", "")
    assert_receive {:exosuit_lattice, ^reference, {"b", nil, ""}}
  end

  test "a slow listener loses what finds no room, and the event says so once" do
    host = start_supervised_host!()
    it = session(host)
    :ok = Exosuit.subscribe(host)
    {:ok, subscription} = Bus.subscribe(it, "flood")
    for n <- 1..5_000, do: :ok = Bus.publish(it, "flood", "#{n}")
    assert_receive {:exosuit_event, %{type: "lattice_slow_consumer", data: data}}
    assert data == %{connection: "local"}
    for n <- 1..4_097, do: assert(next(subscription) == {"flood", nil, "#{n}"})
    :ok = Bus.publish(it, "flood", "later")
    assert next(subscription) == {"flood", nil, "later"}
    refute_received {:exosuit_event, %{type: "lattice_slow_consumer"}}
  end

  test "a subscription of a killed registry ends its process, which its supervisor starts again" do
    it = session(start_supervised_host!())
    test = self()

    listen = fn ->
      {:ok, _subscription} = Bus.subscribe(it, "a")
      send(test, {:listening, self()})
      receive do: (:never -> :ok)
    end

    start_supervised!(%{id: :listener, start: {Task, :start_link, [listen]}, restart: :permanent})
    assert_receive {:listening, first}

    [{inlet, _value}] = Registries.lookup(Registries.subscribers(), {:bus, it.handle.name, "a"})

    kill(inlet)
    assert_receive {:listening, second} when second != first
  end

  defp records do
    [
      {:identity, "it"},
      {:put, :applications, "app.shop", 1, "value"},
      {:put, :data, "LINKDEF_x", 2, ""},
      {:revision, :applications, 7},
      {:deleted, :configurations, "name", 3}
    ]
  end

  defp file(records), do: [Log.format() | Enum.map(records, &Log.encode/1)]

  defp session(host), do: Directory.fetch!(host, :instance).lattice

  defp writer(host), do: GenServer.whereis(Directory.via(host, Writer))

  defp set!(session, key, value) do
    {:ok, revision} = set(session, key, value)
    revision
  end

  defp set(session, key, value) do
    {:ok, {_old, revision}} = Store.read(session, @bucket, key)
    Store.compare_and_set(session, @bucket, key, value, revision)
  end

  defp next(%{reference: reference} = inlet) do
    assert_receive {:exosuit_lattice, ^reference, item}, 10_000
    :ok = Bus.next(inlet)
    item
  end
end
