defmodule Exosuit.Lattice.ThreeHostsTest do
  # One application on three hosts, each a process of its own as a user runs it, over a real server:
  # one is killed while it serves, one is added.
  use Exosuit.HostCase, async: true

  import Exosuit.Program

  alias Exosuit.{Http, Json}

  @moduletag timeout: 600_000

  @counter Path.expand("../../../examples/counter", __DIR__)
  @manifest Path.join(@counter, "app.yaml")
  @path "/visits"

  # What each client says, to go on from, may take as long as a loaded machine needs.
  @timeout 120_000

  setup do
    {:ok, {_public_key, seed}} = Exosuit.Claims.generate_key("cluster")
    %{url: Exosuit.Nats.url(Exosuit.Nats.start!()), seed: seed}
  end

  test "counts on when a host is killed under load, and when one is added", it do
    hosts = deploy!(it)
    assert for(host <- hosts, do: count(host)) == [1, 2, 3]

    clients = for host <- hosts, _ <- 1..2, do: client(host)
    served = for host <- hosts, do: {await_answers(host, 30), host}
    {_most, busiest} = Enum.max_by(served, &elem(&1, 0))
    left = hosts -- [busiest]
    :ok = kill_program(busiest.program)
    for host <- left, do: await_fresh_answers(host, 30)

    fourth = host!(it, [])

    # Its share comes by itself.
    serves!(fourth)
    clients = clients ++ [client(fourth)]
    for host <- [fourth | left], do: await_fresh_answers(host, 30)

    # It serves by itself.
    told = Enum.map(clients, &finish/1)
    for host <- left, do: :ok = kill_program(host.program)
    last = count(fourth)

    assert [] == for({host, _counts, failures} <- told, host != busiest, it <- failures, do: it)
    interrupted = for {^busiest, _counts, failures} <- told, it <- failures, do: it
    assert length(interrupted) <= 2

    acknowledged = [1, 2, 3, last] ++ for {_host, counts, _failures} <- told, it <- counts, do: it
    assert acknowledged == Enum.uniq(acknowledged)
    # The last one is the greatest; between are those that nobody was told of, and no others.
    assert last == Enum.max(acknowledged)
    assert (last - length(acknowledged)) in 0..length(interrupted)
  end

  # Two that wait for something to do, and one that brings the application. Their files are where it is applied.
  defp deploy!(it) do
    hosts = for _ <- 1..2, do: host!(it, [])
    third = host!(it, [@manifest])
    hosts = hosts ++ [third]
    Enum.each(hosts, &serves!/1)
    hosts
  end

  defp serves!(host) do
    assert eventually(fn -> match?({:ok, _socket}, Http.connect(host.port)) end)
  end

  defp host!(it, manifests) do
    {port, data_dir} = {free_port(), tmp_dir!()}

    arguments =
      ["--lattice", it.url, "--http-port", "8080=#{port}", "--data-dir", data_dir] ++ manifests

    environment = [
      {~c"WASMCLOUD_CLUSTER_SEED", String.to_charlist(it.seed)},
      {~c"WASMCLOUD_RPC_TIMEOUT_MS", ~c"60000"}
    ]

    program = kill_on_exit(up!(arguments, env: environment))
    # Told by itself if it took long.
    output = await_text(program, ~r/^connected to the lattice|\(control connection\): connected/m)
    output = await_line(program, "ready", output)
    [_line, id] = Regex.run(~r/host (N[A-Z2-7]{55}),/, output)
    %{program: program, port: port, id: id, data_dir: data_dir}
  end

  defp count(host) do
    assert {200, body} = Http.request(host.port, "GET", @path)
    number(body)
  end

  defp number(body) do
    {:ok, %{"counter" => number}} = Json.decode(body)
    number
  end

  # Asks until it is told to stop, nobody is there, or a call fails.
  defp client(host) do
    test = self()
    {host, Task.async(fn -> ask(host, test, []) end)}
  end

  defp ask(host, test, counts) do
    receive do
      :stop -> {counts, []}
    after
      0 ->
        case Http.request(host.port, "GET", @path) do
          {200, body} ->
            send(test, {:answer, host.port})
            ask(host, test, [number(body) | counts])

          {:error, :econnrefused} ->
            {counts, []}

          failure ->
            {counts, [failure]}
        end
    end
  end

  defp finish({host, task}) do
    send(task.pid, :stop)
    {counts, failures} = Task.await(task, @timeout)
    {host, counts, failures}
  end

  # As many at least; the answer says how many there were.
  defp await_answers(%{port: port}, least) do
    for _ <- 1..least, do: assert_receive({:answer, ^port}, @timeout)
    least + forget_answers(port)
  end

  defp await_fresh_answers(host, least) do
    forget_answers(host.port)
    await_answers(host, least)
  end

  defp forget_answers(port, seen \\ 0) do
    receive do
      {:answer, ^port} -> forget_answers(port, seen + 1)
    after
      0 -> seen
    end
  end
end
