defmodule Exosuit.UpTest do
  # `bin/exosuit up` as a user runs it: a process of its own, on the example of the README.
  use Exosuit.HostCase, async: true

  import Exosuit.Program

  alias Exosuit.{Http, Json, Nats}

  @moduletag timeout: 600_000

  # Goes on where the manifest of the counter ends: with the key-value store.
  @file_backend """
          config:
            - name: store
              properties:
                backend: file
  """

  test "runs the example, stops in order, and goes on counting the next time" do
    {manifest, port} = counter!()

    up = up!([manifest])
    assert await_line(up, "ready") =~ "http://127.0.0.1:#{port}"
    assert {200, ~s({"counter":1})} = Http.request(port, "GET", "/a")
    assert {200, ~s({"counter":2})} = Http.request(port, "GET", "/a")
    assert stop(up, "INT") == 0
    assert {:error, :econnrefused} = Http.connect(port)

    up = up!([manifest])
    await_line(up, "ready")
    assert {200, ~s({"counter":3})} = Http.request(port, "GET", "/a")
    assert stop(up, "TERM") == 0
  end

  test "serves the command line, and is alone on its data directory" do
    {manifest, _port} = counter!()
    up = up!([manifest])
    await_line(up, "ready")
    dir = Path.dirname(manifest)
    assert {inventory, 0} = System.cmd(command(), ["inventory"], cd: dir)
    assert inventory =~ ~r/^counter-counter +running +10 +Counter +1 /m

    second = up!([manifest])
    assert {1, output} = await_exit(second)
    assert output =~ ~r/^error: a conflict: another host runs on /m
    assert {_inventory, 0} = System.cmd(command(), ["inventory"], cd: dir)
    assert stop(up, "TERM") == 0
    refute File.exists?(Path.join(dir, ".exosuit/exosuit.sock"))
  end

  test "says what is wrong with a manifest, all at once, and ends with status 1" do
    {manifest, _port} = counter!(&String.replace(&1, "type: actor", "type: actr"))
    up = up!([manifest])
    assert {1, output} = await_exit(up)
    assert output =~ ~r/error: .*app.yaml:10:\d+: .*actr/
  end

  test "says which settings have no effect: with their line, and when their link is made" do
    target = "              name: keyvalue\n"
    config = "              config: [{name: store, properties: {buckt: tenant-a}}]\n"

    {manifest, _port} =
      counter!(fn text ->
        text
        |> String.replace(target, target <> config)
        |> Kernel.<>("        config: {max_bites: 1m}\n")
      end)

    up = up!([manifest])
    output = await_line(up, "ready")
    output = await_text(up, ~r/warning: .*app.yaml:\d+:\d+: .*did you mean "bucket"/, output)
    output = await_text(up, ~r/warning: .*app.yaml:\d+:\d+: .*did you mean "max_bytes"/, output)
    assert output =~ ~r/link counter-counter -> counter-keyvalue .*no setting buckt/
    assert output =~ ~r/provider counter-keyvalue: .*no setting max_bites/
    assert stop(up, "TERM") == 0
  end

  test "says what is not UTF-8 in a manifest, with its line and column" do
    {manifest, _port} =
      counter!(&String.replace(&1, "kind: Application", "kind: Application # \xE9"))

    assert {1, output} = await_exit(up!([manifest]))

    assert output =~
             ~r/error: .*app.yaml:2:21: expected UTF-8: save the file as UTF-8, found the byte/

    refute output =~ "an internal error of Exosuit"
  end

  test "reads its environment: what it asks for, refuses, warns of, and how much it logs" do
    {manifest, _port} = counter!()
    env = &Enum.map(&1, fn {name, value} -> {to_charlist(name), to_charlist(value)} end)

    policy = up!([manifest], env: env.([{"WASMCLOUD_POLICY_TOPIC", "wasmcloud.policy"}]))
    assert {1, output} = await_exit(policy)
    assert output =~ "error: WASMCLOUD_POLICY_TOPIC is set: a policy service is not supported yet"

    wrong =
      up!([manifest], env: env.([{"EXOSUIT_LOG_LEVEL", "loud"}, {"EXOSUIT_UNSIGNED", "yes"}]))

    assert {1, output} = await_exit(wrong)
    assert output =~ "error: expected EXOSUIT_LOG_LEVEL to be one of debug, info"
    assert output =~ "error: expected EXOSUIT_UNSIGNED to be `allow` or `deny`"

    quiet = [
      {"EXOSUIT_LOG_LEVEL", "error"},
      {"EXOSUIT_LATICE", "x"},
      {"WASMCLOUD_LATTICE", "home"}
    ]

    up = up!([manifest], env: env.(quiet))
    output = await_line(up, "ready")
    assert output =~ "lattice home"

    assert output =~
             "asks for:\n  counter-counter: up to 10 calls at a time in all, over all hosts\n"

    output = await_line(up, "warning: EXOSUIT_LATICE is not known", output)
    output = await_line(up, "warning: WASMCLOUD_LATTICE: nothing says where", output)
    refute output =~ "[info]"
    assert stop(up, "TERM") == 0
  end

  test "says that a lattice without a key in common is none, and applies by its socket" do
    {manifest, _port} = counter!()
    url = "nats://127.0.0.1:#{free_port()}"
    up = up!([manifest], env: [{~c"EXOSUIT_LATTICE", to_charlist(url)}])
    output = await_line(up, "ready")
    await_line(up, "warning: no EXOSUIT_CLUSTER_SEED", output)

    options = [
      env: [{"EXOSUIT_LATTICE", url}],
      stderr_to_stdout: true,
      cd: Path.dirname(manifest)
    ]

    data = Path.join(Path.dirname(manifest), ".exosuit")
    arguments = ["apply", manifest, "--data-dir", data]
    assert {output, 1} = System.cmd(command(), arguments, options)
    assert output =~ "not available now: "
    refute output =~ "manifest is not valid"
    assert stop(up, "TERM") == 0
  end

  test "prints a refusal with its reason, and goes on with the rest" do
    stranger = Guests.key("account")["public_key"]
    {manifest, port} = counter!()
    up = up!([manifest, "--trust", stranger])
    # The one on stdout, the other on stderr: which comes first is anybody's guess.
    output = await_line(up, "ready")
    output = await_line(up, "  refused: actor counter-counter: the claims are refused", output)
    assert output =~ "issuer"
    assert {503, _body} = Http.request(port, "GET", "/a")
    assert stop(up, "TERM") == 0
  end

  test "serves without its lattice at once, and applies its manifest when that is there" do
    # By default, a host in a lattice keeps values there.
    {manifest, port} = counter!(&(&1 <> @file_backend))
    server = Nats.absent!()
    up = up!([manifest, "--lattice", Nats.url(server)])
    output = await_line(up, "ready")
    output = await_line(up, "warning: not connected to the lattice yet: ", output)
    await_line(up, "warning: .*app.yaml is served on this host alone", output)
    assert {200, ~s({"counter":1})} = Http.request(port, "GET", "/a")

    Nats.restart!(server)
    dir = Path.dirname(manifest)
    eventually(fn -> lattice(server) =~ ~r/^counter-counter +running +10 /m end)
    eventually(fn -> links(server) =~ "counter-counter" end)
    {inventory, 0} = System.cmd(command(), ["inventory", "--json"], cd: dir)
    eventually(fn -> pending(dir) == [] end)
    assert {200, ~s({"counter":2})} = Http.request(port, "GET", "/a")
    refute inventory =~ ~s("status":"crashing")
    assert stop(up, "TERM") == 0
  end

  test "says what fails in a lattice, and a later apply makes up for it" do
    {manifest, port} = counter!(&(&1 <> @file_backend))
    dir = Path.dirname(manifest)
    [image] = Path.wildcard(Path.join(dir, "*.wasm"))
    good = File.read!(image)
    File.write!(image, "no Wasm")
    up = up!([manifest, "--lattice", Nats.url(Nats.start!())])
    output = await_line(up, "ready")

    await_line(
      up,
      "  refused: 10 of counter-counter: .* refuses it: the module cannot run",
      output
    )

    {status, 0} = System.cmd(command(), ["app", "status", "counter"], cd: dir)
    assert status =~ "counter is deployed, version 1 (failed)"
    assert status =~ "missing: 10 of counter-counter"

    File.write!(image, good)
    {applied, 0} = System.cmd(command(), ["apply", manifest], cd: dir)
    assert applied =~ "counter has version 2"
    assert {200, _body} = Http.request(port, "GET", "/a")
    assert stop(up, "TERM") == 0
  end

  test "files are allowed by the environment or by directories, and not by both" do
    {manifest, _port} = counter!()
    allow = ["--allow-files", Path.dirname(manifest)]
    env = &[env: [{~c"WASMCLOUD_ALLOW_FILE_LOAD", &1}]]

    assert {1, output} = await_exit(up!([manifest | allow], env.(~c"no")))
    assert output =~ "error: WASMCLOUD_ALLOW_FILE_LOAD=false allows no files, and --allow-files"

    all = up!([manifest | allow], env.(~c"true"))
    output = await_line(all, "ready")
    assert output =~ "warning: --allow-files has no effect: WASMCLOUD_ALLOW_FILE_LOAD=true"
    assert stop(all, "TERM") == 0
  end

  test "serves what it served before while its lattice is away" do
    {manifest, port} = counter!(&(&1 <> @file_backend))
    dir = Path.dirname(manifest)
    server = Nats.start!()
    up = up!([manifest, "--lattice", Nats.url(server)])
    await_line(up, "ready")
    assert {200, ~s({"counter":1})} = Http.request(port, "GET", "/a")
    assert stop(up, "TERM") == 0
    Nats.kill(server)
    Enum.each(Path.wildcard(Path.join(dir, "*.wasm")), &File.rm!/1)

    up = up!(["--data-dir", Path.join(dir, ".exosuit"), "--lattice", Nats.url(server)])
    output = await_line(up, "ready")
    refute output =~ "applications not kept"
    eventually(fn -> match?({200, ~s({"counter":2})}, Http.request(port, "GET", "/a")) end)
    assert stop(up, "TERM") == 0
  end

  test "demands to be told whom to trust in a lattice that is not on this machine" do
    {manifest, _port} = counter!()
    elsewhere = [manifest, "--lattice", "127.0.0.1:4222,nats.test:4222"]
    assert {1, output} = await_exit(up!(elsewhere))
    assert output =~ "error: the lattice is not on this machine"
    assert output =~ "--trust any"

    up = up!(elsewhere ++ ["--trust", "any"])
    await_line(up, "ready")
    assert stop(up, "TERM") == 0
  end

  test "output that nobody reads holds up nothing else" do
    {manifest, port} = counter!()
    dir = Path.dirname(manifest)
    pipe = Path.join(dir, "output")
    {_output, 0} = System.cmd("mkfifo", [pipe])
    # Opens the pipe, and reads none of it.
    reader = run!("/bin/sh", ["-c", "exec sleep 600 < #{pipe}"]) |> kill_on_exit_anyway()
    shell = ["-c", "exec #{command()} up #{manifest} > #{pipe} 2>&1"]
    up = run!("/bin/sh", shell) |> kill_on_exit()
    eventually(fn -> match?({200, _body}, Http.request(port, "GET", "/a")) end)

    # More than a pipe has room for: each change is a line of the log.
    {:ok, socket} =
      :gen_tcp.connect({:local, Path.join(dir, ".exosuit/exosuit.sock")}, 0, [
        :binary,
        active: false,
        packet: :line
      ])

    for n <- 1..3_000, do: assert(scale(socket, 1 + rem(n, 2)) =~ ~s("ok":))
    assert {200, _body} = Http.request(port, "GET", "/a")
    kill_program(reader)
    assert stop(up, "TERM") == 0
  end

  test "ends with status 1 where all is refused, and keeps nothing open" do
    stranger = Guests.key("account")["public_key"]
    dir = tmp_dir!()
    manifest = Path.join(dir, "app.yaml")
    {signed, _keys} = Guests.sign(dir, "echo")
    File.rename!(signed, Path.join(dir, "app.wasm"))
    File.write!(manifest, worker_manifest())

    assert {1, output} = await_exit(up!([manifest, "--trust", stranger]))
    assert output =~ "  refused: actor app-worker: the claims are refused"
    assert output =~ ~r/^error: nothing runs: everything was refused$/m
    refute output =~ "ready"
    refute File.exists?(Path.join(dir, ".exosuit/exosuit.sock"))
  end

  defp lattice(server) do
    {output, _status} =
      System.cmd(command(), ["inventory", "--lattice", Nats.url(server)], stderr_to_stdout: true)

    output
  end

  defp links(server) do
    {output, _status} =
      System.cmd(command(), ["link", "list", "--lattice", Nats.url(server)],
        stderr_to_stdout: true
      )

    output
  end

  defp pending(dir) do
    {text, 0} = System.cmd(command(), ["inventory", "--json"], cd: dir)
    {:ok, inventory} = Json.decode(text)
    inventory["pending"]
  end

  defp scale(socket, instances) do
    arguments = %{id: "counter-counter", instances: instances}
    {:ok, line} = Json.encode(%{v: 1, id: 1, command: "actor.scale", arguments: arguments})
    :ok = :gen_tcp.send(socket, [line, "\n"])
    {:ok, answer} = :gen_tcp.recv(socket, 0, 10_000)
    answer
  end

  defp kill_on_exit_anyway(port) do
    {:os_pid, pid} = Port.info(port, :os_pid)
    on_exit(fn -> System.cmd("kill", ["-KILL", "#{pid}"], stderr_to_stdout: true) end)
    port
  end
end
