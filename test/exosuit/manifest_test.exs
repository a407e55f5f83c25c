defmodule Exosuit.ManifestTest do
  use Exosuit.HostCase, async: true

  doctest Exosuit.Manifest

  test "an application is started, applied again without a step, changed, and deleted" do
    host = start_supervised_host!()
    manifest = manifest!("instances: 2")

    assert {:ok, outcomes, []} = Exosuit.apply_manifest(host, manifest)
    assert Enum.all?(outcomes, &match?({_step, :ok}, &1))
    assert {:ok, "hi"} = Exosuit.call(host, "app-echo", "op", "hi")
    pid = Exosuit.whereis(host, "app-echo")

    assert {:ok, [], []} = Exosuit.apply_manifest(host, manifest)

    File.write!(
      manifest,
      manifest |> File.read!() |> String.replace("instances: 2", "instances: 5")
    )

    assert {:ok, [{{:change, _actor}, :ok}], []} = Exosuit.apply_manifest(host, manifest)
    assert %{actors: [%{instances: 5}]} = Exosuit.inventory(host)
    assert Exosuit.whereis(host, "app-echo") == pid

    Exosuit.delete_app(host, "app")
    assert %{actors: [], providers: [], links: []} = Exosuit.inventory(host)
  end

  test "a changed file under the same name is started anew" do
    host = start_supervised_host!()
    manifest = manifest!("instances: 2")
    {:ok, _outcomes, []} = Exosuit.apply_manifest(host, manifest)
    File.cp!(Guests.path("faults"), Path.join(Path.dirname(manifest), "echo.wasm"))
    {:ok, _outcomes, []} = Exosuit.apply_manifest(host, manifest)

    assert {:error, %Error{reason: :trap}} = Exosuit.call(host, "app-echo", "trap", "")
  end

  test "what cannot start is told, stays in the inventory, and is tried again by the next apply" do
    host = start_supervised_host!()
    manifest = manifest!("instances: 2")
    wasm = Path.join(Path.dirname(manifest), "echo.wasm")
    good = File.read!(wasm)
    File.write!(wasm, "no wasm")

    assert {:ok, outcomes, []} = Exosuit.apply_manifest(host, manifest)

    assert [{{:start, {:actor, "app-echo"}}, {:error, _}}] =
             Enum.reject(outcomes, &match?({_, :ok}, &1))

    assert %{actors: [%{status: :failed}]} = Exosuit.inventory(host)
    assert {:error, %Error{reason: :unavailable}} = Exosuit.call(host, "app-echo", "op", "")

    File.write!(wasm, good)
    assert {:ok, _outcomes, []} = Exosuit.apply_manifest(host, manifest)
    assert {:ok, "hi"} = Exosuit.call(host, "app-echo", "op", "hi")
  end

  test "all that is wrong is told at once, with lines, and nothing is started" do
    host = start_supervised_host!()
    manifest = manifest!("instances: many", "ghcr.io/some/where:1.0")

    assert {:error, diagnostics} = Exosuit.apply_manifest(host, manifest)
    assert Enum.any?(diagnostics, &(&1.text =~ "app.yaml:" and &1.text =~ "instances"))
    assert %{actors: []} = Exosuit.inventory(host)
  end

  test "what this host cannot honour is an error that says so" do
    host = start_supervised_host!()
    manifest = manifest!("instances: 1", "ghcr.io/some/where:1.0")
    assert {:error, [diagnostic | _more]} = Exosuit.apply_manifest(host, manifest)
    assert diagnostic.text =~ "ghcr.io/some/where:1.0"
    assert diagnostic.text =~ ~r/app.yaml:\d+:\d+/
  end

  test "a spread that this host does not meet has no place, and the rest runs" do
    host = start_supervised_host!(labels: %{"zone" => "b"})

    spread =
      "{instances: 10, spread: [{name: here, requirements: {zone: b}, weight: 60}, " <>
        "{name: there, requirements: {zone: a}, weight: 40}]}"

    manifest = manifest!(spread)
    assert {:ok, outcomes, []} = Exosuit.apply_manifest(host, manifest)
    assert [unplaced | rest] = outcomes
    assert {{:nowhere, {:unplaced, "app-echo", "there", 4}}, {:error, error}} = unplaced
    assert Exception.message(error) =~ "no host has the labels of spread there"
    assert Enum.all?(rest, &match?({_step, :ok}, &1))
    assert [%{id: "app-echo", instances: 6}] = Exosuit.inventory(host).actors
    # Nothing is left to do, but what has no place.
    assert {:ok, [^unplaced], []} = Exosuit.apply_manifest(host, manifest)
  end

  test "a configuration may be stored on the host, and parts keep their order" do
    host = start_supervised_host!()

    config =
      "config: [{name: base, properties: {a: '1', b: '1'}}, {name: db}, " <>
        "{name: c, properties: {b: '3'}}]"

    path = manifest!("instances: 1")
    target = "      name: keyvalue\n"
    text = String.replace(File.read!(path), target, target <> "              #{config}\n")
    File.write!(path, text)
    assert {:error, [%{text: missing, line: line}]} = Exosuit.apply_manifest(host, path)
    assert missing =~ ~r/app.yaml:#{line}:\d+: .*expected properties, or the name of a stored/
    assert missing =~ ~s(found "db")
    assert %{actors: [], links: []} = Exosuit.inventory(host)

    :ok = Exosuit.put_config(host, "db", %{"a" => "2", "b" => "2"})
    assert {:ok, outcomes, [unused, _b]} = Exosuit.apply_manifest(host, path)
    assert unused.severity == :warning
    assert unused.text =~ ~r/app.yaml:\d+:\d+: .*keyvalue knows no setting a: it has no effect/
    assert Enum.all?(outcomes, &match?({_step, :ok}, &1))
    assert [link] = Exosuit.links(host)
    assert link.target_config == %{"a" => "2", "b" => "3"}
    assert ["sha256-" <> _, "db", "sha256-" <> _] = link.target_configs
    assert {:ok, [], [_a, _b]} = Exosuit.apply_manifest(host, path)

    :ok = Exosuit.put_config(host, "db", %{"a" => "4"})
    assert [%{target_config: %{"a" => "4", "b" => "3"}}] = Exosuit.links(host)
  end

  test "a file that is not there is named" do
    host = start_supervised_host!()
    assert {:error, [%{text: text}]} = Exosuit.apply_manifest(host, "/no/such.yaml")
    assert text =~ "/no/such.yaml"
  end

  defp manifest!(scaler, image \\ "echo.wasm") do
    dir = tmp_dir!()
    File.cp!(Guests.path("echo"), Path.join(dir, "echo.wasm"))
    path = Path.join(dir, "app.yaml")

    File.write!(path, """
    apiVersion: core.oam.dev/v1beta1
    kind: Application
    metadata:
      name: app
      annotations:
        version: v0.1.0
    spec:
      components:
        - name: echo
          type: actor
          properties:
            image: #{image}
          traits:
            - type: spreadscaler
              properties:
                #{scaler}
            - type: link
              properties:
                namespace: wasmcloud
                package: keyvalue
                interfaces: []
                target:
                  name: keyvalue
        - name: keyvalue
          type: capability
          properties:
            image: wasmcloud+builtin://keyvalue
    """)

    path
  end
end
