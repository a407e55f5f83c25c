defmodule Exosuit.ManifestTest do
  use Exosuit.HostCase, async: true

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

    assert %{actors: [%{status: :not_running}]} = Exosuit.inventory(host)
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
    host = start_supervised_host!(labels: %{"zone" => "b"})
    spread = "spread: [{name: here, requirements: {zone: a}}]"

    for {manifest, said} <- [
          {manifest!("instances: 1", "ghcr.io/some/where:1.0"), "ghcr.io/some/where:1.0"},
          {manifest!(spread), "zone"}
        ] do
      assert {:error, [diagnostic | _more]} = Exosuit.apply_manifest(host, manifest)
      assert diagnostic.text =~ said
      assert diagnostic.text =~ ~r/app.yaml:\d+:\d+/
    end
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
