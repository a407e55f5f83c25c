defmodule Exosuit.App.ModelTest do
  use ExUnit.Case, async: true

  alias Exosuit.App.Model
  alias Exosuit.{Error, Json, Native}
  alias Exosuit.Model.{Digest, Link, Workload}

  doctest Model

  @manifest """
  apiVersion: core.oam.dev/v1beta1
  kind: Application
  metadata:
    name: shop
  spec:
    components:
      - name: orders
        type: component
        properties:
          image: orders_s.wasm
          config:
            - name: local
              properties: {level: debug}
            - name: db
        traits:
          - type: spreadscaler
            properties: {instances: 10}
          - type: link
            properties:
              namespace: wasi
              package: keyvalue
              interfaces: [store]
              target: {name: store}
          - type: exosuit
            properties:
              limits: {memory: 64MiB, deadline: 2s}
              instances: {warm: {pool: 2}}
              grants:
                arguments: [a]
                environment: {TZ: UTC}
                directories: [{host: ./templates, guest: /templates}]
      - name: copy
        type: component
        properties:
          image: orders_s.wasm
        traits:
          - type: daemonscaler
            properties:
              instances: 2
              spread: [{name: eu, requirements: {zone: eu}}]
      - name: store
        type: capability
        properties:
          image: wasmcloud+builtin://keyvalue
      - name: clock
        type: capability
        properties:
          image: exosuit+module://Clock
  """

  @digest Digest.of("orders")

  defp parsed do
    {:ok, %{"manifest" => parsed}} = Native.manifest_parse(@manifest, "/home/me/app.yaml", nil)
    parsed
  end

  defp model do
    {:ok, model} = Model.new(parsed(), %{"/home/me/orders_s.wasm" => @digest})
    model
  end

  test "files are replaced by the digests of their objects" do
    assert Model.files(parsed()) == ["/home/me/orders_s.wasm"]
    assert Model.objects(model()) == [@digest]
    assert Model.objects(model(), ["store", "clock"]) == []
    assert Model.objects(model(), ["shop-copy", "shop-orders"]) == [@digest]

    assert [image | _more] = Enum.map(model().manifest["components"], & &1["image"])
    assert image == %{"kind" => "object", "value" => @digest, "path" => "orders_s.wasm"}
  end

  test "workloads and links are what the manifest says" do
    assert [orders, copy, store, clock] = Model.workloads(model())
    assert %Workload{id: "shop-orders", role: :actor, instances: 10, scaler: :everywhere} = orders
    assert orders.reference == "exosuit+object://" <> @digest
    assert %Workload{id: "shop-copy", scaler: :daemon, instances: 2} = copy
    assert %Workload{role: :provider, reference: "wasmcloud+builtin://keyvalue"} = store
    assert %Workload{role: :provider, reference: "exosuit+module://Clock"} = clock

    assert [%Link{source: "shop-orders", target: "shop-store", app: "shop"}] =
             model().application.links
  end

  test "a host that has the objects gets the manifest with files again" do
    manifest = Model.with_files(model(), %{@digest => "/cache/1.wasm"})
    assert Model.files(manifest) == ["/cache/1.wasm"]
    assert Model.with_files(model(), %{}) == model().manifest
  end

  test "without the digest of a file there is no model" do
    assert {:error, %Error{detail: detail}} = Model.new(parsed(), %{})
    assert detail =~ "/home/me/orders_s.wasm"
  end

  test "what is encoded is decoded to the same" do
    assert {:ok, text} = Model.encode(model())
    assert Model.decode(text) == {:ok, model()}
  end

  test "a newer schema and too much text are errors" do
    {:ok, newer} = Json.encode(%{schema: 2})
    assert {:error, %Error{reason: :unavailable}} = Model.decode(newer)
    assert {:error, %Error{reason: :limit}} = Model.decode(String.duplicate(" ", 1_048_577))
    for text <- ["", "[]", "{}", <<255>>], do: assert({:error, %Error{}} = Model.decode(text))
  end

  test "a change anywhere in it gives a model or an error that names the place" do
    manifest = model().manifest
    odd = [nil, -1, 1.5, "x", [], [1], %{}, %{"a" => 1}, 1_000_000_000_000]

    for path <- paths(manifest), value <- odd do
      changed = put_in(manifest, path, value)
      {:ok, text} = Json.encode(%{schema: 1, manifest: changed})

      case Model.decode(text) do
        {:ok, model} -> assert Model.encode(model) != nil
        {:error, error} -> assert error.detail =~ "expected"
      end
    end

    {:ok, text} = Json.encode(%{schema: 1, manifest: put_in(manifest["links"], [%{}])})
    assert {:error, %Error{detail: detail}} = Model.decode(text)
    assert detail =~ "links.0."
  end

  defp paths(%{} = map) do
    for {key, value} <- map, path <- [[] | paths(value)], do: [key | path]
  end

  defp paths(list) when is_list(list) do
    for {value, index} <- Enum.with_index(list),
        path <- paths(value),
        do: [Access.at(index) | path]
  end

  defp paths(_other), do: []

  test "annotations say how a version rolls out, also after it was stored" do
    annotations = ~s(annotations: {exosuit.max_unavailable: "2", exosuit.progress_deadline: 90s})

    text =
      String.replace(@manifest, "name: shop\n", "name: shop\n  #{annotations}\n", global: false)

    {:ok, %{"manifest" => parsed}} = Native.manifest_parse(text, "/shop/app.yaml", ["Clock"])
    {:ok, model} = Model.new(parsed, Map.new(Model.files(parsed), &{&1, @digest}))
    assert Model.rollout(model) == %{max_unavailable: 2, progress_deadline: 90_000}
    {:ok, json} = Model.encode(model)
    assert {:ok, ^model} = Model.decode(json)
  end
end
