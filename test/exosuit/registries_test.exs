defmodule Exosuit.RegistriesTest do
  # Kills what all hosts of the VM share.
  use Exosuit.HostCase, async: false

  alias Exosuit.{Directory, Nats}

  setup do
    # What is registered ends with its registry, unless it traps exits.
    Process.flag(:trap_exit, true)
    host = start_supervised_host!(actors: [echo: "echo"], data_dir: tmp_dir!())

    {:ok, "kv"} =
      Exosuit.start_provider(host, "keyvalue", id: "kv", config: %{"backend" => "memory"})

    :ok = Exosuit.put_link(host, source: "echo", target: "kv", contract: "wasmcloud:keyvalue")
    %{host: host}
  end

  for registry <- [Exosuit.Registry, Exosuit.Subscribers] do
    test "a host is found and serves after #{inspect(registry)} was killed", %{host: host} do
      whole = GenServer.whereis(Directory.via(host, :host))
      end_and_await(unquote(registry), fn -> Process.whereis(unquote(registry)) end)
      assert_whole(host, whole)
    end

    test "a host is found and serves after each partition of #{inspect(registry)} was killed",
         %{host: host} do
      whole = GenServer.whereis(Directory.via(host, :host))

      for {id, _pid, _type, _modules} <- partitions(unquote(registry)) do
        end_and_await(unquote(registry), fn -> partition(unquote(registry), id) end)
        assert_whole(host, whole)
      end
    end
  end

  test "a host in a lattice takes commands after the registry was killed" do
    server = Nats.start!()
    host = start_supervised_host!(nats: Nats.options(server), actors: [echo: "echo"])
    eventually(fn -> match?(%{connections: %{control: "connected"}}, Exosuit.inventory(host)) end)
    end_and_await(Exosuit.Registry, fn -> Process.whereis(Exosuit.Registry) end)
    eventually(fn -> match?({:ok, "well"}, call(host)) end)
    eventually(fn -> match?({:ok, _answer}, ping(host)) end)
  end

  test "two hosts of one name are refused as before, and a name is free once its host has ended" do
    Process.flag(:trap_exit, true)
    options = [name: __MODULE__, trusted_issuers: :any, unsigned: :allow]
    {:ok, first} = Exosuit.start_link(options)
    end_and_await(Exosuit.Registry, fn -> Process.whereis(Exosuit.Registry) end)
    eventually(fn -> GenServer.whereis(Directory.via(__MODULE__, :host)) == first end)
    assert {:error, {:already_started, ^first}} = Exosuit.start_link(options)
    kill(first)
    # A moment later; a supervisor that starts it would try again.
    eventually(fn -> match?({:ok, _second}, Exosuit.start_link(options)) end)
    :ok = __MODULE__ |> Directory.via(:host) |> GenServer.whereis() |> Supervisor.stop()
  end

  test "a host starts where a killed one of its name has not ended, by whatever supervisor" do
    Process.flag(:trap_exit, true)
    options = [name: __MODULE__, trusted_issuers: :any, unsigned: :allow]
    {:ok, first} = Exosuit.start_link(options)
    directory = GenServer.whereis(Directory.via(__MODULE__, Directory))

    {_id, inner, _type, _modules} =
      List.keyfind(Supervisor.which_children(first), Exosuit.Host, 0)

    before = monitors(directory)
    test = self()

    # Its own supervisor goes on for a while, and so does it.
    helper =
      spawn_link(fn ->
        true = :erlang.suspend_process(inner)
        send(test, :suspended)
        receive do: (:killed -> :ok)
        eventually(fn -> monitors(directory) -- before != [] end)
        true = :erlang.resume_process(inner)
      end)

    assert_receive :suspended
    kill(first)
    send(helper, :killed)
    assert {:ok, second} = Exosuit.start_link(options)
    assert GenServer.whereis(Directory.via(__MODULE__, Directory)) not in [nil, directory]
    :ok = Supervisor.stop(second)
  end

  defp end_and_await(registry, find) do
    victim = find.()
    kill(victim)
    eventually(fn -> find.() not in [nil, victim] end)

    # Its supervisor has done what it had to. A first try to start it may have failed, as the partitions
    # of the killed one had not ended: that process is gone again.
    eventually(fn -> partitions(registry) != [] end)
  end

  defp monitors(pid) do
    {:monitored_by, pids} = Process.info(pid, :monitored_by)
    pids
  end

  defp partition(registry, id) do
    with {_id, pid, _type, _modules} <- registry |> partitions() |> List.keyfind(id, 0),
         do: if(is_pid(pid), do: pid)
  end

  defp partitions(registry) do
    Supervisor.which_children(registry)
  catch
    :exit, _not_there -> []
  end

  defp assert_whole(host, whole) do
    eventually(fn -> host in Exosuit.hosts() and match?({:ok, "well"}, call(host)) end)
    eventually(fn -> all_runs?(host) end)
    assert [%{source: "echo", target: "kv"}] = Exosuit.inventory(host).links
    assert GenServer.whereis(Directory.via(host, :host)) == whole
    eventually(fn -> hears?(host) end)
    eventually(fn -> asks_by_socket?(host) end)
  end

  defp call(host) do
    Exosuit.call(host, "echo", "op", "well")
  rescue
    # For a moment it is not found.
    ArgumentError -> :not_found
  end

  defp all_runs?(host) do
    %{actors: actors, providers: providers} = Exosuit.inventory(host)
    Enum.all?(actors ++ providers, &(&1.status == :running))
  end

  defp hears?(host) do
    :ok = Exosuit.subscribe(host)
    :ok = Exosuit.put_label(host, "some", "#{System.unique_integer()}")
    receive do: ({:exosuit_event, %{type: "labels_changed"}} -> true), after: (200 -> false)
  end

  defp asks_by_socket?(host) do
    path = Exosuit.Control.path(Directory.fetch!(host, :instance).config.data_dir)

    with {:ok, socket} <- :gen_tcp.connect({:local, path}, 0, [:binary, active: false]),
         :ok <- :gen_tcp.send(socket, ~s({"v":1,"id":1,"command":"inventory"}\n)),
         {:ok, answer} <- :gen_tcp.recv(socket, 0, 5_000) do
      answer =~ ~s("ok":{)
    else
      _not_yet -> false
    end
  end

  defp ping(host) do
    instance = Directory.fetch!(host, :instance)
    subject = "wasmbus.ctl.v1.#{instance.config.lattice}.host.get.#{instance.source}"
    Exosuit.Lattice.Bus.request(instance.lattice, subject, "", 2_000)
  end
end
