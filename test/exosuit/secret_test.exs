defmodule Exosuit.SecretTest do
  # No seed, token or password of a host is to be found where others could look: process state, crash
  # dumps, arguments, stack traces.
  use Exosuit.HostCase, async: true

  import ExUnit.CaptureLog
  import Exosuit.Program

  alias Exosuit.{Directory, Secret}

  doctest Secret

  setup do
    {:ok, {_public_key, seed}} = Exosuit.Claims.generate_key("cluster")
    %{seed: seed}
  end

  test "a secret is taken from each of its forms, and shown in none", %{seed: seed} do
    file = Path.join(tmp_dir!(), "seed")
    File.write!(file, seed <> "\n")
    System.put_env("EXOSUIT_TEST_SEED", seed)
    {:ok, text} = Secret.new(seed)
    {:ok, key} = Secret.public_key(text, "cluster")

    for source <- [text, {:file, file}, {:env, "EXOSUIT_TEST_SEED"}] do
      assert {:ok, secret} = Secret.new(source)
      assert Secret.public_key(secret, "cluster") == {:ok, key}
      assert inspect(secret) == "#Exosuit.Secret<...>"
      refute inspect(secret, structs: false) =~ seed
    end

    assert {:error, %Error{reason: :invalid_input}} = Secret.public_key(text, "server")
  end

  test "what is not there is refused, by its place" do
    empty = Path.join(tmp_dir!(), "empty")
    File.write!(empty, "")

    for {source, named} <- [
          {{:env, "EXOSUIT_TEST_NOTHING"}, "EXOSUIT_TEST_NOTHING"},
          {{:env, "A=B"}, "A=B"},
          {{:file, "/none/seed"}, "/none/seed"},
          {{:file, empty}, "it is empty"}
        ] do
      assert {:error, %Error{reason: :invalid_input, detail: detail}} = Secret.new(source)
      assert detail =~ named
    end
  end

  test "a host shows no secret: not in its processes, not when they fall", %{seed: seed} do
    file = Path.join(tmp_dir!(), "seed")
    File.write!(file, seed)
    server = Exosuit.Nats.start!()
    password = "pass-#{System.unique_integer([:positive])}"

    address =
      "nats://user:#{password}@" <> String.trim_leading(Exosuit.Nats.url(server), "nats://")

    addresses = Path.join(tmp_dir!(), "addresses")
    File.write!(addresses, address)

    host =
      start_supervised_host!(
        nats:
          Exosuit.Nats.options(server, cluster_seed: {:file, file}, servers: {:file, addresses})
      )

    assert eventually(fn -> Exosuit.facts(host).ctl_host == "127.0.0.1" end)
    instance = Directory.fetch!(host, :instance)
    shown = inspect(instance, structs: false, limit: :infinity, printable_limit: :infinity)
    for secret <- [seed, password], do: refute(shown =~ secret)

    log =
      capture_log(fn ->
        for pid <- processes(host) do
          state =
            inspect(state(pid), structs: false, limit: :infinity, printable_limit: :infinity)

          for secret <- [seed, password], do: refute(state =~ secret)
          kill(pid)
        end
      end)

    for secret <- [seed, password], do: refute(log =~ secret)
  end

  test "neither the crash dump nor the command line of a host has one", %{seed: seed} do
    dir = tmp_dir!()
    dump = Path.join(dir, "erl_crash.dump")
    {manifest, _port} = counter!()

    environment = [
      {~c"WASMCLOUD_CLUSTER_SEED", to_charlist(seed)},
      {~c"ERL_CRASH_DUMP", to_charlist(dump)},
      {~c"ERL_CRASH_DUMP_SECONDS", ~c"60"}
    ]

    arguments = [manifest, "--lattice", "nats://u:passphrase@127.0.0.1:#{free_port()}"]
    up = kill_on_exit(up!(arguments, env: environment))
    output = await_line(up, "ready")
    [_line, id] = Regex.run(~r/host (N[A-Z2-7]{55})/, output)
    [vm] = for pid <- programs(up), File.read!("/proc/#{pid}/comm") =~ "beam", do: pid
    refute command_lines(up) =~ seed

    # It writes a crash dump, and ends.
    {_output, 0} = System.cmd("kill", ["-USR1", "#{vm}"])
    {_status, _output} = await_exit(up)
    text = File.read!(dump)
    # What is no secret is found in one of these forms.
    assert Enum.any?(forms(id), &(text =~ &1))
    for secret <- [seed, "passphrase"], form <- forms(secret), do: refute(text =~ form)
  end

  # As text, and as the dump writes binaries: in base64, wherever in a group of three it begins, and in
  # hexadecimal digits.
  defp forms(secret) do
    encoded =
      for skipped <- 0..2 do
        whole = binary_part(secret, skipped, div(byte_size(secret) - skipped, 3) * 3)
        Base.encode64(whole)
      end

    [secret, Base.encode16(secret) | encoded]
  end

  defp processes(host) do
    host |> Directory.via(:host) |> GenServer.whereis() |> below()
  end

  defp below(supervisor) do
    for {_id, pid, type, _modules} <- Supervisor.which_children(supervisor),
        is_pid(pid),
        found <- [pid | if(type == :supervisor, do: below(pid), else: [])],
        do: found
  end

  # What `:sys` shows, and what the process has besides.
  defp state(pid) do
    {:sys.get_state(pid), Process.info(pid, [:dictionary, :messages])}
  catch
    # It fell with another.
    :exit, _reason -> :gone
  end
end
