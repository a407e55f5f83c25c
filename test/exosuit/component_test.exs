defmodule Exosuit.ComponentTest do
  # Components from end to end: real sockets, real stores, beside wasmbus actors in one host.
  # Not async: it looks at how much memory the whole VM takes.
  use Exosuit.HostCase, async: false

  alias Exosuit.Http

  @examples Path.expand("../../examples/counter", __DIR__)

  describe "the counter example" do
    test "runs as a component beside the actor, in one host, each on a port" do
      host = start_supervised_host!(unsigned: :deny, data_dir: tmp_dir!())
      actor = apply!(host, "app.yaml", address: free_port())
      component = apply!(host, "app-component.yaml", address: free_port())

      for port <- [actor, component], n <- 1..3 do
        assert {200, ~s({"counter":#{n}})} == Http.request(port, "GET", "/a")
      end

      for path <- ["/b", "/", "/a/b?c=d"], method <- ["GET", "POST"] do
        assert Http.request(actor, method, path) == Http.request(component, method, path)
      end
    end

    test "runs as a component beside the actor, on one port by path" do
      host = start_supervised_host!(unsigned: :deny, data_dir: tmp_dir!())
      port = free_port()
      apply!(host, "app.yaml", address: port, path: "/actor")
      apply!(host, "app-component.yaml", address: port, path: "/component")

      for path <- ["/actor", "/component/x"], n <- 1..3 do
        assert {200, ~s({"counter":#{n}})} == Http.request(port, "GET", path)
      end

      assert {404, _body} = Http.request(port, "GET", "/elsewhere")
      :ok = Exosuit.stop_actor(host, "counter-counter")
      assert {404, _body} = Http.request(port, "GET", "/actor")
      assert {200, ~s({"counter":4})} = Http.request(port, "GET", "/component/x")
    end

    test "the claim of a component is asked for, as that of an actor is" do
      host = start_supervised_host!(unsigned: :deny, data_dir: tmp_dir!())
      :ok = Exosuit.subscribe(host)
      dir = tmp_dir!()
      wasm = Path.join(@examples, "counter_component_s.wasm")
      {signed, _keys} = Guests.sign(dir, "counter", wasm: wasm, caps: ["wasi:http"])
      File.rename!(signed, Path.join(dir, "counter_component_s.wasm"))
      port = free_port()
      apply!(host, "app-component.yaml", address: port, dir: dir)

      assert {status, _body} = Http.request(port, "GET", "/a")
      assert status >= 500

      assert_receive {:exosuit_event,
                      %{type: "linkdef_set_failed", data: %{reason: :missing_claim, error: text}}}

      assert text =~ "wasi:keyvalue"
    end
  end

  describe "a component on the HTTP server" do
    test "streams 16 MiB through, both ways at once, in a memory that stays flat" do
      port = web!(memory_limit: 4 * 1024 * 1024)
      # Once before it counts: what is made at the first use of anything is made.
      echo!(port, 1)
      before = resident()
      echo!(port, 16)
      assert resident() - before < 8 * 1024 * 1024
    end

    test "is not run ahead of a client that does not read" do
      port = web!()
      {:ok, socket} = Http.connect(port)
      assert {200, _body} = Http.request(port, "GET", "/stream?bytes=4096")
      before = resident()
      :ok = :gen_tcp.send(socket, request("GET", "/stream?bytes=#{64 * 1024 * 1024}"))
      assert {:ok, 200, :chunked} = Http.head(socket)

      # Each chunk that is read leaves the guest time to run ahead, if anything let it.
      most =
        Enum.reduce(1..200, 0, fn _, most ->
          assert {:ok, <<_, _::binary>>} = Http.chunk(socket)
          max(most, resident())
        end)

      assert most - before < 16 * 1024 * 1024
      :gen_tcp.close(socket)
    end

    test "that fails amid its body breaks the connection off" do
      port = web!()
      {:ok, socket} = Http.connect(port)
      :ok = :gen_tcp.send(socket, request("GET", "/half"))

      case Http.head(socket) do
        {:ok, 200, 20} ->
          :ok = :inet.setopts(socket, packet: :raw)
          assert {:error, :closed} = :gen_tcp.recv(socket, 20, 5_000)

        {:ok, status, _framing} ->
          assert status == 502
      end
    end

    test "that answers nothing, traps or spins is told by a status, and the next one is answered" do
      port = web!(http: %{"timeout_ms" => "300"})
      assert {502, _body} = Http.request(port, "GET", "/no-response")
      assert {502, _body} = Http.request(port, "GET", "/trap")
      assert {504, _body} = Http.request(port, "GET", "/spin")
      assert {200, _body} = Http.request(port, "GET", "/hello")
    end

    test "serves others in its one instance while its clients send nothing" do
      port = web!(instances: 1)
      {:ok, silent} = Http.connect(port)
      :ok = :gen_tcp.send(silent, request("POST", "/echo", 70))
      {:ok, slow} = Http.connect(port)
      part = :binary.copy("x", 100_000)
      :ok = :gen_tcp.send(slow, [request("POST", "/echo", 1_000_000), part])
      assert {:ok, 200, _framing} = Http.head(slow)

      assert {200, _body} = Http.request(port, "GET", "/stream?bytes=1")
    end

    test "sees the scheme that an absolute-form request names" do
      port = web!()

      for scheme <- ~w(http https) do
        assert {200, told} = Http.request(port, "GET", "#{scheme}://web.test/headers")
        assert String.downcase(told) =~ ~r/scheme: .*\b#{scheme}\b/
        assert told =~ "web.test"
      end
    end

    test "answers two hundred clients at once" do
      port = web!()

      answers =
        1..200
        |> Enum.map(fn n -> Task.async(fn -> Http.request(port, "POST", "/echo", "#{n}") end) end)
        |> Task.await_many(60_000)

      assert answers == for(n <- 1..200, do: {200, "#{n}"})
    end

    test "calls out to the hosts that it is allowed, and to no other" do
      far = web!()
      host = start_supervised_host!()
      near = web!(host: host, id: "near")
      link = [source: "near", target: "client", contract: "wasi:http"]
      url = fn name -> "/fetch?url=http://#{name}:#{far}/hello" end

      assert {502, "ErrorCode::HttpRequestDenied" <> _} =
               Http.request(near, "GET", url.("127.0.0.1"))

      {:ok, "client"} = Exosuit.start_provider(host, "http-client", id: "client")
      allowed = %{"allowed_hosts" => "127.0.0.1:#{far}"}

      :ok =
        Exosuit.put_link(
          host,
          link ++ [interfaces: ["outgoing-handler"], target_config: allowed]
        )

      assert {200, hello} = Http.request(far, "GET", "/hello")
      for _ <- 1..3, do: assert({200, hello} == Http.request(near, "GET", url.("127.0.0.1")))

      assert {502, "ErrorCode::HttpRequestDenied" <> _} =
               Http.request(near, "GET", url.("localhost"))

      :ok = Exosuit.delete_link(host, Keyword.take(link, [:source, :contract]))

      assert {502, "ErrorCode::HttpRequestDenied" <> _} =
               Http.request(near, "GET", url.("127.0.0.1"))
    end

    test "sees what it is granted, and else nothing" do
      dir = tmp_dir!()
      File.write!(Path.join(dir, "note"), "of the host")

      port =
        web!(
          config: %{"colour" => "blue"},
          grants: [
            arguments: ["--loud"],
            environment: %{"LEVEL" => "7"},
            directories: [[host: dir, guest: "/data"]]
          ]
        )

      assert {200, "blue"} = Http.request(port, "GET", "/config?key=colour")
      assert {200, "of the host"} = Http.request(port, "GET", "/file?path=/data/note")
      assert {403, _body} = Http.request(port, "GET", "/file?path=/data/note&text=x")
      {200, told} = Http.request(port, "GET", "/env")
      assert told =~ "--loud" and told =~ "LEVEL=7"

      port = web!()
      assert {404, _body} = Http.request(port, "GET", "/config?key=colour")
      assert {403, _body} = Http.request(port, "GET", "/file?path=/data/note")
    end

    test "stores values" do
      host = start_supervised_host!()
      port = web!(host: host)
      {:ok, "kv"} = Exosuit.start_provider(host, "keyvalue", id: "kv")
      :ok = Exosuit.put_link(host, source: "web", target: "kv", contract: "wasi:keyvalue")

      assert {404, _body} = Http.request(port, "GET", "/kv/get?key=k")
      assert {200, _body} = Http.request(port, "GET", "/kv/set?key=k&value=v")
      assert {200, "v" <> _} = Http.request(port, "GET", "/kv/get?key=k")
      assert {200, "5" <> _} = Http.request(port, "GET", "/kv/increment?key=n&delta=5")
      assert {404, _body} = Http.request(port, "GET", "/kv/get?key=k&bucket=other")
    end

    test "finishes on its old code while it is updated" do
      host = start_supervised_host!()
      :ok = Exosuit.subscribe(host)
      port = web!(host: host)
      {:ok, socket} = Http.connect(port)

      :ok =
        :gen_tcp.send(socket, [
          "POST /echo HTTP/1.1\r\nhost: localhost\r\n",
          "transfer-encoding: chunked\r\n\r\n",
          "6\r\nbefore\r\n"
        ])

      assert {:ok, 200, :chunked} = Http.head(socket)
      assert {:ok, "before"} = Http.chunk(socket)

      update =
        Task.async(fn ->
          Exosuit.update_actor(host, "web", Guests.component("web"), force: true)
        end)

      assert_receive {:exosuit_event, %{type: "actor_updated"}}, 30_000
      assert {200, _body} = Http.request(port, "GET", "/hello")
      :ok = :inet.setopts(socket, packet: :raw)
      :ok = :gen_tcp.send(socket, "4\r\n too\r\n0\r\n\r\n")
      assert {:ok, " too"} = Http.chunk(socket)
      assert {:ok, ""} = Http.chunk(socket)
      assert :ok = Task.await(update, 60_000)
    end
  end

  describe "from Elixir" do
    test "a program runs once, with the payload as its input and its output as the answer" do
      host = start_supervised_host!()
      run = "wasi:cli/run#run"

      for name <- ["run", "command"] do
        {:ok, ^name} = Exosuit.start_actor(host, Guests.component(name), id: name)
        assert {:ok, "LOUD"} = Exosuit.call(host, name, run, "loud")
        grants = [grants: [arguments: ["1"]]]
        {:ok, _} = Exosuit.start_actor(host, Guests.component(name), [id: "#{name}-1"] ++ grants)

        assert {:error, %Error{reason: :guest} = error} = Exosuit.call(host, "#{name}-1", run, "")

        assert Exception.message(error) =~ "status 1"
      end
    end
  end

  # An actor `web` of the guest of that name, on a port.
  defp web!(options \\ []) do
    {http, options} = Keyword.pop(options, :http, %{})
    {host, options} = Keyword.pop_lazy(options, :host, &start_supervised_host!/0)
    options = Keyword.merge([id: "web", instances: 300], options)
    {:ok, id} = Exosuit.start_actor(host, Guests.component("web"), options)
    {:ok, server} = Exosuit.start_provider(host, "http-server", id: "#{id}-server")
    port = free_port()

    :ok =
      Exosuit.put_link(host,
        source: server,
        target: id,
        contract: "wasi:http",
        interfaces: ["incoming-handler"],
        source_config: Map.put(http, "address", "127.0.0.1:#{port}")
      )

    port
  end

  # The example's application on another address, and by path if one is given.
  defp apply!(host, name, options) do
    dir = tmp_dir!()
    File.cp_r!(@examples, dir)
    if options[:dir], do: File.cp_r!(options[:dir], dir)
    manifest = Path.join(dir, name)
    address = ~r/( *)address: 127\.0\.0\.1:\d+/
    text = File.read!(manifest)
    [_, indent] = Regex.run(address, text)
    lines = ["address: 127.0.0.1:#{options[:address]}"]
    lines = if options[:path], do: lines ++ ["path: #{options[:path]}"], else: lines

    File.write!(
      manifest,
      Regex.replace(address, text, Enum.map_join(lines, "\n", &(indent <> &1)))
    )

    {:ok, _outcomes, []} = Exosuit.apply_manifest(host, manifest)
    options[:address]
  end

  # Sends that many MiB while it reads them back.
  defp echo!(port, mebibytes) do
    {:ok, socket} = Http.connect(port)
    part = :binary.copy("exosuit!", 8 * 1024)
    count = mebibytes * 16
    size = byte_size(part) * count
    :ok = :gen_tcp.send(socket, request("POST", "/echo", size))
    sender = Task.async(fn -> for _ <- 1..count, do: :ok = :gen_tcp.send(socket, part) end)
    assert {:ok, 200, :chunked} = Http.head(socket)
    assert size == read(socket, 0)
    Task.await(sender)
    :gen_tcp.close(socket)
  end

  defp read(socket, size) do
    case Http.chunk(socket) do
      {:ok, ""} -> size
      {:ok, part} -> read(socket, size + byte_size(part))
    end
  end

  defp request(method, path, length \\ 0) do
    "#{method} #{path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: #{length}\r\n\r\n"
  end

  # What the whole VM has in memory now, in bytes: garbage is the test's own.
  defp resident do
    :erlang.garbage_collect()
    [_, kibibytes] = Regex.run(~r/VmRSS:\s+(\d+) kB/, File.read!("/proc/self/status"))
    String.to_integer(kibibytes) * 1024
  end
end
