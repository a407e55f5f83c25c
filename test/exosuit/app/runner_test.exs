defmodule Exosuit.App.RunnerTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.App.{Model, Runner, Shares}
  alias Exosuit.{Directory, Manifest}
  alias Exosuit.Host.Statuses

  test "links that were made without the lattice end with the next version, if it lacks them" do
    host = start_supervised_host!()
    instance = Directory.fetch!(host, :instance)
    [both, one] = for names <- [["a", "b"], ["a"]], do: model!(names)

    order = %{Runner.order("app", 0, %{"app-kv" => 1}) | model: both, keep_links?: false}
    assert {:ok, _result} = Runner.run(instance, %{order | alone?: true})
    assert ["a", "b"] = names(host)

    next = %{order | version: 1, model: one, former: Model.links(both)}
    assert {:ok, _result} = Runner.run(instance, next)
    assert eventually(fn -> names(host) == ["a"] end)
    assert Statuses.provisional(instance) == []
  end

  test "a caller may wait for a share without a limit" do
    instance = Directory.fetch!(start_supervised_host!(), :instance)
    assert {:ok, []} = Shares.await(instance, "app", :deleted, :infinity)
  end

  defp names(host), do: host |> Exosuit.links() |> Enum.map(& &1.name) |> Enum.sort()

  defp model!(names) do
    traits =
      for name <- names do
        properties = "target: kv, namespace: wasi, package: keyvalue, name: #{name}"
        "        - {type: link, properties: {#{properties}}}\n"
      end

    path =
      echo_manifest!("""
            traits:
      #{traits}
          - name: kv
            type: capability
            properties:
              image: wasmcloud+builtin://keyvalue
      """)

    {:ok, %{manifest: manifest}} = Manifest.parse(path, [])
    wasm = "sha256:" <> String.duplicate("0", 64)
    {:ok, model} = Model.new(manifest, Map.new(Model.files(manifest), &{&1, wasm}))
    model
  end
end
