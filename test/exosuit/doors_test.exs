defmodule Exosuit.DoorsTest do
  # Extremes at every door of a host: whatever comes in, the host answers afterwards, with the same
  # processes. The numbers, names and references that each door takes are those of one parser.
  use Exosuit.HostCase, async: true

  alias Exosuit.{Config, Control, Directory, Extremes, Json, Nats, Router}
  alias Exosuit.Lattice.{Bus, Peers, Records}
  alias Exosuit.Model.Link
  alias Exosuit.Protocol.{Events, Otp, Socket, V1}

  @key "MCFMFDWFHGKELOXPCNCDXKK5OFLHBVEWRAOXR5JSQUD2TOFRE3DFPM7E"

  setup do
    seed = :rand.export_seed_s(:rand.seed(:exsss))
    on_exit(fn -> if ExUnit.configuration()[:trace], do: IO.inspect(seed, label: "seed") end)
    :ok
  end

  defp host!(options \\ []) do
    options = [data_dir: tmp_dir!(), allow_file_load: true] ++ options
    host = start_supervised_host!(options ++ [actors: [echo: "echo"]])
    {:ok, "kv"} = Exosuit.start_provider(host, "keyvalue", id: "kv")
    %{host: host, pids: pids(host)}
  end

  # All processes that stand: what a task or a client is, comes and goes.
  defp pids(host) do
    [{top, _value}] = Registry.lookup(Exosuit.Registry, {host, :host})
    top |> family() |> MapSet.new()
  end

  defp family(supervisor) do
    for {id, pid, type, _modules} <- Supervisor.which_children(supervisor),
        is_pid(pid),
        id != :undefined or type == :supervisor,
        child <- [pid | if(type == :supervisor, do: family(pid), else: [])],
        do: child
  end

  # What ran still runs; what was started besides may be there, too.
  defp assert_stands(it) do
    assert MapSet.subset?(it.pids, pids(it.host))
    assert {:ok, "hi"} = Exosuit.call(it.host, "echo", "op", "hi")
    assert %{host_id: _id} = Exosuit.facts(it.host)
  end

  # A slip of the programmer's is told as such; what a NIF says of its arguments is not.
  defp tried(fun) do
    fun.()
  rescue
    error in ArgumentError ->
      refute Exception.message(error) =~ "argument error"
      {:refused, Exception.message(error)}

    error in FunctionClauseError ->
      # Of functions whose arguments have a type, at the facade alone.
      assert error.module == Exosuit
      {:refused, "no clause"}
  end

  describe "extremes" do
    test "as options of a host are refused, or fit the data plane" do
      keys =
        ~w(lattice labels data_dir providers trusted_issuers unsigned legacy_hash call_timeout max_depth) ++
          ~w(memory_limit queue restart_wait drain_timeout http_ports local_first allow_file_load nats)

      for key <- Enum.map(keys, &String.to_existing_atom/1), value <- Extremes.terms() do
        options = Keyword.put([name: :extreme, trusted_issuers: :any], key, value)

        case tried(fn -> Config.new!(options) end) do
          %Config{nats: nil} = config -> assert is_reference(Router.new(config))
          %Config{} -> :ok
          {:refused, text} -> assert text =~ "expected" or text =~ "unknown options"
        end
      end
    end

    test "as options of the facade's functions leave the host as it is" do
      it = host!()
      wasm = Guests.path("echo")
      {:ok, "other"} = Exosuit.start_actor(it.host, wasm, id: "other")

      keys = ~w(id instances warm memory_limit queue deadline config grants annotations)a

      for key <- keys, value <- Extremes.terms() do
        result =
          tried(fn -> Exosuit.start_actor(it.host, wasm, [{:id, "n"}] ++ [{key, value}]) end)

        with {:ok, id} <- result, do: Exosuit.stop_actor(it.host, id)
      end

      for value <- Extremes.terms() do
        tried(fn -> Exosuit.scale_actor(it.host, "other", value) end)
        tried(fn -> Exosuit.start_actor(it.host, value) end)
        tried(fn -> Exosuit.start_provider(it.host, value) end)
        tried(fn -> Exosuit.put_label(it.host, value, "v") end)
        tried(fn -> Exosuit.put_label(it.host, "k", value) end)
        tried(fn -> Exosuit.put_config(it.host, value, %{}) end)
        tried(fn -> Exosuit.put_config(it.host, "c", value) end)
        tried(fn -> Exosuit.call(it.host, value, "op", "") end)
        tried(fn -> Exosuit.call(it.host, "echo", value, "") end)
        tried(fn -> Exosuit.call(it.host, "echo", "op", "", timeout: value) end)
        tried(fn -> Exosuit.apply_manifest(it.host, value) end)

        for key <- ~w(source target contract name interfaces source_config target_config)a do
          link = [source: "echo", target: "kv", contract: "wasmcloud:keyvalue"]
          tried(fn -> Exosuit.put_link(it.host, Keyword.put(link, key, value)) end)
        end
      end

      assert_stands(it)
    end

    test "on the control socket are answered, each, and leave the host as it is" do
      it = host!()
      socket = connect(it.host)

      commands = %{
        "call" => ~w(actor operation payload_base64 timeout_ms),
        "actor.start" => ~w(path id instances config annotations),
        "actor.scale" => ~w(id instances),
        "actor.update" => ~w(id path force),
        "provider.start" => ~w(name id config annotations),
        "link.put" => ~w(source target contract name interfaces source_config target_config),
        "link.delete" => ~w(source contract name)
      }

      good = %{
        "actor" => "echo",
        "operation" => "op",
        "id" => "echo",
        "path" => "/none.wasm",
        "name" => "keyvalue",
        "source" => "echo",
        "target" => "kv",
        "contract" => "wasmcloud:keyvalue",
        "instances" => 1
      }

      for {command, names} <- commands, name <- names, value <- Extremes.json(5) do
        arguments = good |> Map.take(names) |> Map.put(name, value)
        assert %{"v" => 1} = ask(socket, command, arguments)
      end

      assert_stands(it)
    end

    test "from the lattice, in either generation, leave the host as it is" do
      nats = Nats.start!()
      it = host!(nats: Nats.options(nats))
      %{lattice: lattice, source: id} = Directory.fetch!(it.host, :instance)
      eventually(fn -> match?({:ok, _}, v1(lattice, "host.get.#{id}", %{})) end)
      reference = "file://" <> Guests.path("echo")
      # A count that is left out stops it.
      {:ok, "other"} = Exosuit.start_actor(it.host, Guests.path("echo"), id: "other")

      good = %{
        "component_ref" => reference,
        "component_id" => "other",
        "actor_ref" => reference,
        "actor_id" => "other",
        "provider_ref" => "wasmcloud+builtin://keyvalue",
        "provider_id" => "kv",
        "source_id" => "echo",
        "target" => "kv",
        "wit_namespace" => "wasi",
        "wit_package" => "keyvalue",
        "interfaces" => ["store"],
        "contract_id" => "wasmcloud:keyvalue",
        "key" => "k",
        "value" => "v"
      }

      subjects = [
        {"v1.default.component.scale.#{id}",
         ~w(component_ref component_id count max_instances) ++
           ~w(component_limits annotations config allow_update)},
        {"v1.default.provider.start.#{id}", ~w(provider_id provider_ref config annotations)},
        {"v1.default.link.put", ~w(source_id target name wit_namespace wit_package interfaces)},
        {"v1.default.label.put.#{id}", ~w(key value)},
        {"default.cmd.#{id}.scale", ~w(actor_id actor_ref count annotations)},
        {"default.cmd.#{id}.la", ~w(actor_ref count annotations)},
        {"default.linkdefs.put", ~w(actor_id contract_id link_name provider_id values)}
      ]

      for {subject, names} <- subjects, name <- names, value <- Extremes.json(3) do
        body = good |> Map.take(names) |> Map.put(name, value)
        text = IO.iodata_to_binary(Extremes.encode(body))

        reply = Bus.request(lattice, "wasmbus.ctl." <> subject, text, 30_000)
        assert {:ok, _text} = reply, "#{subject} #{name} #{String.slice(text, 0, 200)}"
      end

      assert_stands(it)
    end

    test "as totals over annotations are refused where they are made" do
      it = host!()

      scale = fn count, annotations ->
        Exosuit.resize_actor(it.host, "echo", {:set, annotations, count})
      end

      assert :ok = scale.(99_936, %{"a" => "1"})
      assert {:error, %Error{reason: :limit, detail: detail}} = scale.(1, %{"b" => "1"})
      assert detail == "expected a number of instances from 1 to 100000 in all, got 100001"

      assert {:error, %Error{}} =
               Exosuit.resize_actor(it.host, "echo", {:add, %{}, 4_294_967_295})

      assert {:ok, %{instances: 100_000}} = Exosuit.fetch_actor(it.host, "echo")
      assert_stands(it)
    end

    test "in the records of a lattice are refused, or fit the data plane" do
      it = host!()
      instance = Directory.fetch!(it.host, :instance)

      for value <- Extremes.json() do
        text = IO.iodata_to_binary(Extremes.encode(value))
        encode = &IO.iodata_to_binary(Extremes.encode(&1))

        for record <- [text, text <> <<255>>] do
          read(instance, Records.read_links("LINKDEF_A", record))
          read(instance, Records.read_links("COMPONENT_echo", record))
          assert {kind, _} = Records.read_configuration(record)
          assert kind in [:ok, :error]
          assert {_kind, _} = Otp.Claims.decode(@key, record)
        end

        definition = %{
          "actor_id" => "echo",
          "provider_id" => "kv",
          "link_name" => "default",
          "contract_id" => "wasmcloud:keyvalue",
          "values" => %{}
        }

        for field <- Map.keys(definition) do
          read(instance, Records.read_links("LINKDEF_A", encode.(%{definition | field => value})))
        end

        for field <- ~w(rev call_alias caps iss) do
          with {:ok, claims} <- Otp.Claims.decode(@key, encode.(%{field => value})),
               do: assert({:ok, _} = Otp.Claims.encode(claims))
        end

        for field <- ~w(labels actors uptime_seconds heartbeat_interval_ms friendly_name) do
          Peers.hear(instance, "NPEER", Events.heartbeat(%{field => value}), 0)
          assert is_list(Peers.overdue(instance, 0))
        end
      end

      assert_stands(it)
    end
  end

  defp read(instance, {:ok, links, _wrong}) do
    for link <- links, do: assert(taken_or_refused?(Exosuit.Host.Links.put(instance, link)))
  end

  defp read(_config, other), do: assert(other == :other or match?({:error, %Error{}}, other))

  defp taken_or_refused?(result), do: result == :ok or match?({:error, %Error{}}, result)

  describe "one parser" do
    test "reads contracts at every door" do
      for {text, good?} <- [
            {"wasmcloud:keyvalue", true},
            {"acme:demo:pay", true},
            {"wasmcloud:builtin:logging", true},
            {"a.b:c-d_e", true},
            {"", false},
            {"wasmcloud", false},
            {":a", false},
            {"a:", false},
            {"a::b", false},
            {"a:b/c", false},
            {"a:b c", false},
            {"é:b", false},
            {"a:" <> String.duplicate("b", 254), false}
          ] do
        assert doors(:contract, text) ==
                 Map.new(doors(:contract, text), fn {door, _} -> {door, good?} end),
               "#{inspect(text)}: #{inspect(doors(:contract, text))}"
      end
    end

    test "reads references at every door" do
      for {text, kind} <- [
            {"./hello.wasm", :file},
            {"/x/hello.wasm", :file},
            {"file:///x/hello.wasm", :file},
            {"ghcr.io/acme/hello.wasm", :registry},
            {"ghcr.io/acme/hello:1", :registry},
            {"oci://ghcr.io/acme/hello:1", :registry},
            {"wasmcloud+builtin://keyvalue", :builtin},
            {"bindle://a", :none},
            {"", :none}
          ] do
        kinds = references(text)
        assert Enum.all?(Map.values(kinds), &(&1 == kind)), "#{inspect(text)}: #{inspect(kinds)}"
      end
    end

    test "reads names of configurations at every door" do
      for {text, good?} <- [{"db", true}, {"app/db=1.x", true}, {"a b", false}, {"a..b", false}] do
        host = start_supervised_host!()
        facade = match?(:ok, Exosuit.put_config(host, text, %{}))
        record = match?({:ok, [_link], []}, V1.Records.decode("a", component(text)))
        {:ok, scale} = {:ok, V1.decode_command(["component", "scale", "N"], scale(text))}

        manifest =
          not (manifest("config: [{name: #{inspect(text)}}]") =~ "expected the name of a stored")

        doors = [facade, record, match?({:ok, _}, scale), manifest]
        assert doors == List.duplicate(good?, 4), "#{text}: #{inspect(doors)}"
      end
    end

    test "bounds instances at every door" do
      for {count, good?} <- [
            {1, true},
            {100_000, true},
            {100_001, false},
            {-1, false},
            {1.5, false}
          ] do
        socket = Socket.Commands.decode("actor.scale", %{"id" => "a", "instances" => count})

        otp = Otp.decode_command(["cmd", "N", "scale"], %{"actor_id" => "a", "count" => count})

        v1 =
          V1.decode_command(["component", "scale", "N"], %{
            "component_id" => "a",
            "count" => count
          })

        spread = "traits: [{type: spreadscaler, properties: {instances: #{count}}}]"
        manifest = not (manifest("config: {}", spread) =~ "expected a number of instances")
        doors = Enum.map([socket, otp, v1], &match?({:ok, _}, &1)) ++ [manifest]
        assert doors == List.duplicate(good?, 4), "#{count}: #{inspect(doors)}"
      end
    end
  end

  describe "what is not UTF-8" do
    test "is refused in a manifest, with line and column" do
      it = host!()
      path = Path.join(tmp_dir!(), "app.yaml")
      File.write!(path, "kind: Application\n# caf" <> <<233>> <> "\n")

      assert {:error, [%{text: text, line: 2}]} = Exosuit.apply_manifest(it.host, path)
      assert text =~ ~r/app.yaml:2:6: expected UTF-8: save the file as UTF-8, found the byte 0xe9/

      socket = connect(it.host)
      answer = ask(socket, "apply", %{"manifest" => path})
      assert %{"error" => %{"code" => "invalid_manifest", "diagnostics" => [^text]}} = answer
      assert_stands(it)
    end

    test "makes no label, and whoever asks for the hosts is answered" do
      nats = Nats.start!()
      it = host!(nats: Nats.options(nats))
      %{lattice: lattice} = Directory.fetch!(it.host, :instance)

      for {key, value} <- [{"k", <<255>>}, {<<255>>, "v"}, {"k", nil}] do
        assert {:error, %Error{reason: :invalid_input, detail: detail}} =
                 Exosuit.put_label(it.host, key, value)

        assert detail =~ "UTF-8"
      end

      assert_raise ArgumentError, ~r/:labels to be a map from strings to strings/, fn ->
        Config.new!(name: :a, trusted_issuers: :any, labels: %{"k" => <<255>>})
      end

      eventually(fn -> match?({:ok, [_]}, gather(lattice, "wasmbus.ctl.v1.default.host.ping")) end)

      assert {:ok, [_answer]} = gather(lattice, "wasmbus.ctl.default.ping.hosts")
      assert_stands(it)
    end
  end

  defp gather(lattice, subject), do: Bus.gather(lattice, subject, "", 2_000, 1)

  defp v1(lattice, subject, body) do
    {:ok, text} = Json.encode(body)
    Bus.request(lattice, "wasmbus.ctl.v1.default." <> subject, text, 5_000)
  end

  defp connect(host) do
    path = Control.path(Directory.fetch!(host, :instance).config.data_dir)
    {:ok, socket} = :gen_tcp.connect({:local, path}, 0, [:binary, packet: :line, active: false])
    :ok = :inet.setopts(socket, buffer: 1_048_576)
    socket
  end

  defp ask(socket, command, arguments) do
    line = Extremes.encode(%{v: 1, id: 1, command: command, arguments: arguments})
    :ok = :gen_tcp.send(socket, [line, "\n"])
    {:ok, answer} = :gen_tcp.recv(socket, 0, 60_000)
    {:ok, answer} = Json.decode(answer)
    answer
  end

  # Whether each door takes it.
  defp doors(:contract, text) do
    host = start_supervised_host!(actors: [a: "echo"])
    link = %{"source" => "a", "target" => "b", "contract" => text}
    linkdef = %{"actor_id" => "a", "provider_id" => "b", "contract_id" => text}
    {namespace, package} = halves(text)

    wit = %{
      "source_id" => "a",
      "target" => "b",
      "interfaces" => [],
      "wit_namespace" => namespace,
      "wit_package" => package
    }

    {:ok, record} = Json.encode(linkdef)
    facade = tried(fn -> Exosuit.put_link(host, source: "a", target: "b", contract: text) end)
    use = tried(fn -> Exosuit.Provider.options!(contract: text) end)
    {_output, status} = System.cmd(Guests.command(), ["link", "put", "a", "b", text], quiet())

    %{
      facade: not match?({:refused, _text}, facade),
      use: not match?({:refused, _text}, use),
      socket: match?({:ok, _command}, Socket.Commands.decode("link.put", link)),
      otp: match?({:ok, _command}, Otp.decode_command(["linkdefs", "put"], linkdef)),
      v1: match?({:ok, _command}, V1.decode_command(["link", "put"], wit)),
      record: match?({:ok, [_link], []}, Records.read_links("LINKDEF_A", record)),
      manifest: not (manifest_link(namespace, package) =~ "expected a name"),
      # A command line that is wrong has another status than a host that is not there.
      command_line: status != 2
    }
  end

  defp halves(text) do
    case String.split(text, ":", parts: 2) do
      [namespace, package] -> {namespace, package}
      [other] -> {other, ""}
    end
  end

  defp quiet, do: [stderr_to_stdout: true, cd: tmp_dir!()]

  defp manifest_link(namespace, package) do
    manifest(
      "config: {}",
      "traits: [{type: link, properties: {namespace: #{inspect(namespace)}, " <>
        "package: #{inspect(package)}, target: a}}]"
    )
  end

  defp manifest(properties, more \\ "traits: []", image \\ "a.wasm") do
    path = Path.join(tmp_dir!(), "app.yaml")

    File.write!(path, """
    apiVersion: core.oam.dev/v1beta1
    kind: Application
    metadata: {name: app}
    spec:
      components:
        - name: a
          type: component
          properties:
            image: #{inspect(image)}
            #{properties}
          #{more}
    """)

    case Exosuit.Manifest.parse(path, nil) do
      {:ok, _parsed} -> ""
      {:error, diagnostics} -> Enum.map_join(diagnostics, "\n", & &1.text)
    end
  end

  defp component(configuration) do
    link = %Link{source: "a", target: "b", namespace: "a", package: "b"}
    {:ok, record} = V1.Records.encode(nil, [], [%{link | target_configs: [configuration]}])
    record
  end

  defp scale(config), do: %{"component_id" => "a", "config" => [config]}

  # What each door takes it for.
  defp references(text) do
    host = start_supervised_host!()

    %{
      facade: kind(Exosuit.start_actor(host, text, id: "a")),
      lattice: kind(Control.Reference.actor(absolute(text), true)),
      manifest: image_kind(manifest_image(text)),
      command_line: output_kind(System.cmd(Guests.command(), ["actor", "start", text], quiet()))
    }
  end

  # The lattice takes absolute paths alone.
  defp absolute("./" <> path), do: "file:///" <> path
  defp absolute("/" <> _ = path), do: "file://" <> path
  defp absolute(other), do: other

  defp kind({:ok, _path}), do: :file
  defp kind({:error, error}), do: output_kind({Exception.message(error), 1})

  defp output_kind({text, _status}) do
    cond do
      text =~ "registries are not supported yet" -> :registry
      text =~ "which is a provider" or text =~ "which is a provider" -> :builtin
      text =~ "cannot be read" or text =~ "no host runs at" -> :file
      text =~ "expected a path" or text =~ "value is required" -> :none
      true -> text
    end
  end

  defp manifest_image(image) do
    path = Path.join(tmp_dir!(), "app.yaml")
    File.write!(path, worker_manifest() |> String.replace("file://./app.wasm", inspect(image)))
    Exosuit.Manifest.parse(path, [])
  end

  defp image_kind({:ok, _manifest}), do: :file

  defp image_kind({:error, diagnostics}) do
    text = Enum.map_join(diagnostics, "\n", & &1.text)
    if text =~ "this is a provider", do: :builtin, else: output_kind({text, 1})
  end
end
