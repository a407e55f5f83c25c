defmodule Exosuit.LinksTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.Model.Link

  @store [source: "a", target: "kv", contract: "wasi:keyvalue", interfaces: ["store"]]
  @atomics [source: "a", target: "other", contract: "wasi:keyvalue", interfaces: ["atomics"]]

  setup do
    host = start_supervised_host!()
    %{host: host, instance: Exosuit.Directory.fetch!(host, :instance)}
  end

  test "links of one name cover different interfaces, and go together", it do
    :ok = Exosuit.put_link(it.host, @store)
    :ok = Exosuit.put_link(it.host, @atomics)
    assert interfaces(it.host) == [{"kv", ["store"]}, {"other", ["atomics"]}]

    :ok = Exosuit.delete_link(it.host, source: "a", contract: "wasi:keyvalue")
    assert interfaces(it.host) == []
  end

  test "one that overlaps another takes its place, and what is refused changes nothing", it do
    :ok = Exosuit.put_link(it.host, @store)
    :ok = Exosuit.put_link(it.host, @atomics)
    wider = Keyword.put(@store, :interfaces, ["store", "batch"])
    :ok = Exosuit.put_link(it.host, wider)
    assert interfaces(it.host) == [{"kv", ["store", "batch"]}, {"other", ["atomics"]}]

    everything = Keyword.delete(@store, :interfaces)
    assert {:error, %Error{reason: :conflict}} = Exosuit.put_link(it.host, everything)
    assert interfaces(it.host) == [{"kv", ["store", "batch"]}, {"other", ["atomics"]}]
  end

  test "links that one key holds are put again when their process is killed", it do
    :ok = Exosuit.put_link(it.host, @store)
    :ok = Exosuit.put_link(it.host, @atomics)
    [{links, _value}] = Registry.lookup(Exosuit.Registry, {it.host, Exosuit.Host.Links})
    kill(links)

    eventually(fn ->
      Registry.lookup(Exosuit.Registry, {it.host, Exosuit.Host.Links}) not in [
        [],
        [{links, nil}]
      ]
    end)

    assert interfaces(it.host) == [{"kv", ["store"]}, {"other", ["atomics"]}]
  end

  test "the interfaces of a link are names", it do
    for interfaces <- ["store", [:store], [""], ["a" | "b"]] do
      assert_raise ArgumentError,
                   ~r/expected :interfaces to be a list of names of interfaces/,
                   fn ->
                     Exosuit.put_link(it.host, Keyword.put(@store, :interfaces, interfaces))
                   end
    end
  end

  test "the manifest of a component has it call a provider, and be called by one" do
    {:ok, parsed} = Exosuit.Manifest.parse("examples/counter/app-component.yaml", [])
    files = for %{"image" => %{"value" => path}} <- parsed.manifest["components"], do: path
    digests = Map.new(files, &{&1, Exosuit.Model.Digest.of(&1)})
    {:ok, model} = Exosuit.App.Model.new(parsed.manifest, digests)

    assert [
             %Link{
               source: "counter-component-counter",
               target: "counter-component-keyvalue",
               namespace: "wasi",
               package: "keyvalue",
               interfaces: ["store", "atomics"],
               target_config: empty
             },
             %Link{
               source: "counter-component-httpserver",
               target: "counter-component-counter",
               namespace: "wasi",
               package: "http",
               interfaces: ["incoming-handler"],
               source_config: %{"address" => "127.0.0.1:8081"},
               app: "counter-component"
             }
           ] = Exosuit.App.Model.links(model)

    assert empty == %{}
  end

  defp interfaces(host) do
    Enum.sort(for link <- Exosuit.inventory(host).links, do: {link.target, link.interfaces})
  end
end
