defmodule Exosuit.AppTest do
  # Applications on a host by itself, through records.
  use Exosuit.HostCase, async: true

  alias Exosuit.App
  alias Exosuit.Lattice.Bus

  setup do
    dir = tmp_dir!()
    {signed, keys} = Guests.sign(dir, "echo")
    File.rename!(signed, Path.join(dir, "app.wasm"))
    manifest = Path.join(dir, "app.yaml")
    File.write!(manifest, worker_manifest())
    %{dir: dir, keys: keys, manifest: manifest}
  end

  test "an application is stored, runs, and has a status", it do
    host = start_supervised_host!()
    assert {:ok, [{{:start, {:actor, "app-worker"}}, :ok}], []} = applied(host, it.manifest)
    assert {:ok, "hi"} = Exosuit.call(host, "app-worker", "op", "hi")

    assert {:ok, %{status: :running, version: 1, label: "v0.0.1", missing: []} = status} =
             App.status(host, "app")

    assert [%{id: "app-worker", wanted: 1, hosts: [%{running: 1, status: :running}]}] =
             status.components

    assert [%{app: "app", state: :deployed, version: 1, status: :running}] = App.list(host)
    assert {:error, %Error{reason: :not_found}} = App.status(host, "other")
  end

  test "a host that starts again runs what was applied, without its manifest", it do
    data = tmp_dir!()
    host = start_supervised_host!(data_dir: data)
    assert {:ok, [_step], []} = applied(host, it.manifest)
    :ok = stop_supervised!(host)
    File.rm_rf!(it.dir)
    host = start_supervised_host!(data_dir: data)
    assert eventually(fn -> match?({:ok, "hi"}, Exosuit.call(host, "app-worker", "op", "hi")) end)
    assert {:ok, %{versions: [%{version: 1}]}} = App.history(host, "app")
  end

  test "a new version that fails is rolled back by itself", it do
    host = start_supervised_host!()
    assert {:ok, [_step], []} = applied(host, it.manifest)
    File.write!(Path.join(it.dir, "app.wasm"), "no Wasm")
    assert {:ok, [{{:update, _actor}, {:error, error}}], []} = applied(host, it.manifest)
    assert error.reason in [:invalid_module, :invalid_claims]
    assert eventually(fn -> match?({:ok, %{version: 1}}, App.status(host, "app")) end)
    assert {:ok, %{versions: [_one, %{version: 2, failed: reason}]}} = App.history(host, "app")
    assert reason =~ "app-worker"
    assert {:ok, "hi"} = Exosuit.call(host, "app-worker", "op", "hi")
  end

  test "versions are deployed, rolled back, undeployed and deleted", it do
    host = start_supervised_host!()
    {:ok, _steps, []} = applied(host, it.manifest)
    File.write!(it.manifest, String.replace(worker_manifest(), "v0.0.1", "v0.0.2"))
    assert {:ok, %{version: 2, changed: true}} = App.apply(host, it.manifest)
    assert {:ok, %{version: 2, changed: false}} = App.apply(host, it.manifest)
    assert {:ok, %{version: 1}} = App.rollback(host, "app")
    assert {:ok, %{version: 2}} = App.deploy(host, "app", 2)
    assert {:error, [%{text: text}]} = App.apply(host, it.manifest, if_version: 1)
    assert text =~ "expected version 1"
    assert {:ok, %{changed: true}} = App.undeploy(host, "app")

    assert eventually(fn -> match?({:error, _absent}, Exosuit.fetch_actor(host, "app-worker")) end)

    assert {:ok, %{status: :undeployed, components: []}} = App.status(host, "app")
    assert {:ok, _stored} = App.deploy(host, "app")
    assert eventually(fn -> match?({:ok, "hi"}, Exosuit.call(host, "app-worker", "op", "hi")) end)
    assert {:ok, [{{:stop, {:actor, "app-worker"}}, :ok}]} = Exosuit.delete_app(host, "app")
    assert {:error, %Error{reason: :not_found}} = Exosuit.delete_app(host, "app")
  end

  test "an apply of objects that the lattice lacks is refused", it do
    host = start_supervised_host!()
    instance = Exosuit.Directory.fetch!(host, :instance)
    {:ok, manifest} = App.Objects.put(instance, worker_manifest())
    assert {:ok, [file]} = App.files(host, manifest, it.manifest)
    files = %{file => Exosuit.Model.Digest.of("never put there")}
    assert {:error, [%{text: text}]} = App.apply_object(host, manifest, it.manifest, files)
    assert text =~ "the lattice lacks 1 objects"
    assert App.list(host) == []
  end

  test "the share is made again after the process around the machine was killed", it do
    host = start_supervised_host!()
    {:ok, _steps, []} = applied(host, it.manifest)
    {:ok, %{pid: pid}} = Exosuit.fetch_actor(host, "app-worker")
    kill(GenServer.whereis(Exosuit.Directory.via(host, App.Member)))
    assert eventually(fn -> running?(host) end)
    # What ran was left alone.
    assert {:ok, %{pid: ^pid}} = Exosuit.fetch_actor(host, "app-worker")
  end

  test "beats go on and questions are answered while the shares are held up", it do
    host = start_supervised_host!()
    {:ok, _steps, []} = applied(host, it.manifest)
    instance = Exosuit.Directory.fetch!(host, :instance)
    :ok = :sys.suspend(GenServer.whereis(Exosuit.Directory.via(host, App.Shares)))

    {:ok, beats} = Bus.subscribe(instance.lattice, App.Beat.subject(instance))

    for _ <- 1..2 do
      assert_receive {:exosuit_lattice, _reference, {_subject, _reply_to, _beat}}, 60_000
      :ok = Bus.next(beats)
    end

    assert {:ok, %{status: :running}} = App.status(host, "app")
    assert [%{status: :running}] = App.list(host)
  end

  defp running?(host) do
    match?({:ok, %{status: :running}}, App.status(host, "app"))
  catch
    :exit, _not_there_yet -> false
  end

  defp applied(host, manifest), do: Exosuit.apply_manifest(host, manifest)
end
