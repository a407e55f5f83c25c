defmodule Exosuit.RemoteTest do
  # `bin/exosuit remote` as a user runs it: IEx on a terminal, on a host in another VM.
  use Exosuit.HostCase, async: true

  import Exosuit.Program

  alias Exosuit.{Http, Json}

  @moduletag timeout: 600_000

  # As /proc/net/tcp writes 127.0.0.1.
  @loopback "0100007F"

  @ctrl_c <<3>>
  @ctrl_backslash <<28>>

  setup_all do
    # Where no epmd is, and none must be afterwards.
    %{epmd: free_port()}
  end

  test "opens IEx on a host that runs, and leaves it running", it do
    {host, dir, port} = up_counter!(it)
    assert [{@loopback, ^port}] = listening(host)

    iex = iex!(it, dir)
    await_text(iex, ~r/iex\(exosuit-\d+@127.0.0.1\)1> /)
    Port.command(iex, "actors()\n")
    await_text(iex, ~r/counter-counter +running/)
    Port.command(iex, "Exosuit.hosts()\n")
    await_text(iex, ~r/\[Exosuit.Up\]/)
    cookie = File.read!(Path.join(dir, ".exosuit/exosuit.remote/cookie"))
    assert byte_size(cookie) == 43
    refute command_lines(iex) =~ cookie
    refute command_lines(host) =~ cookie
    assert listening(iex) == []
    Port.command(iex, @ctrl_c)
    await_text(iex, ~r/BREAK/)
    Port.command(iex, @ctrl_c)
    await_exit(iex)
    assert {200, ~s({"counter":1})} = Http.request(port, "GET", "/a")

    iex = iex!(it, dir)
    await_text(iex, ~r/1> /)
    Port.command(iex, @ctrl_backslash)
    await_exit(iex)
    assert {200, ~s({"counter":2})} = Http.request(port, "GET", "/a")

    assert [{@loopback, _http}, {@loopback, _distribution}] = listening(host)
    assert {:error, :econnrefused} = Http.connect(it.epmd)
    assert stop(host, "TERM") == 0
    refute File.exists?(Path.join(dir, ".exosuit/exosuit.remote"))
  end

  test "a host that falls as a whole says what fell, and its program ends with status 1", it do
    {host, dir, _port} = up_counter!(it)
    iex = iex!(it, dir)
    await_text(iex, ~r/1> /)

    whole = "GenServer.whereis(Exosuit.Directory.via(Exosuit.Up, :host))"
    Port.command(iex, "Process.exit(#{whole}, :kill)\n")
    assert {1, output} = await_exit(host)
    assert output =~ ~r/^error: the host fell: killed/m
    # IEx stays, and says that its shell has ended.
    Port.command(iex, @ctrl_backslash)
    await_exit(iex)
  end

  test "two hosts on one machine have each their own way in, and only with their own cookie",
       it do
    {first, first_dir, _port} = up_counter!(it)
    {second, second_dir, _port} = up_counter!(it)
    ways = for dir <- [first_dir, second_dir], do: way!(dir)
    assert [%{"port" => one}, %{"port" => other}] = ways
    assert one != other
    assert way!(first_dir) == hd(ways)

    for %{"cookie_file" => file} <- ways do
      assert mode(file) == 0o600
      assert mode(Path.dirname(file)) == 0o700
    end

    # The first's port with the second's cookie, and with none.
    nothing = Path.join(tmp_dir!(), "cookie")
    File.write!(nothing, "nocookie")

    for file <- [Enum.at(ways, 1)["cookie_file"], nothing] do
      iex =
        on_terminal!([Path.join(Path.dirname(command()), "lib/iex")], env: told(hd(ways), file))

      assert {_status, output} = await_exit(iex)
      # As OTP up to 25, and from 26 on, says it.
      assert output =~ ~r/Could not con(tact|nect)/
    end

    for host <- [first, second], do: assert(stop(host, "TERM") == 0)
  end

  test "needs a host, a terminal, and the same versions", it do
    dir = tmp_dir!()
    assert {1, output} = remote(it, dir)
    assert output =~ "error: no host runs at"

    answers = [
      {~s({"v":1,"id":1,"error":{"code":"unknown_operation","detail":"no"}}),
       "the host has another version than this command"},
      {~s({"v":1,"id":1,"ok":{"version":"99.0.0"}}), "the host has another version"}
    ]

    for {answer, said} <- answers do
      answering!(dir, answer)
      assert {1, output} = remote(it, dir)
      assert output =~ said
    end

    elixir =
      ~s({"node":"a@127.0.0.1","port":1,"cookie_file":"/c","version":"0.1.0","elixir":"1.0.0"})

    answering!(dir, ~s({"v":1,"id":1,"ok":#{elixir}}))
    assert {1, output} = remote(it, dir)
    assert output =~ "the host runs on another version of Elixir, 1.0.0"

    answering!(dir, "never asked")
    arguments = ["remote", "--data-dir", Path.join(dir, ".exosuit")]
    assert {output, 2} = System.cmd(command(), arguments, stderr_to_stdout: true)
    assert output =~ "IEx needs a terminal"
    answering!(dir, "never asked")
    assert {_status, output} = remote(it, dir, env: [{~c"TERM", ~c"dumb"}])
    assert output =~ "IEx needs a terminal"
  end

  test "is for the host's owner alone" do
    dir = Path.join(tmp_dir!(), ".exosuit")
    start_supervised_host!(data_dir: dir)
    program = Path.join(tmp_dir!(), "exosuit")
    File.cp!(Guests.command(), program)
    {uid, 0} = System.cmd("id", ["-u"])

    # Who runs the tests as root can be somebody else; who does not can be locked out.
    {user, arguments} =
      if uid == "0\n" do
        {"setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", program]}
      else
        File.chmod!(Path.join(dir, "exosuit.sock"), 0)
        {program, []}
      end

    arguments = arguments ++ ["remote", "--json", "--data-dir", dir]
    assert {output, 1} = System.cmd(user, arguments, stderr_to_stdout: true)
    assert output =~ ~r/^error: the host at .* belongs to another user$/m
  end

  test "opens no VM that was not started for it: not that of an app", _it do
    dir = tmp_dir!()
    start_supervised_host!(data_dir: dir)
    arguments = ["remote", "--json", "--data-dir", dir]
    assert {output, 1} = System.cmd(Guests.command(), arguments, stderr_to_stdout: true)
    assert output =~ ~s("code":"unavailable")
    assert output =~ "was not started with `-epmd_module Elixir.Exosuit.Distribution.Ports`"
    refute Node.alive?()
    refute File.exists?(Path.join(dir, "exosuit.remote"))
  end

  defp up_counter!(it) do
    {manifest, port} = counter!()
    host = up!([manifest], env: [epmd(it)])
    await_line(host, "ready")
    {host, Path.dirname(manifest), port}
  end

  defp epmd(it), do: {~c"ERL_EPMD_PORT", ~c"#{it.epmd}"}

  defp iex!(it, dir, options \\ []) do
    env = [epmd(it) | Keyword.get(options, :env, [])]
    on_terminal!([command(), "remote", "--data-dir", Path.join(dir, ".exosuit")], env: env)
  end

  defp remote(it, dir, options \\ []), do: it |> iex!(dir, options) |> await_exit()

  defp way!(dir) do
    arguments = ["remote", "--json", "--data-dir", Path.join(dir, ".exosuit")]
    {output, 0} = System.cmd(command(), arguments)
    {:ok, way} = Json.decode(output)
    way
  end

  defp told(way, cookie_file) do
    for {name, value} <- [
          {"NODE", way["node"]},
          {"PORT", way["port"]},
          {"COOKIE", cookie_file},
          {"ELIXIR", way["elixir"]}
        ],
        do: {~c"EXOSUIT_REMOTE_#{name}", ~c"#{value}"}
  end

  # A host that knows one answer, and gives it to one client.
  defp answering!(dir, answer) do
    path = Path.join(dir, ".exosuit/exosuit.sock")
    File.mkdir_p!(Path.dirname(path))
    File.rm(path)
    options = [:binary, ifaddr: {:local, path}, active: false, packet: :line]
    {:ok, socket} = :gen_tcp.listen(0, options)

    start_supervised!(
      {Task,
       fn ->
         {:ok, client} = :gen_tcp.accept(socket)
         with {:ok, _line} <- :gen_tcp.recv(client, 0), do: :gen_tcp.send(client, [answer, ?\n])
         :gen_tcp.close(client)
       end},
      id: make_ref()
    )
  end

  defp mode(path), do: Bitwise.band(File.stat!(path).mode, 0o777)
end
