defmodule Exosuit.Lattice.ApplicationTest do
  # An application on all hosts of a lattice: two of them in one VM, over a real server.
  use Exosuit.HostCase, async: true

  alias Exosuit.Directory

  setup do
    {:ok, {_public_key, seed}} = Exosuit.Claims.generate_key("cluster")
    dir = tmp_dir!()
    {signed, _keys} = Guests.sign(dir, "echo")
    File.rename!(signed, Path.join(dir, "app.wasm"))
    manifest = Path.join(dir, "app.yaml")
    File.write!(manifest, worker_manifest())
    %{seed: seed, manifest: manifest}
  end

  test "it runs on each host, and is taken away from each", it do
    server = Exosuit.Nats.start!()
    options = Exosuit.Nats.options(server, cluster_seed: it.seed)
    one = start_supervised_host!(nats: options, allow_file_load: true)
    two = start_supervised_host!(nats: options, allow_file_load: true)
    await_all(one, [one, two])

    assert {:ok, outcomes, []} = Exosuit.apply_manifest(one, it.manifest)
    assert [{{_, _}, :ok}, {{_, _}, :ok}] = outcomes
    for host <- [one, two], do: assert({:ok, _} = Exosuit.fetch_actor(host, "app-worker"))
    assert {:ok, [], []} = Exosuit.apply_manifest(two, it.manifest)

    assert {:ok, [_, _] = outcomes} = Exosuit.delete_app(two, "app")
    assert Enum.all?(outcomes, &match?({_step, :ok}, &1))
    for host <- [one, two], do: assert({:error, _} = Exosuit.fetch_actor(host, "app-worker"))
    assert {:ok, []} = Exosuit.delete_app(one, "app")
  end

  test "what other hosts are not told of is run by the host that deploys", it do
    settings = """
          traits:
            - type: exosuit
              properties:
                limits: {queue: 7, log: 5}
                grants: {environment: {TZ: UTC}}
                instances: warm
    """

    File.write!(it.manifest, worker_manifest() <> settings)
    server = Exosuit.Nats.start!()
    options = Exosuit.Nats.options(server, cluster_seed: it.seed)
    one = start_supervised_host!(nats: options, allow_file_load: true)
    await_all(one, [one])

    assert {:ok, [{{_one, {:scale_actor, _it}}, :ok}], warnings} =
             Exosuit.apply_manifest(one, it.manifest)

    assert [_limits, _grants, _instances] = warnings
    assert Enum.all?(warnings, &(&1.text =~ "only the host that reads this manifest"))
    assert {:ok, %{warm: %{pool: 4}, grants: grants}} = Exosuit.fetch_actor(one, "app-worker")
    assert grants.environment == ["TZ"]
    # Applied again, nothing differs; with other settings, it is started anew.
    assert {:ok, [], _warnings} = Exosuit.apply_manifest(one, it.manifest)
    File.write!(it.manifest, worker_manifest() <> String.replace(settings, "UTC", "CET"))
    assert {:ok, [_ | _] = outcomes, _warnings} = Exosuit.apply_manifest(one, it.manifest)
    assert Enum.all?(outcomes, &match?({_step, :ok}, &1))

    two = start_supervised_host!(nats: options, allow_file_load: true)
    await_all(one, [one, two])
    there = key(two)

    assert {:ok, [{{^there, _command}, {:error, error}}], _} =
             Exosuit.apply_manifest(one, it.manifest)

    assert Exception.message(error) =~
             "grants, warm instances or limits that only the host of the manifest"
  end

  test "what cannot start stops nothing, on no host", it do
    server = Exosuit.Nats.start!()
    options = Exosuit.Nats.options(server, cluster_seed: it.seed)
    one = start_supervised_host!(nats: options, allow_file_load: true)
    two = start_supervised_host!(nats: options, allow_file_load: true)
    await_all(one, [one, two])
    image = Path.join(Path.dirname(it.manifest), "app.wasm")
    good = File.read!(image)
    traits = "      traits: [{type: exosuit, properties: {limits: {memory: #{0}}}}]\n"
    limits = &(worker_manifest() <> String.replace(traits, "0", &1))
    File.write!(it.manifest, limits.("64MiB"))
    {:ok, _outcomes, []} = Exosuit.apply_manifest(one, it.manifest)
    seen = fn -> for host <- [one, two], do: seen(host) end
    before = seen.()

    for {manifest, code} <- [
          {limits.("1"), good},
          {limits.("1"), File.read!(signed(it, "second"))},
          {limits.("32MiB"), "no Wasm"},
          {limits.("64MiB"), File.read!(Guests.path("second"))},
          {limits.("64MiB"), File.read!(signed(it, "second"))}
        ] do
      File.write!(it.manifest, manifest)
      File.write!(image, code)
      assert {:ok, outcomes, []} = Exosuit.apply_manifest(two, it.manifest)
      failed = for {{host, _command}, {:error, _error}} <- outcomes, uniq: true, do: host
      assert Enum.sort(failed) == Enum.sort([key(one), key(two)])
      assert seen.() == before

      for host <- [one, two],
          do: assert({:ok, "hi"} = Exosuit.call(host, "app-worker", "op", "hi"))
    end

    File.write!(it.manifest, limits.("32MiB"))
    File.write!(image, good)
    {:ok, outcomes, []} = Exosuit.apply_manifest(one, it.manifest)
    assert Enum.all?(outcomes, &match?({_step, :ok}, &1)), inspect(outcomes)
    assert {:ok, [], []} = Exosuit.apply_manifest(two, it.manifest)
    assert Enum.map(seen.(), & &1.pid) == Enum.map(before, & &1.pid)
    assert [%{instances: 1}, %{instances: 1}] = seen.()
  end

  test "a host that may not read files says so, and the others go on", it do
    server = Exosuit.Nats.start!()
    options = Exosuit.Nats.options(server, cluster_seed: it.seed)
    one = start_supervised_host!(nats: options, allow_file_load: true)
    two = start_supervised_host!(nats: options)
    await_all(one, [one, two])
    there = key(two)

    assert {:ok, outcomes, []} = Exosuit.apply_manifest(one, it.manifest)
    assert [{{^there, _command}, {:error, error}}] = Enum.reject(outcomes, &(elem(&1, 1) == :ok))
    assert Exception.message(error) =~ "file"
    assert {:ok, _actor} = Exosuit.fetch_actor(one, "app-worker")
  end

  describe "a manifest among the host's options" do
    setup it do
      image = Path.join(Path.dirname(it.manifest), "app.wasm")
      good = File.read!(image)
      File.write!(image, "no Wasm")
      options = Exosuit.Nats.options(Exosuit.Nats.start!(), cluster_seed: it.seed)

      host =
        start_supervised_host!(nats: options, allow_file_load: true, manifests: [it.manifest])

      pending = eventually(fn -> refused(host) end)
      assert %{status: :refused, reason: :unavailable, retry_in_ms: delay} = pending
      assert pending.id == "manifest #{it.manifest}" and delay in 0..60_000
      assert pending.error =~ "1 of 1 steps failed: run 1 of actor app-worker on #{key(host)}: "
      %{host: host, image: image, good: good}
    end

    test "of which steps fail shows them, and is applied again until none does", it do
      :ok = Exosuit.subscribe(it.host)
      assert_receive {:exosuit_event, %{type: "startup_failed", data: %{error: error}}}, 60_000
      assert error =~ "1 of 1 steps failed: run 1 of actor app-worker"
      File.write!(it.image, it.good)
      assert_receive {:exosuit_event, %{type: "startup_applied"}}, 60_000
      assert Exosuit.inventory(it.host).pending == []
      assert {:ok, "hi"} = Exosuit.call(it.host, "app-worker", "op", "hi")
    end

    test "is not applied again once its application was deleted, or another manifest has it",
         it do
      _nothing = Exosuit.delete_app(it.host, "app")
      assert Exosuit.inventory(it.host).pending == []
      assert retries(it.host) == %{}

      assert {:ok, [failed], []} = Exosuit.apply_manifest(it.host, it.manifest)
      :retried = Exosuit.retry_manifest(it.host, it.manifest, [failed])
      assert [%{status: :refused}] = Exosuit.inventory(it.host).pending
      other = Path.join(Path.dirname(it.manifest), "other.yaml")
      File.write!(it.image, it.good)
      File.cp!(it.manifest, other)
      assert {:ok, [_ | _], []} = Exosuit.apply_manifest(it.host, other)
      assert Exosuit.inventory(it.host).pending == []
      assert retries(it.host) == %{}
    end
  end

  test "without a server it is an error, told of soon", it do
    options = [servers: ["nats://127.0.0.1:#{free_port()}"], connect_timeout: 500]
    host = start_supervised_host!(nats: [cluster_seed: it.seed] ++ options)
    assert {:error, [%{severity: :error, text: text}]} = Exosuit.apply_manifest(host, it.manifest)
    assert text =~ "lattice"
    assert {:error, %Error{reason: :unavailable}} = Exosuit.delete_app(host, "app")
  end

  # The first tries may come before the connection.
  defp refused(host) do
    Enum.find(Exosuit.inventory(host).pending, &((&1.error || "") =~ "steps failed"))
  end

  defp retries(host) do
    :sys.get_state(GenServer.whereis(Directory.via(host, Exosuit.Startup))).retries
  end

  # By another issuer.
  defp signed(it, guest), do: elem(Guests.sign(Path.dirname(it.manifest), guest), 0)

  defp seen(host) do
    {:ok, actor} = Exosuit.fetch_actor(host, "app-worker")
    actor
  end

  # Who is not there when it is applied has none of it.
  defp await_all(host, hosts) do
    keys = Enum.map(hosts, &key/1)
    asked = host |> config() |> Exosuit.Deployer.Hosts.of()

    assert eventually(fn ->
             with {:ok, ids} <- Exosuit.Deployer.Hosts.ids(%{asked | gather: 500}),
                  do: keys -- ids == [],
                  else: (_nobody -> false)
           end)
  end

  defp key(host), do: config(host).source
  defp config(host), do: Directory.fetch!(host, :config)
end
