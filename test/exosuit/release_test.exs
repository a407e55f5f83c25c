defmodule Exosuit.ReleaseTest do
  # A release as it is shipped: built once, then run from elsewhere, with nothing on its PATH that
  # builds. After the tests that run at the same time, as one of them builds for production, too.
  use Exosuit.HostCase, async: false

  alias Exosuit.{Http, Program}

  @root Path.expand("../..", __DIR__)
  @moduletag :release
  @moduletag timeout: 600_000

  # What the scripts of a release call.
  @tools ~w(sh env awk basename cat cut dirname grep mkdir od readlink rm sed sleep tr uname)

  setup_all do
    dir = Path.join(System.tmp_dir!(), "exosuit-release-#{System.pid()}")
    on_exit(fn -> File.rm_rf!(dir) end)
    arguments = ["release", "--quiet", "--overwrite", "--path", Path.join(dir, "exosuit")]
    options = [cd: @root, env: [{"MIX_ENV", "prod"}], stderr_to_stdout: true]
    {output, status} = System.cmd("mix", arguments, options)
    assert status == 0, output

    tools = Path.join(dir, "tools")
    File.mkdir_p!(tools)

    for tool <- @tools, path = System.find_executable(tool) do
      File.ln_s!(path, Path.join(tools, tool))
    end

    %{program: Path.join(dir, "exosuit/bin/exosuit"), tools: tools}
  end

  test "is started, used and stopped without a toolchain", context do
    dir = tmp_dir!()
    port = free_port()
    manifest!(dir, port)

    env =
      env(context, dir, %{
        "EXOSUIT_TRUST" => "any",
        "EXOSUIT_MANIFESTS" => "app.yaml",
        "EXOSUIT_DATA_DIR" => "data"
      })

    started = run(context.program, ["start"], dir, env)
    assert {200, ~s({"counter":1})} = eventually(fn -> answer(port) end)

    # It opens no way in before it is asked to, and shows no cookie that would open it.
    assert [{"0100007F", ^port}] = Program.listening(started)
    cookie = File.read!(Path.join(Path.dirname(context.program), "../releases/COOKIE"))
    refute Program.command_lines(started) =~ cookie

    # The checkout's command line, and the release's own.
    data_dir = Path.join(dir, "data")
    remote = ["remote", "--data-dir", data_dir]
    checked_out = Program.on_terminal!([Program.command() | remote])
    own = Program.on_terminal!([context.program, "remote"], cd: dir, env: env ++ terminal())

    for iex <- [checked_out, own] do
      Program.await_text(iex, ~r/iex\(exosuit-\d+@127.0.0.1\)1> /)
      Port.command(iex, "{Exosuit.hosts(), :hello}\n")
      Program.await_text(iex, ~r/\{\[Exosuit.Up\], :hello\}/)
      Port.command(iex, <<28>>)
      await_exit(iex)
    end

    assert [{"0100007F", _http}, {"0100007F", _distribution}] =
             Enum.sort_by(Program.listening(started), &(elem(&1, 1) != port))

    # It has the whole command line: without a VM of its own, over the socket.
    asked = run(context.program, ["inventory", "--json"], dir, env)
    assert {0, ~s({"actors":[{) <> _more} = await_exit(asked)
    assert {2, refused} = await_exit(run(context.program, ["rpc", "1"], dir, env))
    assert refused =~ "RELEASE_DISTRIBUTION=name"
    assert {2, help} = await_exit(run(context.program, [], dir, env))
    assert help =~ "Start a host, and run the applications of the manifests"

    assert {0, _output} = await_exit(run(context.program, ["stop"], dir, env))
    assert {0, output} = await_exit(started)
    assert output =~ "host stopped"
    assert File.exists?(Path.join(dir, "data"))
  end

  test "is open to `rpc` and `stop` of Elixir where distribution is asked for", context do
    dir = tmp_dir!()
    settings = %{"EXOSUIT_TRUST" => "any", "RELEASE_DISTRIBUTION" => "name"}
    env = env(context, dir, settings)
    started = run(context.program, ["start"], dir, env)

    # Its owner alone can open the VM, and reaches it on the loopback address.
    cookie = Path.join(Path.dirname(context.program), "../releases/COOKIE")
    assert Bitwise.band(File.stat!(cookie).mode, 0o077) == 0

    assert eventually(fn ->
             asked = run(context.program, ["rpc", "IO.inspect(Exosuit.hosts())"], dir, env)
             match?({0, "[Exosuit.Up]\n"}, await_exit(asked))
           end)

    assert [{"0100007F", _distribution}] = Program.listening(started)
    assert {0, _output} = await_exit(run(context.program, ["stop"], dir, env))
    assert {0, output} = await_exit(started)
    assert output =~ "host stopped"
  end

  test "runs `up` as a clone does", context do
    dir = tmp_dir!()
    port = free_port()
    manifest!(dir, port)
    up = run(context.program, ["up", "app.yaml"], dir, env(context, dir, %{}))
    output = Program.await_line(up, "ready")
    assert {200, ~s({"counter":1})} = answer(port)
    {:os_pid, pid} = Port.info(up, :os_pid)
    {_output, 0} = System.cmd("kill", ["-INT", "#{pid}"])
    assert {0, output} = await_exit(up, output)
    assert output =~ "stopped"
  end

  test "ends with its host, so that whoever watches over it starts both again", context do
    dir = tmp_dir!()
    settings = %{"EXOSUIT_TRUST" => "any", "RELEASE_DISTRIBUTION" => "name"}
    env = env(context, dir, settings)
    started = run(context.program, ["start"], dir, env)

    # The application has started once the host is watched: before that nobody would see the reason.
    kill =
      "true = List.keymember?(Application.started_applications(), :exosuit, 0)\n" <>
        "[host] = for {Exosuit.Up, pid, _, _} <- Supervisor.which_children(Exosuit.Supervisor), do: pid\n" <>
        "Process.exit(host, :kill)"

    # The VM may be gone before it could say that it did it.
    assert eventually(fn ->
             match?({0, _}, await_exit(run(context.program, ["rpc", kill], dir, env))) or
               Port.info(started) == nil
           end)

    assert {1, output} = await_exit(started)
    assert output =~ "error: the host fell: killed"
  end

  test "does not start without a choice of whom to trust", context do
    dir = tmp_dir!()
    assert {1, output} = await_exit(run(context.program, ["start"], dir, env(context, dir, %{})))
    assert output =~ "error: EXOSUIT_TRUST must say whose actors may run"
    refute output =~ "crash"
  end

  test "does not start with a manifest that is wrong, and says where", context do
    dir = tmp_dir!()
    File.write!(Path.join(dir, "app.yaml"), "kind: nothing\n")
    settings = %{"EXOSUIT_TRUST" => "any", "EXOSUIT_MANIFESTS" => "app.yaml"}
    started = run(context.program, ["start"], dir, env(context, dir, settings))
    assert {1, output} = await_exit(started)
    assert output =~ ~r/error: .*app.yaml:1:/
  end

  defp manifest!(dir, port) do
    example = Path.join(@root, "examples/counter")
    File.cp!(Path.join(example, "counter_s.wasm"), Path.join(dir, "counter_s.wasm"))
    text = File.read!(Path.join(example, "app.yaml"))
    text = String.replace(text, "127.0.0.1:8080", "127.0.0.1:#{port}")
    File.write!(Path.join(dir, "app.yaml"), text)
  end

  # All of the environment: the VM that tests has a toolchain on its PATH, and says so.
  defp env(context, dir, settings) do
    inherited = for {name, _value} <- System.get_env(), do: {to_charlist(name), false}

    own =
      Map.merge(settings, %{
        "PATH" => context.tools,
        "HOME" => dir,
        "EXOSUIT_CACHE_DIR" => Path.join(dir, "cache"),
        "EXOSUIT_DIST_PORT" => "#{free_port()}",
        "ERL_CRASH_DUMP_SECONDS" => "0"
      })

    inherited ++ for {name, value} <- own, do: {to_charlist(name), to_charlist(value)}
  end

  defp terminal do
    [{~c"TERM", ~c"xterm"}, {~c"SHELL", ~c"/bin/sh"}]
  end

  defp run(program, arguments, dir, env) do
    options = [:binary, :exit_status, :stderr_to_stdout, cd: dir, env: env, args: arguments]
    port = Port.open({:spawn_executable, program}, options)
    {:os_pid, pid} = Port.info(port, :os_pid)
    # Only a test that failed leaves it running.
    on_exit(fn -> System.cmd("kill", ["-KILL", "#{pid}"], stderr_to_stdout: true) end)
    port
  end

  defp answer(port) do
    with {status, _not_yet} when status != 200 <- Http.request(port, "GET", "/a"), do: nil
  end
end
