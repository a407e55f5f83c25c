defmodule Exosuit.KeyValueGuideTest do
  # The examples and tables of guides/keyvalue.md.
  use Exosuit.HostCase, async: true

  alias Exosuit.Http

  @guide File.read!(Path.expand("../../guides/keyvalue.md", __DIR__))
  @counter Path.expand("../../examples/counter/counter_component_s.wasm", __DIR__)

  test "the manifest gives a component a store of its own, in a file" do
    dir = tmp_dir!()
    host = start_supervised_host!(data_dir: dir)
    manifest = Path.join(dir, "app.yaml")
    File.cp!(@counter, Path.join(dir, "counter.wasm"))
    [_all, components] = Regex.run(~r/<!-- manifest -->\n```yaml\n(.*?)```/s, @guide)

    File.write!(manifest, """
    apiVersion: core.oam.dev/v1beta1
    kind: Application
    metadata: {name: app}
    spec:
      components:
    #{components}
    """)

    assert {:ok, _outcomes, []} = Exosuit.apply_manifest(host, manifest)
    port = serve!(host, "app-counter")
    assert {200, ~s({"counter":1})} = get(port, "/a")
    assert File.exists?(Path.join(dir, "keyvalue/app-store.redb"))
    assert [%{target_config: %{"bucket" => "tenant-a"}}] = links_from(host, "app-counter")
  end

  test "tenants with buckets of their own share nothing" do
    host =
      start_supervised_host!(actors: ["shop-a": "components/web", "shop-b": "components/web"])

    run(host, "kv")
    [a, b] = Enum.map(["shop-a", "shop-b"], &serve!(host, &1))
    assert {200, "done"} = get(a, "/kv/set?key=price&value=5")
    assert {200, "5"} = get(a, "/kv/get?key=price")
    assert {404, _none} = get(b, "/kv/get?key=price")
    assert [%{target_config: %{"max_bucket_bytes" => "10m"}}] = links_from(host, "shop-b")
  end

  test "the store in Elixir keeps the counts of a component, and refuses all else" do
    host = start_supervised_host!(actors: [web: "components/web"])
    {:ok, "counter"} = Exosuit.start_actor(host, @counter, id: "counter")
    run(host, "counts")
    port = serve!(host, "counter")
    assert {200, ~s({"counter":1})} = get(port, "/a")
    assert {200, ~s({"counter":2})} = get(port, "/a")
    assert :ets.tab2list(:my_app_counts) == [{{"default", "counter:a"}, 2}]

    :ok = Exosuit.put_link(host, source: "web", target: "counts", contract: "wasi:keyvalue")
    assert {502, error} = get(serve!(host, "web"), "/kv/get?key=a")
    assert error =~ "only counts are kept here"
  end

  test "each row of the operations gives the answer that it says" do
    host = start_supervised_host!(actors: [caller: "caller"])
    start_store!(host, "memory")
    [_all, table] = Regex.run(~r/<!-- operations -->\n(.*?)<!-- end -->/s, @guide)
    rows = Regex.scan(~r/^\| `(\w+)` \| `(.*?)` \| (`.*?`|none) \|/m, table)
    assert length(rows) == 15

    for [_all, operation, arguments, answer] <- rows do
      expected = if answer != "none", do: term(String.trim(answer, "`"))
      assert {operation, keyvalue(host, operation, term(arguments))} == {operation, expected}
    end
  end

  describe "data in" do
    test "memory ends with the provider's process, with new settings, and with the host" do
      host = start_supervised_host!(actors: [caller: "caller"])

      for lose <- [&crash_store/1, &change_settings(&1, "memory"), &delete_store(&1, "memory")] do
        start_store!(host, "memory")
        put(host)
        lose.(host)
        assert %{"exists" => false} = found(host)
        :ok = Exosuit.stop_provider(host, "kv")
      end
    end

    test "a file outlives them all" do
      dir = tmp_dir!()
      host = start_supervised_host!(data_dir: dir, actors: [caller: "caller"])
      start_store!(host, "file")
      put(host)

      for keep <- [&crash_store/1, &change_settings(&1, "file"), &delete_store(&1, "file")] do
        keep.(host)
        assert %{"exists" => true} = found(host)
      end

      stop_supervised!(host)
      host = start_supervised_host!(data_dir: dir, actors: [caller: "caller"])
      start_store!(host, "file")
      assert %{"exists" => true} = found(host)
    end
  end

  # Runs the example that contains this text.
  defp run(host, text) do
    examples = Regex.scan(~r/<!-- run -->\n```elixir\n(.*?)```/s, @guide, capture: :all_but_first)
    [example] = for [code] <- examples, code =~ ~s({:ok, "#{text}"}), do: code
    Code.eval_string(example, host: host)
  end

  defp start_store!(host, backend, settings \\ %{}) do
    config = Map.put(settings, "backend", backend)
    {:ok, "kv"} = Exosuit.start_provider(host, "keyvalue", id: "kv", config: config)
    :ok = Exosuit.put_link(host, source: "caller", target: "kv", contract: "wasmcloud:keyvalue")
  end

  defp crash_store(host) do
    [%{pid: pid}] = Exosuit.inventory(host).providers
    kill(pid)

    eventually(fn ->
      [provider] = Exosuit.inventory(host).providers
      provider.status == :running and provider.pid not in [nil, pid]
    end)
  end

  defp change_settings(host, backend) do
    :ok = Exosuit.stop_provider(host, "kv")
    start_store!(host, backend, %{"max_items" => "10"})
  end

  defp delete_store(host, backend) do
    :ok = Exosuit.stop_provider(host, "kv")
    start_store!(host, backend)
  end

  defp put(host), do: keyvalue(host, "Set", %{"key" => "a", "value" => "x", "expires" => 0})
  defp found(host), do: keyvalue(host, "Get", "a")

  defp serve!(host, actor) do
    {:ok, "http-" <> _actor = http} =
      Exosuit.start_provider(host, "http-server", id: "http-" <> actor)

    port = free_port()
    config = %{"address" => "127.0.0.1:#{port}"}
    link = [source: http, target: actor, contract: "wasi:http", source_config: config]
    :ok = Exosuit.put_link(host, link)
    port
  end

  defp get(port, path), do: Http.request(port, "GET", path)
  defp links_from(host, source), do: Enum.filter(Exosuit.links(host), &(&1.source == source))
  defp term(text), do: text |> Code.eval_string() |> elem(0)
end
