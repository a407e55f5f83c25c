defmodule Exosuit.CommandLineTest do
  # Every command of `exosuit` that speaks to a host, against one that runs.
  use Exosuit.HostCase, async: true

  alias Exosuit.Json

  defmodule Tester do
    use Exosuit.Provider, contract: "test:tester"

    @impl Exosuit.Provider
    def init(%{"refuse" => why}), do: {:error, why}
    def init(config), do: {:ok, config}

    @impl Exosuit.Provider
    def handle_invocation(_operation, payload, _context), do: {:ok, payload}
  end

  setup do
    dir = tmp_dir!()
    data_dir = Path.join(dir, ".exosuit")
    options = [data_dir: data_dir, unsigned: :deny, providers: %{"tester" => __MODULE__.Tester}]
    host = start_supervised_host!(options)
    :ok = Exosuit.subscribe(host)
    %{host: host, dir: dir, socket: Path.join(data_dir, "exosuit.sock")}
  end

  test "an actor's life: started, seen, called, scaled, updated, stopped", it do
    keys = [issuer: Guests.key("account"), subject: Guests.key("module")]
    {first, _keys} = Guests.sign(it.dir, "echo", keys ++ [rev: 1])
    {second, _keys} = Guests.sign(it.dir, "second", keys ++ [rev: 2])
    start = ["actor", "start", first, "--id", "e", "--instances", "3", "--annotation", "a=b=c"]

    assert {0, "e\n"} = exosuit(it, start)
    assert {1, conflict} = exosuit(it, start)
    assert conflict =~ "error: a conflict"

    assert {0, inventory} = exosuit(it, ["inventory"])
    assert inventory =~ ~r/^ACTOR +STATUS +INSTANCES +NAME +REVISION +IMAGE$/m
    assert inventory =~ ~r/^e +running +3 +echo +1 +file:.*wasm$/m

    assert {0, "hello"} = exosuit(it, ["call", "e", "Echo.Say", "hello"])
    assert {0, ""} = exosuit(it, ["call", "e", "Echo.Say"])
    assert {0, _} = exosuit(it, ["actor", "scale", "e", "5"])
    assert %{"actors" => [%{"instances" => 5, "pid" => nil}]} = with_nil(json(it, ["inventory"]))

    assert {0, "updated e\n"} = exosuit(it, ["actor", "update", "e", second])
    assert {0, "second"} = exosuit(it, ["call", "e", "Echo.Say", "hello"])
    assert {1, refused} = exosuit(it, ["actor", "update", "e", first, "--force"])
    assert refused =~ "revision 1 is older than 2"
    assert {1, refused} = exosuit(it, ["actor", "update", "e", second])
    assert refused =~ "revision 2 runs already"
    assert {0, _} = exosuit(it, ["actor", "update", "e", second, "--force"])

    assert {0, "stopped e\n"} = exosuit(it, ["actor", "stop", "e"])

    for gone <- [["actor", "stop", "e"], ["actor", "scale", "e", "2"], ["call", "e", "op"]] do
      assert {1, text} = exosuit(it, gone)
      assert text =~ ~r/\Aerror: (not found|there is no such target): /
    end
  end

  test "an actor that may not run says why, and leaves nothing", it do
    assert {1, refused} = exosuit(it, ["actor", "start", Guests.path("echo"), "--id", "e"])
    assert refused =~ "the claims are refused"
    assert {1, missing} = exosuit(it, ["actor", "start", "none.wasm"])
    assert missing =~ "none.wasm"
    assert %{"actors" => []} = json(it, ["inventory"])
  end

  test "payloads come from files and from stdin, and go out as they are", it do
    {echo, _keys} = Guests.sign(it.dir, "echo")
    assert {0, _} = exosuit(it, ["actor", "start", echo, "--id", "e"])
    payload = :crypto.strong_rand_bytes(2_000_000)
    file = Path.join(it.dir, "payload")
    File.write!(file, payload)

    assert {0, ^payload} = exosuit(it, ["call", "e", "op", "@" <> file])

    {piped, 0} =
      System.cmd("sh", [
        "-c",
        ~S("$0" call e op - --socket "$1" < "$2"),
        Guests.command(),
        it.socket,
        file
      ])

    assert piped == payload
    assert %{"payload_base64" => "aGk="} = json(it, ["call", "e", "op", "hi"])
    assert {1, missing} = exosuit(it, ["call", "e", "op", "@none"])
    assert missing =~ "cannot read none"
  end

  test "a call that fails has exit code 1, and its code with --json", it do
    {faults, _keys} = Guests.sign(it.dir, "faults")
    assert {0, _} = exosuit(it, ["actor", "start", faults, "--id", "f"])

    for {operation, code} <- [{"trap", "trap"}, {"error", "guest"}] do
      assert {1, output} = exosuit(it, ["call", "f", operation, "--json"])
      assert output =~ ~r/^{"code":"#{code}","error":".*"}$/m
    end

    assert {1, late} = exosuit(it, ["call", "f", "spin", "--timeout", "20ms"])
    assert late =~ "the call took too long"
    assert {2, wrong} = exosuit(it, ["call", "f", "spin", "--timeout", "soon"])
    assert wrong =~ "expected a duration such as 500ms"
  end

  test "providers and links come and go", it do
    {caller, _keys} = Guests.sign(it.dir, "echo", caps: ["wasmcloud:keyvalue"])
    assert {0, _} = exosuit(it, ["actor", "start", caller, "--id", "a"])
    start = ["provider", "start", "keyvalue", "--id", "kv", "--config", "backend=memory"]
    assert {0, "kv\n"} = exosuit(it, start)
    assert {1, "error: a conflict" <> _} = exosuit(it, start)
    assert {1, _unknown} = exosuit(it, ["provider", "start", "teapot"])

    link = ["link", "put", "a", "kv", "wasmcloud:keyvalue", "--target-config", "bucket=b"]
    assert {0, "linked\n"} = exosuit(it, link)
    assert {0, list} = exosuit(it, ["link", "list"])
    assert list =~ ~r/^a +kv +wasmcloud:keyvalue +default +in force$/m
    refute list =~ "bucket"
    assert %{"links" => [%{"source" => "a", "target" => "kv"}]} = json(it, ["link", "list"])

    spare = ["wasmcloud:keyvalue", "--name", "spare"]
    misspelt = ["link", "put", "a", "kv" | spare] ++ ["--target-config", "buckt=b"]
    assert {0, "linked\nwarning: keyvalue knows no setting buckt" <> _} = exosuit(it, misspelt)
    assert %{"warnings" => [_misspelt]} = json(it, misspelt)
    assert {0, _} = exosuit(it, ["link", "del", "a" | spare])

    assert {1, refused} = exosuit(it, ["link", "put", "a", "kv", "wasmcloud:messaging"])
    assert refused =~ "wasmcloud:messaging"
    assert {2, wrong} = exosuit(it, ["link", "put", "a", "kv", "keyvalue"])
    assert wrong =~ "expected namespace:package"

    interfaces = ["--interface", "store", "--interface", "atomics"]
    assert {0, "linked\n"} = exosuit(it, ["link", "put", "a", "b", "wasi:keyvalue" | interfaces])
    assert {0, list} = exosuit(it, ["link", "list"])
    assert list =~ ~r/^a +b +wasi:keyvalue\/store,atomics +default +waiting$/m

    assert {0, "removed\n"} = exosuit(it, ["link", "del", "a", "wasmcloud:keyvalue"])
    assert {1, gone} = exosuit(it, ["link", "del", "a", "wasmcloud:keyvalue"])
    assert gone =~ "there is no link"
    assert {0, "stopped kv\n"} = exosuit(it, ["provider", "stop", "kv"])
    assert {1, _gone} = exosuit(it, ["provider", "stop", "kv"])
  end

  test "a provider is named as in a manifest: a module of the host's, or a built-in one", it do
    assert {0, "tester\n"} = exosuit(it, ["provider", "start", "exosuit+module://tester"])
    start = ["provider", "start", "exosuit+module://tester", "--id", "second"]
    assert {0, "second\n"} = exosuit(it, start)
    assert {0, "keyvalue\n"} = exosuit(it, ["provider", "start", "wasmcloud+builtin://keyvalue"])

    assert %{"providers" => providers} = json(it, ["inventory"])
    images = for provider <- providers, do: {provider["id"], provider["image_ref"]}
    assert {"tester", "exosuit+module://tester"} in images
    assert {"keyvalue", "wasmcloud+builtin://keyvalue"} in images

    assert {1, "error: a conflict" <> _} =
             exosuit(it, ["provider", "start", "exosuit+module://tester"])

    assert {0, "stopped second\n"} = exosuit(it, ["provider", "stop", "second"])
    assert {1, refused} = exosuit(it, start ++ ["--config", "refuse=not today"])
    assert refused =~ "not today"

    # Text from outside is looked up, and never made into an atom.
    name = "Elixir.NoSuchModule#{System.unique_integer([:positive])}"
    assert {1, unknown} = exosuit(it, ["provider", "start", "exosuit+module://" <> name])
    assert unknown =~ ~s("#{name}" is not among the host's `providers:` (known: "tester"\))
    assert_raise ArgumentError, fn -> String.to_existing_atom(name) end
    module = inspect(Tester)
    assert {1, _unknown} = exosuit(it, ["provider", "start", "exosuit+module://" <> module])

    assert {1, wrong} = exosuit(it, ["provider", "start", "ftp://tester"])
    assert wrong =~ "wasmcloud+builtin://NAME, exosuit+module://NAME or an image in a registry"
    assert {1, _wrong} = exosuit(it, ["provider", "start", "exosuit+module://"])
  end

  test "a manifest is applied, changes only what differs, and is taken back", it do
    manifest = Path.join(it.dir, "app.yaml")
    keys = [issuer: Guests.key("account"), subject: Guests.key("module")]
    image = Path.join(it.dir, "app.wasm")

    put = fn guest, rev ->
      File.cp!(elem(Guests.sign(it.dir, guest, keys ++ [rev: rev]), 0), image)
    end

    File.write!(manifest, worker_manifest())
    put.("echo", 1)

    assert {0, applied} = exosuit(it, ["apply", manifest])
    assert applied =~ "app has version 1\n"
    assert applied =~ ~r/^  app-worker on [\w-]+: running$/m
    assert {0, "app is unchanged: version 1\n" <> _running} = exosuit(it, ["apply", manifest])
    put.("second", 2)
    assert {0, "app has version 2\n" <> _running} = exosuit(it, ["apply", manifest])

    # Beside the manifest is where `exosuit up` keeps the socket.
    assert {"app is unchanged: version 2\n" <> _running, 0} =
             System.cmd(Guests.command(), ["apply", manifest])

    File.write!(image, "no Wasm")
    assert {1, failed} = exosuit(it, ["apply", manifest])
    assert failed =~ "error: version 3 of app failed, and version 2 is deployed again: "

    assert {0, status} = exosuit(it, ["app", "status", "app"])
    assert status =~ "app is deployed, version 2 (running)\n"
    assert status =~ ~r/^app-worker +[\w-]+ +1 +1 +2 +running$/m
    assert {0, history} = exosuit(it, ["app", "history", "app"])
    assert history =~ ~r/^ +2 .* current$/m
    assert history =~ ~r/^ +3 .* failed: /m
    assert {0, list} = exosuit(it, ["app", "list"])
    assert list =~ ~r/^app +deployed +2 +v0.0.1 +running$/m
    assert {0, "app has version 1\n" <> _running} = exosuit(it, ["app", "rollback", "app"])

    assert {0, "app has version 2\n" <> _running} =
             exosuit(it, ["app", "deploy", "app", "--version", "2"])

    assert {0, "undeployed\n"} = exosuit(it, ["app", "undeploy", "app"])
    assert {0, "deleted\n"} = exosuit(it, ["delete", "app"])
    assert {1, gone} = exosuit(it, ["delete", "app"])
    assert gone =~ "there is no application \"app\""

    File.write!(manifest, String.replace(worker_manifest(), "type: actor", "type: actr"))
    assert {1, wrong} = exosuit(it, ["apply", manifest])
    assert wrong =~ ~r/app.yaml:10:\d+: .*actr/

    File.write!(manifest, String.replace(worker_manifest(), "app.wasm", "none.wasm"))
    assert {1, failed} = exosuit(it, ["apply", manifest])
    assert failed =~ "none.wasm cannot be read"
    File.write!(Path.join(it.dir, "none.wasm"), "no Wasm")
    assert {1, failed} = exosuit(it, ["apply", manifest])
    assert failed =~ ~r/error: app does not run as it should: app-worker on [\w-]+: refused: /
  end

  test "events are followed until the host stops, for people and as CloudEvents", it do
    {echo, _keys} = Guests.sign(it.dir, "echo")
    plain = follow(it, [])
    json = follow(it, ["--json"])
    eventually(fn -> followers(it.host) == 2 end)
    assert {0, _} = exosuit(it, ["actor", "start", echo, "--id", "e"])
    assert line(plain) =~ ~r/^\d{4}-.*Z actor_started e revision=\d+$/
    assert {:ok, %{"type" => type, "data" => %{"id" => "e"}}} = Json.decode(line(json))
    assert type == "com.wasmcloud.lattice.actor_started"

    stop_supervised!(it.host)
    assert_receive {^plain, {:exit_status, 0}}, 30_000
    assert_receive {^json, {:exit_status, 0}}, 30_000
  end

  test "where no host runs, every command says so and how to start one" do
    dir = tmp_dir!()

    for command <- [
          ["inventory"],
          ["call", "a", "op"],
          ["actor", "start", "a.wasm"],
          ["actor", "stop", "a"],
          ["actor", "scale", "a", "1"],
          ["actor", "update", "a", "a.wasm"],
          ["provider", "start", "keyvalue"],
          ["provider", "stop", "keyvalue"],
          ["link", "put", "a", "b", "c:d"],
          ["link", "del", "a", "c:d"],
          ["link", "list"],
          ["events"],
          ["remote"],
          ["stop"],
          ["apply", "app.yaml"],
          ["app", "list"],
          ["app", "status", "app"],
          ["delete", "app"]
        ] do
      options = [cd: dir, stderr_to_stdout: true]
      assert {output, 1} = System.cmd(Guests.command(), command, options)
      assert output =~ "error: no host runs at .exosuit/exosuit.sock; start one with"
      arguments = command ++ ["--data-dir", dir, "--json"]
      assert {output, 1} = System.cmd(Guests.command(), arguments, options)
      assert output =~ ~r/^{"code":"missing","error":"no host runs at .*"}$/m
    end
  end

  test "the socket is found by environment, data directory, and in the current directory", it do
    options = [cd: it.dir, stderr_to_stdout: true]
    assert {_inventory, 0} = System.cmd(Guests.command(), ["inventory"], options)
    options = [env: [{"EXOSUIT_SOCKET", it.socket}], stderr_to_stdout: true]
    assert {_inventory, 0} = System.cmd(Guests.command(), ["inventory"], options)
    arguments = ["inventory", "--data-dir", Path.dirname(it.socket)]
    assert {_inventory, 0} = System.cmd(Guests.command(), arguments)
    assert {both, 2} = System.cmd(Guests.command(), arguments ++ ["--socket", "x"], options)
    assert both =~ "cannot be used with"
  end

  defp exosuit(it, arguments, options \\ [stderr_to_stdout: true]) do
    {output, status} = System.cmd(Guests.command(), arguments ++ ["--socket", it.socket], options)
    {status, output}
  end

  defp json(it, arguments) do
    {0, output} = exosuit(it, arguments ++ ["--json"], [])
    {:ok, value} = Json.decode(output)
    value
  end

  defp with_nil(inventory) do
    update_in(inventory["actors"], fn actors -> Enum.map(actors, &Map.put_new(&1, "pid", nil)) end)
  end

  defp follow(it, arguments) do
    arguments = ["events", "--socket", it.socket | arguments]
    options = [:binary, :exit_status, line: 100_000, args: arguments]
    Port.open({:spawn_executable, Guests.command()}, options)
  end

  # This test's process follows, and so do the host's own: logger, announcer, startup.
  defp followers(host), do: length(Registry.lookup(Exosuit.Subscribers, host)) - 5

  defp line(port) do
    assert_receive {^port, {:data, {:eol, line}}}, 30_000
    line
  end
end
