defmodule Exosuit.ServerTest do
  # Strays to every process of a host.
  use Exosuit.HostCase, async: true

  alias Exosuit.{Directory, Nats}

  defmodule Tester do
    use Exosuit.Provider, contract: "test:strays"

    @impl Exosuit.Provider
    def handle_invocation(_operation, payload, _context), do: {:ok, payload}
  end

  setup do
    server = Nats.start!()
    dir = tmp_dir!()
    options = [nats: Nats.options(server), data_dir: dir, actors: [echo: "echo"]]
    host = start_supervised_host!(options)
    {:ok, "kv"} = Exosuit.start_provider(host, "keyvalue", id: "kv")
    {:ok, "tester"} = Exosuit.start_provider(host, Tester)
    eventually(fn -> match?(%{connections: %{control: "connected"}}, Exosuit.inventory(host)) end)
    %{host: host}
  end

  test "strays of every form end no process of a host", %{host: host} do
    before = tree(host)
    assert length(before) > 20

    for {pid, _kind} <- before, stray <- strays(), do: send(pid, stray)

    for {pid, :worker} <- before do
      GenServer.cast(pid, :hello)
      GenServer.cast(pid, {:hello, "there"})
      send(pid, {:"$gen_call", {self(), make_ref()}, {:hello, "there"}})
    end

    # Each has read its mailbox to the end, as far as it reads one.
    for {pid, :worker} <- before, do: :sys.get_state(pid)

    assert {:ok, "well"} = Exosuit.call(host, "echo", "op", "well")
    assert tree(host) == before
    assert %{actors: [%{status: :running}], providers: providers} = Exosuit.inventory(host)
    assert Enum.all?(providers, &(&1.status == :running))
  end

  test "a call that a process does not know is answered", %{host: host} do
    for {pid, :worker} <- tree(host) do
      assert {:error, %Error{reason: :invalid_input}} = GenServer.call(pid, {:hello, "there"})
    end
  end

  test "those that hold configuration do not show their state", %{host: host} do
    for module <- [Exosuit.App.Member, Exosuit.Host.Links, Exosuit.Host.Replica] do
      {:status, _pid, _module, items} =
        host |> Directory.via(module) |> GenServer.whereis() |> :sys.get_status()

      shown = inspect(items, limit: :infinity, printable_limit: :infinity)
      assert {module, shown =~ ":hidden"} == {module, true}
      refute shown =~ "#Exosuit.Instance", inspect(module)
    end
  end

  test "no module of a host is a bare GenServer" do
    for path <- Path.wildcard("lib/**/*.ex"), path != "lib/exosuit/server.ex" do
      refute File.read!(path) =~ ~r/^\s+use GenServer/m, "#{path}: use Exosuit.Server"
    end
  end

  # A supervisor of OTP's own takes messages that it does not know, but no such calls and casts.
  defp tree(host) do
    # Its children end by themselves, and take no messages.
    tasks = host |> Directory.via(:app_tasks) |> GenServer.whereis()

    host
    |> Directory.via(:host)
    |> GenServer.whereis()
    |> family(:supervisor, tasks)
    |> Enum.sort()
  end

  defp family(tasks, :supervisor, tasks), do: [{tasks, :supervisor}]
  defp family(pid, :worker, _tasks), do: [{pid, :worker} | linked(pid)]

  defp family(pid, :supervisor, tasks) do
    children =
      for {_id, pid, kind, _} <- Supervisor.which_children(pid), is_pid(pid), do: {pid, kind}

    [{pid, :supervisor} | Enum.flat_map(children, fn {pid, kind} -> family(pid, kind, tasks) end)]
  end

  # Those that a provider starts beside itself.
  defp linked(pid) do
    {:links, links} = Process.info(pid, :links)

    for linked <- links,
        is_pid(linked),
        {:dictionary, dictionary} = Process.info(linked, :dictionary) || {:dictionary, []},
        hd(List.wrap(dictionary[:"$ancestors"]) ++ [nil]) == pid,
        do: {linked, :worker}
  end

  defp strays do
    reference = make_ref()

    [
      :hello,
      {:hello, "there"},
      %{a: 1},
      {reference, :late},
      {reference, {:ok, :late}},
      {reference, {:error, {:io, "late"}}},
      {:DOWN, reference, :process, self(), :gone},
      {:EXIT, self(), :gone},
      {:exosuit_lattice, reference, {"subject", nil, "payload"}},
      {:exosuit_lattice, reference, {:deleted, "key"}},
      {:exosuit_event, :none},
      {:retry, {:actor, "nobody"}, 1},
      {:summary, :nobody},
      {:tcp, nil, "data"}
    ]
  end
end
