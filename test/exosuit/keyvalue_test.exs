defmodule Exosuit.KeyValueTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.MessagePack

  @contract "wasmcloud:keyvalue"

  setup do
    dir = tmp_dir!()
    host = start_supervised_host!(data_dir: dir, actors: [caller: "caller"])
    it = %{host: host, manifest: Path.join(dir, "app.yaml"), dir: dir}
    assert [{_start, :ok}] = apply_settings(it, "{backend: file, max_value_bytes: 100}")
    link = [source: "caller", target: "app-store", contract: @contract]
    :ok = Exosuit.put_link(host, link)
    it
  end

  test "a store in a file runs on with other settings, and keeps its records", it do
    assert {:ok, _nothing} = set(it, "kept", "a")
    assert {:error, _too_long} = set(it, "long", String.duplicate("x", 101))

    for settings <- ["{backend: file, max_value_bytes: 1k}", "{max_value_bytes: 2k}"] do
      assert [{{:exchange, %{id: "app-store"}}, :ok}] = apply_settings(it, settings)
      assert {:ok, %{"exists" => true, "value" => "a"}} = get(it, "kept")
      assert {:ok, _nothing} = set(it, "long", String.duplicate("x", 101))
    end

    assert File.exists?(Path.join(it.dir, "keyvalue/app-store.redb"))
  end

  test "settings that a store in a file cannot have leave it as it is", it do
    assert {:ok, _nothing} = set(it, "kept", "a")
    [%{pid: pid}] = Exosuit.inventory(it.host).providers

    for {settings, said} <- [
          {"{backend: file, max_items: many}", "max_items"},
          {"{backend: nats}", "needs a host in a lattice over NATS"},
          {"{backend: redis}", "expected memory, file or nats"}
        ] do
      assert [{{:exchange, %{id: "app-store"}}, {:error, error}}] = apply_settings(it, settings)
      assert Exception.message(error) =~ said
      assert [%{pid: ^pid, status: :running}] = Exosuit.inventory(it.host).providers
      assert {:ok, %{"exists" => true, "value" => "a"}} = get(it, "kept")
    end
  end

  defp apply_settings(it, settings) do
    File.write!(it.manifest, """
    apiVersion: core.oam.dev/v1beta1
    kind: Application
    metadata: {name: app, annotations: {version: v0.0.1}}
    spec:
      components:
        - name: store
          type: capability
          properties:
            image: "wasmcloud+builtin://keyvalue"
            config: [{name: store, properties: #{settings}}]
    """)

    {:ok, outcomes, []} = Exosuit.apply_manifest(it.host, it.manifest)
    outcomes
  end

  defp get(it, key), do: call(it, "Get", key)
  defp set(it, key, value), do: call(it, "Set", %{"key" => key, "value" => value, "expires" => 0})

  defp call(it, operation, arguments) do
    arguments = MessagePack.encode!(arguments)
    request = ["default", 0, @contract, 0, "KeyValue." <> operation, 0, arguments]

    case Exosuit.call(it.host, "caller", "call", IO.iodata_to_binary(request)) do
      {:ok, ""} -> {:ok, nil}
      {:ok, answer} -> {:ok, MessagePack.decode!(answer)}
      {:error, error} -> {:error, error}
    end
  end
end
