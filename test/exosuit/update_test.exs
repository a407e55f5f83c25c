defmodule Exosuit.UpdateTest do
  use Exosuit.HostCase, async: true

  setup do
    host = start_supervised_host!()
    :ok = Exosuit.subscribe(host)
    %{host: host, dir: tmp_dir!()}
  end

  test "new calls go to the new code, and all that is said of the actor is of the new code", it do
    {first, keys} = sign(it.dir, "busy", rev: 1)
    {second, _keys} = sign(it.dir, "second", keys, rev: 2, ver: "2.0.0")
    {:ok, id} = Exosuit.start_actor(it.host, first, instances: 7, annotations: %{"a" => "b"})
    assert {:ok, "first"} = Exosuit.call(it.host, id, "op", "")

    assert :ok = Exosuit.update_actor(it.host, id, second)
    assert {:ok, "second"} = Exosuit.call(it.host, id, "op", "")

    assert_receive {:exosuit_event, %{type: "actor_updated", data: data}}
    assert %{id: ^id, public_key: ^id, revision: 2, claims: %{version: "2.0.0"}} = data
    assert data.image_ref == "file://" <> second

    assert %{actors: [actor]} = Exosuit.inventory(it.host)
    assert %{instances: 7, annotations: %{"a" => "b"}, claims: %{revision: 2}} = actor
    assert actor.image_ref == "file://" <> second
  end

  test "after a crash it is the new code that starts again, whatever became of its file", it do
    {first, keys} = sign(it.dir, "busy", rev: 1)
    {second, _keys} = sign(it.dir, "second", keys, rev: 2)
    {:ok, id} = Exosuit.start_actor(it.host, first)
    :ok = Exosuit.update_actor(it.host, id, second)
    File.rm!(second)

    kill(Exosuit.whereis(it.host, id))
    assert {:ok, "second"} = Exosuit.call(it.host, id, "op", "")
    # It answers a moment before the directory says so.
    running = &match?(%{actors: [%{claims: %{revision: 2}}]}, &1)
    assert eventually(fn -> running.(Exosuit.inventory(it.host)) end)
  end

  test "one that was adopted before its first start was written down is updated, too", it do
    {first, keys} = sign(it.dir, "busy", rev: 1)
    {second, _keys} = sign(it.dir, "second", keys, rev: 2)
    {:ok, id} = Exosuit.start_actor(it.host, first)
    tables = Exosuit.Directory.fetch!(it.host, :instance).tables
    :ets.update_element(tables.specifications, {:actor, id}, {3, nil})

    assert :ok = Exosuit.update_actor(it.host, id, second)
    assert {:ok, "second"} = Exosuit.call(it.host, id, "op", "")
  end

  test "under load no call is lost", it do
    keys = keys()
    {first, _keys} = sign(it.dir, "busy", keys, rev: 1)
    {:ok, id} = Exosuit.start_actor(it.host, first, instances: 8)
    callers = for _n <- 1..16, do: Task.async(fn -> call_until_stopped(it.host, id, %{}) end)

    for revision <- 2..9 do
      guest = if rem(revision, 2) == 0, do: "second", else: "busy"
      {next, _keys} = sign(it.dir, guest, keys, rev: revision)
      assert :ok = Exosuit.update_actor(it.host, id, next)
    end

    Enum.each(callers, &send(&1.pid, :stop))

    counts =
      callers
      |> Task.await_many(60_000)
      |> Enum.reduce(&Map.merge(&1, &2, fn _, a, b -> a + b end))

    assert %{{:ok, "first"} => _, {:ok, "second"} => _} = counts
    assert map_size(counts) == 2, inspect(counts)
  end

  test "a call that runs finishes in the old code", it do
    {first, keys} = sign(it.dir, "busy", rev: 1)
    {second, _keys} = sign(it.dir, "second", keys, rev: 2)
    {:ok, id} = Exosuit.start_actor(it.host, first, instances: 2)
    running = long_call(it.host, id, 1_500)

    assert :ok = Exosuit.update_actor(it.host, id, second)
    assert {:ok, "second"} = Exosuit.call(it.host, id, "op", "")
    assert Task.yield(running, 0) == nil
    assert {:ok, "first"} = Task.await(running, 60_000)
  end

  test "a call that does not finish is given up after the drain timeout", it do
    host = start_supervised_host!(drain_timeout: 50)
    {first, keys} = sign(it.dir, "faults", rev: 1)
    {second, _keys} = sign(it.dir, "second", keys, rev: 2)
    {:ok, id} = Exosuit.start_actor(host, first, instances: 2)
    spinning = Task.async(fn -> Exosuit.call(host, id, "spin", "", timeout: 60_000) end)
    eventually(fn -> waits_for_answer?(spinning.pid) end)

    assert :ok = Exosuit.update_actor(host, id, second)
    assert {:error, %Error{reason: :dropped}} = Task.await(spinning, 30_000)
    assert {:ok, "second"} = Exosuit.call(host, id, "op", "")
  end

  test "an older revision, the same one, another key, or none are refused, and nothing changes",
       it do
    {first, keys} = sign(it.dir, "busy", rev: 5)
    {:ok, id} = Exosuit.start_actor(it.host, first)
    {older, _keys} = sign(it.dir, "second", keys, rev: 4)
    {other, _keys} = sign(it.dir, "second", rev: 6)

    for {code, reason, text} <- [
          {older, :conflict, "revision 4 is older than 5"},
          {first, :conflict, "revision 5 runs already"},
          {other, :invalid_claims, "another actor"},
          {Guests.path("second"), :invalid_claims, "unsigned"},
          {Path.join(it.dir, "none.wasm"), :io, "none.wasm"}
        ] do
      assert {:error, %Error{reason: ^reason} = error} = Exosuit.update_actor(it.host, id, code)
      assert Exception.message(error) =~ text
      assert_receive {:exosuit_event, %{type: "actor_update_failed", data: data}}
      assert %{id: ^id, reason: ^reason, error: _text} = data
    end

    assert {:error, %Error{reason: :conflict}} =
             Exosuit.update_actor(it.host, id, older, force: true)

    assert {:ok, "first"} = Exosuit.call(it.host, id, "op", "")
    assert %{actors: [%{image_ref: "file://" <> ^first}]} = Exosuit.inventory(it.host)
  end

  test "the same revision is taken when forced", it do
    {first, keys} = sign(it.dir, "busy", rev: 1)
    {rebuilt, _keys} = sign(it.dir, "second", keys, rev: 1)
    {:ok, id} = Exosuit.start_actor(it.host, first)
    assert :ok = Exosuit.update_actor(it.host, id, first, force: true)
    assert :ok = Exosuit.update_actor(it.host, id, rebuilt, force: true)
    assert {:ok, "second"} = Exosuit.call(it.host, id, "op", "")
  end

  test "unsigned code is taken when forced, from bytes, too", it do
    id = start_actor!(it.host, "plain", "busy")
    second = {:bytes, File.read!(Guests.path("second"))}
    assert {:error, %Error{reason: :conflict}} = Exosuit.update_actor(it.host, id, second)
    assert :ok = Exosuit.update_actor(it.host, id, second, force: true)
    assert {:ok, "second"} = Exosuit.call(it.host, id, "op", "")
  end

  test "code that cannot start is rolled back under load", it do
    keys = keys()
    {first, _keys} = sign(it.dir, "busy", keys, rev: 1)
    {:ok, id} = Exosuit.start_actor(it.host, first, instances: 8)
    callers = for _n <- 1..8, do: Task.async(fn -> call_until_stopped(it.host, id, %{}) end)

    broken = Path.join(it.dir, "broken.wasm")
    # An import that no host has: it compiles, and could never be instantiated.
    File.write!(
      broken,
      <<0, "asm", 1::32-little, 1, 4, 1, 0x60, 0, 0, 2, 7, 1, 1, "x", 1, "y", 0, 0>>
    )

    {broken, _keys} = sign(it.dir, "busy", keys, rev: 2, wasm: broken)

    assert {:error, %Error{reason: :invalid_module}} = Exosuit.update_actor(it.host, id, broken)

    assert_receive {:exosuit_event, %{type: "actor_update_failed", data: %{id: ^id}}}
    Enum.each(callers, &send(&1.pid, :stop))

    for counts <- Task.await_many(callers, 60_000),
        do: assert([{:ok, "first"}] = Map.keys(counts))

    assert %{actors: [%{claims: %{revision: 1}}]} = Exosuit.inventory(it.host)
  end

  test "what does not run is not updated", it do
    {first, keys} = sign(it.dir, "busy", rev: 1)

    assert {:error, %Error{reason: :not_found}} =
             Exosuit.update_actor(it.host, keys.subject["public_key"], first)
  end

  test "a manifest puts in place what its file holds, whatever the revision", it do
    keys = keys()
    image = Path.join(it.dir, "app.wasm")
    manifest = Path.join(it.dir, "app.yaml")
    File.write!(manifest, worker_manifest())
    put = fn guest, options -> File.cp!(elem(sign(it.dir, guest, keys, options), 0), image) end

    apply! = fn ->
      {:ok, outcomes, _warnings} = Exosuit.apply_manifest(it.host, manifest)
      for {step, :ok} <- outcomes, do: elem(step, 0)
    end

    put.("busy", rev: 1)
    assert [:start] = apply!.()
    process = Exosuit.whereis(it.host, "app-worker")

    for {guest, revision, answer} <- [{"second", 2, "second"}, {"busy", 1, "first"}] do
      put.(guest, rev: revision)
      assert [:update] = apply!.()
      assert Exosuit.whereis(it.host, "app-worker") == process
      assert {:ok, ^answer} = Exosuit.call(it.host, "app-worker", "op", "")
      assert [] = apply!.()
    end
  end

  test "an update comes from the same issuer, unless that is allowed beside all else", it do
    {first, keys} = sign(it.dir, "busy", rev: 1)
    {other, _keys} = sign(it.dir, "second", %{subject: keys.subject}, rev: 2)
    {:ok, id} = Exosuit.start_actor(it.host, first)

    for options <- [[], [force: true]] do
      assert {:error, %Error{reason: :invalid_claims} = error} =
               Exosuit.update_actor(it.host, id, other, options)

      assert Exception.message(error) =~ keys.issuer["public_key"]
      assert Exception.message(error) =~ "allow_issuer_change"
    end

    assert {:ok, "first"} = Exosuit.call(it.host, id, "op", "")
    assert :ok = Exosuit.update_actor(it.host, id, other, allow_issuer_change: true)
    assert {:ok, "second"} = Exosuit.call(it.host, id, "op", "")
  end

  test "a manifest lets code of another issuer follow only where that is allowed", it do
    image = Path.join(it.dir, "app.wasm")
    manifest = Path.join(it.dir, "app.yaml")
    File.write!(manifest, worker_manifest())
    {first, _keys} = sign(it.dir, "busy", rev: 1)
    File.cp!(first, image)
    {:ok, _outcomes, []} = Exosuit.apply_manifest(it.host, manifest)

    {other, _keys} = sign(it.dir, "second", rev: 2)

    for file <- [other, Guests.path("second")] do
      File.cp!(file, image)

      assert {:ok, [{{:update, _actor}, {:error, %Error{reason: :invalid_claims}}}], []} =
               Exosuit.apply_manifest(it.host, manifest)

      assert {:ok, "first"} = Exosuit.call(it.host, "app-worker", "op", "")
    end

    assert {:ok, [{{:update, _actor}, :ok}], []} =
             Exosuit.apply_manifest(it.host, manifest, allow_issuer_change: true)

    assert {:ok, "second"} = Exosuit.call(it.host, "app-worker", "op", "")
  end

  defp keys, do: %{issuer: Guests.key("account"), subject: Guests.key("module")}

  defp sign(dir, guest, keys \\ %{}, options) do
    Guests.sign(dir, guest, Keyword.merge(options, Keyword.new(keys)))
  end

  defp call_until_stopped(host, id, counts) do
    receive do
      :stop -> counts
    after
      0 ->
        answer = Exosuit.call(host, id, "op", "xy")
        call_until_stopped(host, id, Map.update(counts, answer, 1, &(&1 + 1)))
    end
  end

  defp long_call(host, id, millions) do
    payload = String.duplicate("x", millions)
    task = Task.async(fn -> Exosuit.call(host, id, "op", payload, timeout: 60_000) end)
    eventually(fn -> waits_for_answer?(task.pid) end)
    task
  end

  defp waits_for_answer?(pid), do: Process.info(pid, :status) == {:status, :waiting}
end
