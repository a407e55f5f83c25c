defmodule Exosuit.Lattice.ContractTest do
  # What a bus and a store promise, on each backend.
  use Exosuit.HostCase, async: true

  alias Exosuit.{Directory, Error}
  alias Exosuit.Lattice.{Bus, Session, Store}

  @bucket :configurations

  setup context do
    directory = if context[:lattice] == :directory, do: tmp_dir!()
    server = if context[:lattice] == :nats, do: Exosuit.Nats.start!()
    start(%{directory: directory, server: server})
  end

  defp start(%{directory: directory, server: server} = it) do
    nats = server && Exosuit.Nats.options(server)
    host = start_supervised_host!(data_dir: directory, nats: nats)
    session = session(host)
    assert eventually(fn -> Bus.connected?(session) end)
    Map.merge(it, %{host: host, session: session})
  end

  for lattice <- [:memory, :directory, :nats] do
    describe "the store (#{lattice})" do
      @describetag lattice: lattice

      test "a key has the value that was written last, and its revision", %{session: it} do
        assert {:ok, {nil, 0}} = Store.read(it, @bucket, "app.shop")
        assert {:ok, first} = Store.compare_and_set(it, @bucket, "app.shop", "one", 0)
        assert {:ok, {"one", ^first}} = Store.read(it, @bucket, "app.shop")
        assert :conflict = Store.compare_and_set(it, @bucket, "app.shop", "two", 0)
        assert {:ok, second} = Store.compare_and_set(it, @bucket, "app.shop", "two", first)
        assert second > first
        assert {:ok, "two"} = Store.get(it, @bucket, "app.shop")
        assert {:ok, nil} = Store.get(it, :data, "app.shop")
        assert {:ok, nil} = Store.get(it, :applications, "app.shop")
      end

      test "of those that write at once, one does", %{session: it} do
        set = fn n -> Store.compare_and_set(it, @bucket, "key", "#{n}", 0) end
        results = 1..16 |> Enum.map(&Task.async(fn -> set.(&1) end)) |> Task.await_many(30_000)
        assert [{:ok, revision}] = Enum.reject(results, &(&1 == :conflict))
        assert {:ok, {_value, ^revision}} = Store.read(it, @bucket, "key")
      end

      test "no change is lost to another", %{session: it} do
        add = fn old -> {:put, "#{String.to_integer(old || "0") + 1}"} end

        1..8
        |> Enum.map(fn _ -> Task.async(fn -> Store.update(it, @bucket, "key", add) end) end)
        |> Task.await_many(30_000)

        assert {:ok, "8"} = Store.get(it, @bucket, "key")
        assert :ok = Store.update(it, @bucket, "key", fn "8" -> :keep end)
        assert {:ok, "8"} = Store.get(it, @bucket, "key")
      end

      test "a deleted key can be put again, by its last revision alone", %{session: it} do
        assert :ok = Store.delete(it, @bucket, "never")
        {:ok, first} = Store.compare_and_set(it, @bucket, "key", "one", 0)
        assert {:ok, false} = Store.remove(it, @bucket, "key", first + 1)
        assert {:ok, true} = Store.remove(it, @bucket, "key", first)
        assert {:ok, {nil, deleted}} = Store.read(it, @bucket, "key")
        assert deleted > first
        assert :conflict = Store.compare_and_set(it, @bucket, "key", "two", first)
        assert {:ok, second} = Store.compare_and_set(it, @bucket, "key", "two", deleted)
        assert second > deleted
        assert :ok = Store.delete(it, @bucket, "key")
        assert {:ok, nil} = Store.get(it, @bucket, "key")
        assert :ok = Store.update(it, @bucket, "key", fn nil -> {:put, "three"} end)
        assert {:ok, "three"} = Store.get(it, @bucket, "key")
      end

      test "a watch gets what there is, in the order of revisions, and then what changes",
           context do
        it = context.session
        revisions = for key <- ~w(b c a), do: set!(it, key, key)
        :ok = Store.delete(it, @bucket, "c")
        {:ok, watch} = Store.watch(it, @bucket)
        assert [b, _c, a] = revisions
        assert next(watch) == {:put, "b", "b", b}
        assert next(watch) == {:put, "a", "a", a}
        assert next(watch) == :current

        changed = set!(it, "b", "later")
        assert next(watch) == {:put, "b", "later", changed}
        :ok = Store.delete(it, @bucket, "a")
        assert next(watch) == {:deleted, "a"}
        again = set!(it, "a", "again")
        assert next(watch) == {:put, "a", "again", again}
        {:ok, %{revision: ^again}} = Store.position(it, @bucket)
        # Of other buckets nothing.
        :ok = Store.update(it, :data, "LINKDEF_x", fn nil -> {:put, "{}"} end)
        last = set!(it, "last", "")
        assert next(watch) == {:put, "last", "", last}
      end

      test "a watch sends one change, and the next one when asked", %{session: it} do
        set!(it, "a", "1")
        {:ok, %{reference: reference} = watch} = Store.watch(it, @bucket)
        assert_receive {:exosuit_lattice, ^reference, {:put, "a", "1", _revision}}, 10_000
        for n <- 1..3, do: set!(it, "b", "#{n}")
        refute_received {:exosuit_lattice, ^reference, _more}
        :ok = Bus.next(watch)
        assert_receive {:exosuit_lattice, ^reference, change}, 10_000
        # Of three changes that wait, none but the last need be told.
        assert change == :current or match?({:put, "b", _value, _revision}, change)
        :ok = Bus.next(watch)
        assert eventually_told(watch, {"b", "3"})
        :ok = Bus.unsubscribe(watch)
      end

      test "bad keys are refused before anything is sent", %{session: it} do
        for key <- [
              "",
              "a b",
              "a.*",
              ">",
              ".a",
              "a..b",
              "a\r\nPUB x",
              String.duplicate("k", 1_025)
            ] do
          assert {:error, %Error{reason: :invalid_input}} = Store.read(it, @bucket, key)
          assert {:error, %Error{reason: :invalid_input}} = Store.delete(it, @bucket, key)
          assert {:error, %Error{reason: :invalid_input}} = Store.remove(it, @bucket, key, 0)

          assert {:error, %Error{reason: :invalid_input}} =
                   Store.compare_and_set(it, @bucket, key, "", 0)
        end
      end

      test "a value that is too large is refused", %{session: it} do
        large = String.duplicate("v", Bus.max_payload(it) + 1)

        assert {:error, %Error{reason: :invalid_input, detail: detail}} =
                 Store.compare_and_set(it, @bucket, "key", large, 0)

        assert detail =~ "the value has #{byte_size(large)} bytes"
        assert {:ok, {nil, 0}} = Store.read(it, @bucket, "key")
      end

      test "a position names the bucket and its last revision", %{session: it} do
        assert {:ok, %{identity: identity, revision: 0}} = Store.position(it, @bucket)
        revision = set!(it, "key", "1")
        assert {:ok, %{identity: ^identity, revision: ^revision}} = Store.position(it, @bucket)
        :ok = Store.delete(it, @bucket, "key")
        assert {:ok, %{identity: ^identity, revision: later}} = Store.position(it, @bucket)
        assert later > revision
        assert is_binary(identity)
      end

      test "an object is there under its digest", %{session: it} do
        bytes = :crypto.strong_rand_bytes(3_000_000)
        digest = Store.digest(bytes)
        assert digest =~ ~r/\Asha256:[0-9a-f]{64}\z/
        assert {:ok, []} = Store.objects(it)
        assert {:error, %Error{reason: :not_found} = error} = Store.fetch_object(it, digest)
        assert Exception.message(error) =~ digest

        before = System.system_time(:millisecond) - 5_000
        assert {:ok, ^digest} = Store.put_object(it, bytes)
        assert {:ok, ^digest} = Store.put_object(it, bytes)
        assert {:ok, empty} = Store.put_object(it, "")
        assert {:ok, ^bytes} = Store.fetch_object(it, digest)
        assert {:ok, ""} = Store.fetch_object(it, empty)

        assert {:ok, objects} = Store.objects(it)
        expected = Enum.sort([{digest, 3_000_000}, {empty, 0}])
        assert for(object <- objects, do: {object.digest, object.size}) == expected
        assert Enum.all?(objects, &(&1.at >= before))

        assert :ok = Store.delete_object(it, digest)
        assert :ok = Store.delete_object(it, digest)
        assert {:error, %Error{reason: :not_found}} = Store.fetch_object(it, digest)
        assert {:ok, [%{digest: ^empty}]} = Store.objects(it)
        assert {:ok, ^digest} = Store.put_object(it, bytes)
        assert {:ok, ^bytes} = Store.fetch_object(it, digest)
      end

      test "an object that is too large, and a digest that is none, are refused", %{session: it} do
        large = :binary.copy(<<0>>, 268_435_457)
        assert {:error, %Error{reason: :invalid_input} = error} = Store.put_object(it, large)

        assert Exception.message(error) =~
                 "the object has 268435457 bytes, at most 268435456 are allowed"

        upper = "sha256:" <> String.duplicate("A", 64)

        for digest <- ["", "sha256:", upper, "sha256:../../etc/passwd", nil] do
          assert {:error, %Error{reason: :invalid_input}} = Store.fetch_object(it, digest)
          assert {:error, %Error{reason: :invalid_input}} = Store.delete_object(it, digest)
        end
      end
    end

    describe "the bus (#{lattice})" do
      @describetag lattice: lattice

      test "a message reaches all who listen, by wildcards as well", %{session: it} do
        heard =
          for subject <- ["a.b.c", "a.*.c", "a.>", "*.b.>", "*.b.*"], do: subscribe!(it, subject)

        others =
          for {subject, fitting} <- [
                {"a.b", "a.b"},
                {"*.q", "x.q"},
                {"a.b.c.*", "a.b.c.d"},
                {"a.b.c.>", "a.b.c.d"},
                {"A.b.c", "A.b.c"}
              ],
              do: {subscribe!(it, subject), fitting}

        :ok = Bus.publish(it, "a.b.c", "hello")
        for subscription <- heard, do: assert(next(subscription) == {"a.b.c", nil, "hello"})

        # The first that these get is another one.
        for {subscription, fitting} <- others do
          :ok = Bus.publish(it, fitting, "other")
          assert next(subscription) == {fitting, nil, "other"}
        end
      end

      test "messages come in their order, one at a time", %{session: it} do
        %{reference: reference} = subscription = subscribe!(it, "things.*")
        for n <- 1..100, do: assert(:ok = Bus.publish(it, "things.#{n}", "#{n}"))

        assert_receive {:exosuit_lattice, ^reference, {"things.1", nil, "1"}}, 10_000
        refute_received {:exosuit_lattice, ^reference, _more}
        :ok = Bus.next(subscription)
        for n <- 2..100, do: assert(next(subscription) == {"things.#{n}", nil, "#{n}"})
        :ok = Bus.unsubscribe(subscription)
        assert eventually(fn -> silent?(it, "things.1") end)
      end

      test "of a group, one gets each message", %{session: it} do
        members = for _ <- 1..3, do: subscribe!(it, "work.*", "group")
        other = subscribe!(it, "work.>", "other")
        alone = subscribe!(it, "work.1")
        for n <- 1..30, do: :ok = Bus.publish(it, "work.#{n}", "#{n}")

        for n <- 1..30, do: assert(next(other) == {"work.#{n}", nil, "#{n}"})
        assert next(alone) == {"work.1", nil, "1"}
        assert members |> drain(30) |> Enum.sort() == Enum.sort(for n <- 1..30, do: "#{n}")
        for %{reference: it} <- members, do: refute_received({:exosuit_lattice, ^it, _message})
      end

      test "a request gets the first answer", %{session: it} do
        %{reference: reference} = subscribe!(it, "ask")
        asked = Task.async(fn -> Bus.request(it, "ask", "how", 30_000) end)
        assert_receive {:exosuit_lattice, ^reference, {"ask", reply_to, "how"}}, 10_000
        :ok = Bus.publish(it, reply_to, "so")
        _late = Bus.publish(it, reply_to, "late")
        assert Task.await(asked) == {:ok, "so"}
      end

      test "a request that nobody takes fails at once, and one without an answer in time",
           context do
        it = context.session
        assert {:error, %Error{reason: :unavailable} = error} = Bus.request(it, "no", "", 30_000)
        assert Exception.message(error) =~ "no host on the lattice serves no"
        assert {:ok, []} = Bus.gather(it, "no", "", 30_000, 10)

        subscribe!(it, "mute")
        assert {:error, %Error{reason: :deadline} = error} = Bus.request(it, "mute", "", 50)
        assert Exception.message(error) =~ "no answer came from mute"
        refute_received {_reference, _answer}
      end

      test "all answers are gathered, and so many end the wait", %{session: it} do
        for text <- ~w(one two),
            do: start_supervised!({Task, fn -> serve(it, text) end}, id: text)

        assert eventually(fn ->
                 {:ok, answers} = Bus.gather(it, "all", "", 300, 10)
                 Enum.sort(answers) == ~w(one two)
               end)

        assert {:ok, [_one]} = Bus.gather(it, "all", "", 30_000, 1)
      end

      test "what ends with its process takes nothing more", %{session: it} do
        {:ok, _gone} = Task.await(Task.async(fn -> Bus.subscribe(it, "alone") end))
        assert eventually(fn -> silent?(it, "alone") end)
      end

      test "bad subjects are refused, and messages that are too large", %{session: it} do
        for subject <- ["", "a b", "a\r\nPUB x"] do
          assert {:error, %Error{reason: :invalid_input}} = Bus.publish(it, subject, "")
          assert {:error, %Error{reason: :invalid_input}} = Bus.subscribe(it, subject)
        end

        large = String.duplicate("m", Bus.max_payload(it) + 1)
        assert {:error, %Error{reason: :invalid_input} = error} = Bus.publish(it, "a", large)
        assert Exception.message(error) =~ "the message has #{byte_size(large)} bytes"
      end
    end
  end

  for lattice <- [:directory, :nats] do
    describe "after a restart (#{lattice})" do
      @describetag lattice: lattice

      test "everything is as it was", it do
        kept = set!(it.session, "kept", "value")
        set!(it.session, "gone", "value")
        :ok = Store.delete(it.session, @bucket, "gone")
        :ok = Store.update(it.session, :data, "LINKDEF_x", fn nil -> {:put, "{}"} end)
        {:ok, digest} = Store.put_object(it.session, "bytes")
        {:ok, {nil, deleted}} = Store.read(it.session, @bucket, "gone")
        {:ok, position} = Store.position(it.session, @bucket)

        :ok = stop_supervised(it.host)
        %{session: session} = start(it)
        assert {:ok, {"value", ^kept}} = Store.read(session, @bucket, "kept")
        assert {:ok, {nil, ^deleted}} = Store.read(session, @bucket, "gone")
        # Links of a host by itself end with it.
        link = if Session.has?(session, :others), do: "{}"
        assert {:ok, ^link} = Store.get(session, :data, "LINKDEF_x")
        assert {:ok, ^position} = Store.position(session, @bucket)
        assert {:ok, "bytes"} = Store.fetch_object(session, digest)
        assert set!(session, "kept", "later") > deleted
      end
    end
  end

  defp session(host), do: Directory.fetch!(host, :instance).lattice

  defp set!(session, key, value) do
    {:ok, {_old, revision}} = Store.read(session, @bucket, key)
    {:ok, written} = Store.compare_and_set(session, @bucket, key, value, revision)
    written
  end

  defp subscribe!(session, subject, group \\ nil) do
    {:ok, subscription} = Bus.subscribe(session, subject, group)
    subscription
  end

  defp next(%{reference: reference} = inlet) do
    assert_receive {:exosuit_lattice, ^reference, item}, 10_000
    :ok = Bus.next(inlet)
    item
  end

  defp serve(session, text) do
    session |> subscribe!("all") |> answer(session, text)
  end

  defp answer(%{reference: reference} = subscription, session, text) do
    receive do
      {:exosuit_lattice, ^reference, {"all", reply_to, ""}} ->
        :ok = Bus.publish(session, reply_to, text)
        :ok = Bus.next(subscription)
        answer(subscription, session, text)
    end
  end

  defp silent?(session, subject) do
    match?({:error, %Error{reason: :unavailable}}, Bus.request(session, subject, "", 50))
  end

  defp eventually_told(watch, {key, value}) do
    case next(watch) do
      {:put, ^key, ^value, _revision} -> true
      _before -> eventually_told(watch, {key, value})
    end
  end

  defp drain(_members, 0), do: []

  defp drain(members, left) do
    references = Map.new(members, &{&1.reference, &1})

    receive do
      {:exosuit_lattice, reference, {_subject, nil, payload}}
      when is_map_key(references, reference) ->
        :ok = Bus.next(Map.fetch!(references, reference))
        [payload | drain(members, left - 1)]
    after
      10_000 -> []
    end
  end
end
