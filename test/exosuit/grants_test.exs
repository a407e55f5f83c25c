defmodule Exosuit.GrantsTest do
  use Exosuit.HostCase, async: true

  @secret "hunter2"

  setup do
    dir = tmp_dir!()
    File.mkdir!(Path.join(dir, "data"))
    File.write!(Path.join(dir, "data/note"), "of the host")
    %{host: start_supervised_host!(), dir: dir, data: Path.join(dir, "data")}
  end

  test "an actor sees nothing of its host unless it is granted", it do
    id = start_actor!(it.host, "plain", "granted")

    assert {:ok, "main.wasm\0"} = Exosuit.call(it.host, id, "args", "")
    assert {:ok, ""} = Exosuit.call(it.host, id, "env", "")
    assert {:error, %Error{reason: :guest}} = Exosuit.call(it.host, id, "read", "note")
  end

  test "arguments, environment and directories are granted by name", it do
    id = start_granted!(it.host, it.data)

    assert {:ok, "main.wasm\0-v\0two words\0"} = Exosuit.call(it.host, id, "args", "")
    assert {:ok, "PASSWORD=hunter2\0"} = Exosuit.call(it.host, id, "env", "")
    assert {:ok, "of the host"} = Exosuit.call(it.host, id, "read", "note")
    assert {:error, %Error{reason: :guest}} = Exosuit.call(it.host, id, "write", "new")
    assert {:error, %Error{reason: :guest}} = Exosuit.call(it.host, id, "read", "../other")
    assert File.ls!(it.data) == ["note"]
  end

  test "a directory is written where that is granted", it do
    directory = %{host: it.data, guest: "/data", access: :write}
    id = start_actor!(it.host, "writer", "granted", grants: [directories: [directory]])

    assert {:ok, _length} = Exosuit.call(it.host, id, "write", "new")
    assert File.read!(Path.join(it.data, "new")) == "written"
  end

  test "a directory that is not there keeps the actor from starting", it do
    gone = Path.join(it.dir, "gone")
    grants = [directories: [[host: gone, guest: "/data"]]]

    assert {:error, %Error{reason: :io} = error} =
             Exosuit.start_actor(it.host, Guests.path("granted"), id: "a", grants: grants)

    assert Exception.message(error) =~ gone
    assert %{actors: []} = Exosuit.inventory(it.host)
  end

  test "grants and configuration move along with a restart and with an update", it do
    id = start_granted!(it.host, it.data, config: %{"level" => @secret})

    kill(Exosuit.whereis(it.host, id))
    assert {:ok, "of the host"} = Exosuit.call(it.host, id, "read", "note")

    rebuilt = {:bytes, File.read!(Guests.path("granted"))}
    # It answers a moment before the host has noted that it runs again.
    assert eventually(fn -> Exosuit.update_actor(it.host, id, rebuilt, force: true) == :ok end)
    assert {:ok, "PASSWORD=hunter2\0"} = Exosuit.call(it.host, id, "env", "")

    assert {:ok, {specification, _loaded}} =
             Exosuit.Host.Specifications.fetch(instance(it.host), {:actor, id})

    assert specification.config == %{"level" => @secret}
  end

  test "names are told, values are not", it do
    :ok = Exosuit.subscribe(it.host)
    id = start_granted!(it.host, it.data, config: %{"level" => @secret})
    assert_receive {:exosuit_event, %{type: "actor_started"} = event}

    assert %{actors: [%{grants: grants}]} = inventory = Exosuit.inventory(it.host)

    assert grants == %{
             arguments: 2,
             environment: ["PASSWORD"],
             directories: [%{host: it.data, guest: "/data", access: :read}]
           }

    {:ok, found} = Exosuit.Host.Specifications.fetch(instance(it.host), {:actor, id})
    {specification, _loaded} = found
    state = :sys.get_state(Exosuit.whereis(it.host, id))

    for shown <- [event, inventory, specification, specification.grants, state] do
      refute inspect(shown, limit: :infinity) =~ @secret
    end
  end

  test "a grant that is no grant is refused at the door, without a word of what may be secret",
       it do
    start = &Exosuit.start_actor(it.host, Guests.path("granted"), id: "a", grants: &1)

    mistakes = [
      {~r/expected :grants to be options/, %{arguments: [@secret]}},
      {~r/expected :arguments to be a list of strings without zero bytes/,
       [arguments: [@secret, :b]]},
      {~r/expected :arguments/, [arguments: [@secret | "improper"]]},
      {~r/expected :arguments/, [arguments: [@secret <> <<0>>]]},
      {~r/expected :environment to be a map from names/, [environment: %{"A" => {@secret}}]},
      {~r/expected :environment/, [environment: %{"A=B" => @secret}]},
      {~r/expected :environment/, [environment: %{"" => @secret}]},
      {~r/expected :directories to be at most 16 of/, [directories: [[host: it.data]]]},
      {~r/expected :directories/, [directories: [[host: it.data, guest: "data"]]]},
      {~r/expected :directories/, [directories: [[host: it.data, guest: "/a/../b"]]]},
      {~r/expected :directories/, [directories: [[host: it.data, guest: "/a", access: :all]]]},
      {~r/expected :directories/, [directories: [[host: it.data, guest: "/a", mode: 1]]]},
      {~r/expected :directories/, [directories: List.duplicate([host: it.data, guest: "/a"], 2)]},
      {~r/expected :directories/,
       [directories: for(n <- 1..17, do: [host: it.data, guest: "/#{n}"])]},
      {~r/unknown options \[:hosts\]/, [hosts: []]}
    ]

    for {message, grants} <- mistakes do
      error = assert_raise(ArgumentError, fn -> start.(grants) end)
      assert Exception.message(error) =~ message
      refute Exception.message(error) =~ @secret
    end
  end

  test "a manifest grants from where it stands, and a change of that is one of the actor", it do
    File.cp!(Guests.path("granted"), Path.join(it.dir, "app.wasm"))
    manifest = Path.join(it.dir, "app.yaml")
    write = &File.write!(manifest, worker_manifest() <> &1)
    write.(settings("read"))

    assert {:ok, _outcomes, []} = Exosuit.apply_manifest(it.host, manifest)
    assert {:ok, "of the host"} = Exosuit.call(it.host, "app-worker", "read", "note")
    assert {:error, _read_only} = Exosuit.call(it.host, "app-worker", "write", "note")
    assert {:ok, "WORKERS=2\0"} = Exosuit.call(it.host, "app-worker", "env", "")
    assert {:ok, "main.wasm\0--verbose\0"} = Exosuit.call(it.host, "app-worker", "args", "")
    assert {:ok, [], []} = Exosuit.apply_manifest(it.host, manifest)

    write.(settings("write"))
    assert {:ok, outcomes, []} = Exosuit.apply_manifest(it.host, manifest)
    assert [{{:update, _actor}, :ok}] = outcomes
    assert {:ok, _length} = Exosuit.call(it.host, "app-worker", "write", "note")
  end

  test "no call takes longer than its actor's deadline, whatever the caller says", it do
    id = start_actor!(it.host, "spins", "faults", deadline: 50)

    assert {:error, %Error{reason: :deadline}} =
             Exosuit.call(it.host, id, "spin", "", timeout: 600_000)

    assert {:ok, "still here"} = Exosuit.call(it.host, id, "echo", "still here")
  end

  defp start_granted!(host, data, options \\ []) do
    grants = [
      arguments: ["-v", "two words"],
      environment: %{"PASSWORD" => @secret},
      directories: [[host: data, guest: "/data"]]
    ]

    start_actor!(host, "granted", "granted", [grants: grants] ++ options)
  end

  defp settings(access) do
    """
            config:
              - name: settings
                properties:
                  level: debug
          traits:
            - type: exosuit
              properties:
                limits:
                  deadline: 30s
                grants:
                  arguments: [--verbose]
                  environment:
                    WORKERS: 2
                  directories:
                    - host: ./data
                      guest: /data
                      access: #{access}
    """
  end

  defp instance(host), do: Exosuit.Directory.fetch!(host, :instance)
end
