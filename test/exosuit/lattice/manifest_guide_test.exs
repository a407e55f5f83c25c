defmodule Exosuit.Lattice.ManifestGuideTest do
  # The first example of guides/manifest.md, unchanged, on one host and on three.
  use Exosuit.HostCase, async: true

  alias Exosuit.Nats

  @moduletag timeout: 180_000

  @guide File.read!(Path.expand("../../../guides/manifest.md", __DIR__))
  @orders "shop-orders"

  setup do
    dir = tmp_dir!()
    {signed, _keys} = Guests.sign(dir, "components/web", caps: ["wasi:http", "wasi:keyvalue"])
    File.rename!(signed, Path.join(dir, "orders_s.wasm"))
    File.mkdir!(Path.join(dir, "templates"))
    [_all, example] = Regex.run(~r/```yaml\n(.*?)```/s, @guide)
    manifest = Path.join(dir, "app.yaml")
    File.write!(manifest, example)
    %{manifest: manifest}
  end

  test "runs on one host", %{manifest: manifest} do
    host = start_supervised_host!()
    assert {:ok, _steps, []} = Exosuit.apply_manifest(host, manifest)
    assert_shop([host])
  end

  test "runs on three hosts", %{manifest: manifest} do
    {:ok, {_public_key, seed}} = Exosuit.Claims.generate_key("cluster")
    nats = Nats.options(Nats.start!(), cluster_seed: seed)
    hosts = for _ <- 1..3, do: start_supervised_host!(nats: nats)
    assert {:ok, _steps, []} = Exosuit.apply_manifest(hd(hosts), manifest)
    assert_shop(hosts)
  end

  # Ten instances over all, with the settings of the example, each host with the store.
  defp assert_shop(hosts) do
    eventually(fn -> hosts |> Enum.map(&instances/1) |> Enum.sum() == 10 end)

    for host <- hosts do
      assert {:ok, %{status: :running, grants: grants}} = Exosuit.fetch_actor(host, @orders)
      assert %{environment: ["TZ"]} = grants

      assert [%{target: "shop-store"}] =
               for(link <- Exosuit.links(host), link.source == @orders, do: link)

      eventually(fn ->
        match?({:ok, %{status: :running}}, Exosuit.fetch_provider(host, "shop-store"))
      end)
    end
  end

  defp instances(host) do
    case Exosuit.fetch_actor(host, @orders) do
      {:ok, %{status: :running, instances: instances}} -> instances
      _not_yet -> 0
    end
  end
end
