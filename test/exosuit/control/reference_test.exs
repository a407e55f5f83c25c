defmodule Exosuit.Control.ReferenceTest do
  use ExUnit.Case, async: true

  alias Exosuit.Control.Reference
  alias Exosuit.Error

  doctest Reference

  test "files are read only where the host was told to" do
    assert Reference.actor("file:///a/../b.wasm", true) == {:ok, "/b.wasm"}
    assert {:error, %Error{reason: :denied, detail: detail}} = Reference.actor("file:///a", false)
    assert detail =~ "WASMCLOUD_ALLOW_FILE_LOAD"
    assert Reference.actor("file:///apps/one/a.wasm", ["/apps/one"]) == {:ok, "/apps/one/a.wasm"}

    for path <- ["/apps/two/a.wasm", "/apps/one/../two/a.wasm", "/apps/one", "/apps/oneself/a"] do
      assert {:error, %Error{reason: :denied, detail: detail}} =
               Reference.actor("file://" <> path, ["/apps/one"])

      assert detail =~ "only below /apps/one"
    end

    for path <- ["a.wasm", "", "/a\0b", "../a"] do
      assert {:error, %Error{reason: :invalid_input}} = Reference.actor("file://" <> path, true)
    end
  end

  test "a symbolic link does not lead out of the directories" do
    dir = Path.join(System.tmp_dir!(), "exosuit-links-#{System.unique_integer([:positive])}")
    on_exit(fn -> File.rm_rf!(dir) end)
    File.mkdir_p!(Path.join(dir, "app"))
    File.write!(Path.join(dir, "secret.wasm"), "")
    File.write!(Path.join(dir, "app/own.wasm"), "")
    File.ln_s!("..", Path.join(dir, "app/up"))
    File.ln_s!(Path.join(dir, "app"), Path.join(dir, "alias"))

    for directory <- ["app", "alias", "app/../app"] do
      directories = [Path.join(dir, directory)]
      own = "file://" <> Path.join([Path.expand(hd(directories)), "own.wasm"])
      assert {:ok, _path} = Reference.actor(own, directories)
    end

    out = "file://" <> Path.join(dir, "app/up/secret.wasm")
    assert {:error, %Error{reason: :denied}} = Reference.actor(out, [Path.join(dir, "app")])
  end

  test "what is in a registry is refused, whatever it is called" do
    for reference <- ["example.test/a/b:1", "oci://a", "http://a", "ghcr.io/acme/hello.wasm"],
        kind <- [:actor, :provider] do
      assert {:error, %Error{detail: detail}} = apply(Reference, kind, [reference, true])
      assert detail =~ "names an image in a registry, and registries are not supported yet"
    end

    for reference <- ["bindle://a", ""], kind <- [:actor, :provider] do
      assert {:error, %Error{detail: "expected a path" <> _}} =
               apply(Reference, kind, [reference, true])
    end
  end

  test "providers are those that are here" do
    for reference <- ["wasmcloud+builtin://keyvalue", "exosuit+module://clock"] do
      assert Reference.provider(reference, false) == {:ok, reference}
    end

    assert {:error, %Error{detail: archive}} = Reference.provider("file:///p.par.gz", true)
    assert archive =~ "which is an archive"

    assert {:error, %Error{reason: :denied}} = Reference.provider("file:///p.par.gz", ["/q"])
    assert {:error, _error} = Reference.provider("wasmcloud+builtin://", true)
    assert Reference.name("exosuit+module://clock") == "clock"
  end

  test "a long one is not echoed as a whole" do
    {:error, error} = Reference.actor(String.duplicate("x", 100_000), true)
    assert byte_size(error.detail) < 400
  end
end
