defmodule Exosuit.DoorsFuzz do
  # `bin/fuzz doors`: bodies of the control interfaces of both generations, lines of the socket, and
  # MessagePack, changed at random, at a host that runs. From a seed, which it prints.
  use Exosuit.HostCase, async: false

  alias Exosuit.{Control, Directory, Json, MessagePack}
  alias Exosuit.Lattice.Bus

  @moduletag :fuzz
  @moduletag timeout: :infinity

  # Between two looks at whether the host is whole.
  @round 200

  # Of a command, what it takes; `HOST` is the host's id.
  @bodies [
    {"wasmbus.ctl.default.ping.hosts", %{}},
    {"wasmbus.ctl.default.get.HOST.inv", %{}},
    {"wasmbus.ctl.default.get.claims", %{}},
    {"wasmbus.ctl.default.linkdefs.put",
     %{
       actor_id: "a",
       provider_id: "kv",
       contract_id: "wasmcloud:keyvalue",
       link_name: "default",
       values: %{"A" => "b"}
     }},
    {"wasmbus.ctl.default.linkdefs.del",
     %{actor_id: "a", contract_id: "wasmcloud:keyvalue", link_name: "default"}},
    {"wasmbus.ctl.default.auction.actor",
     %{actor_ref: "file:///none.wasm", constraints: %{"a" => "b"}}},
    {"wasmbus.ctl.default.cmd.HOST.la",
     %{actor_ref: "file:///none.wasm", count: 1, host_id: "HOST", annotations: %{"a" => "b"}}},
    {"wasmbus.ctl.default.cmd.HOST.scale",
     %{actor_id: "other", actor_ref: "", count: 3, host_id: "HOST", annotations: %{}}},
    {"wasmbus.ctl.default.cmd.HOST.lp",
     %{
       provider_ref: "none",
       link_name: "default",
       host_id: "HOST",
       configuration: "",
       annotations: %{}
     }},
    {"wasmbus.ctl.default.cmd.HOST.upd",
     %{new_actor_ref: "file:///none.wasm", actor_id: "other"}},
    {"wasmbus.ctl.v1.default.host.ping", %{}},
    {"wasmbus.ctl.v1.default.host.get.HOST", %{}},
    {"wasmbus.ctl.v1.default.component.scale.HOST",
     %{
       component_ref: "file:///none.wasm",
       component_id: "other",
       max_instances: 5,
       annotations: %{},
       config: ["a"],
       host_id: "HOST"
     }},
    {"wasmbus.ctl.v1.default.component.update.HOST",
     %{component_id: "other", new_component_ref: "file:///none.wasm"}},
    {"wasmbus.ctl.v1.default.provider.start.HOST",
     %{provider_id: "p", provider_ref: "file:///none.par", config: [], annotations: %{}}},
    {"wasmbus.ctl.v1.default.link.put",
     %{
       source_id: "a",
       target: "kv",
       name: "default",
       wit_namespace: "wasi",
       wit_package: "keyvalue",
       interfaces: ["store"],
       source_config: [],
       target_config: []
     }},
    {"wasmbus.ctl.v1.default.link.del",
     %{source_id: "a", name: "default", wit_namespace: "wasi", wit_package: "keyvalue"}},
    {"wasmbus.ctl.v1.default.label.put.HOST", %{key: "a", value: "b"}},
    {"wasmbus.ctl.v1.default.config.put.name", %{"a" => "b"}},
    {"wasmbus.ctl.v1.default.config.get.name", %{}}
  ]

  @lines [
    %{v: 1, id: 1, command: "inventory"},
    %{
      v: 1,
      id: 2,
      command: "call",
      arguments: %{actor: "echo", operation: "x", payload_base64: "AA==", timeout_ms: 100}
    },
    %{
      v: 1,
      id: 3,
      command: "actor.start",
      arguments: %{path: "/none.wasm", id: "x", instances: 1}
    },
    %{v: 1, id: 4, command: "actor.scale", arguments: %{id: "other", instances: 4}},
    %{
      v: 1,
      id: 5,
      command: "link.put",
      arguments: %{
        source: "a",
        target: "kv",
        contract: "wasmcloud:keyvalue",
        target_config: %{"a" => "b"}
      }
    },
    %{
      v: 1,
      id: 6,
      command: "link.delete",
      arguments: %{source: "a", contract: "wasmcloud:keyvalue"}
    },
    %{v: 1, id: 7, command: "apply", arguments: %{manifest: "/none.yaml"}}
  ]

  # What numbers, texts and parts of a body become.
  @extremes [
              0,
              1,
              -1,
              0x7FFFFFFF,
              0x80000000,
              0xFFFFFFFF,
              0x7FFFFFFFFFFFFFFF,
              0x8000000000000000,
              0xFFFFFFFFFFFFFFFF
            ] ++
              [
                1.0e308,
                -0.5,
                nil,
                true,
                "",
                "*",
                ">",
                "a b",
                "../..",
                "\0",
                "é",
                [],
                %{},
                ["a"],
                %{"a" => 1}
              ]

  test "a host goes on, whatever is sent to its doors" do
    seed = number("FUZZ_SEED", :rand.uniform(1_000_000))
    seconds = 60 * number("FUZZ_MINUTES", 1)
    :rand.seed(:exsss, seed)
    IO.puts("seed #{seed}")

    nats = Exosuit.Nats.start!()
    dir = Path.join(tmp_dir!(), "data")
    # Nothing that is sent may be told from what is sent next by how long it waits.
    host =
      start_supervised_host!(
        nats: Exosuit.Nats.options(nats),
        data_dir: dir,
        actors: [echo: "echo", other: "echo"]
      )

    sender = start_supervised_host!(nats: Exosuit.Nats.options(nats))

    {:ok, _id} =
      Exosuit.start_provider(host, "keyvalue", id: "kv", config: %{"backend" => "memory"})

    world = %{
      host: host,
      id: Exosuit.facts(host).host_id,
      dir: dir,
      bus: Directory.fetch!(sender, :instance).lattice,
      processes: processes(host)
    }

    assert eventually(fn -> Bus.publish(world.bus, "fuzz", "") == :ok end)
    sent = run(world, System.monotonic_time(:second) + seconds, 0)
    IO.puts("#{sent} bodies, no finding")
  end

  defp run(world, deadline, sent) do
    if System.monotonic_time(:second) >= deadline do
      sent
    else
      for _ <- 1..@round, do: throw_one(world)
      assert {:ok, "still here"} = Exosuit.call(world.host, "echo", "echo", "still here")
      assert processes(world.host) == world.processes
      run(world, deadline, sent + @round)
    end
  end

  defp throw_one(world) do
    case :rand.uniform(4) do
      1 -> message_pack()
      2 -> line(world)
      _ -> control(world)
    end
  end

  defp control(world) do
    {subject, body} = Enum.random(@bodies)
    body = body |> change() |> encode() |> String.replace("HOST", world.id) |> damage()
    Bus.publish(world.bus, String.replace(subject, "HOST", world.id), body)
  end

  defp line(world) do
    address = {:local, Control.path(world.dir)}

    with {:ok, socket} <- :gen_tcp.connect(address, 0, [:binary, active: false]) do
      :gen_tcp.send(socket, [@lines |> Enum.random() |> change() |> encode() |> damage(), "\n"])
      # An answer, the end, or nothing where the line was no whole one.
      :gen_tcp.recv(socket, 0, 200)
      :gen_tcp.close(socket)
    end
  end

  defp message_pack do
    bytes =
      MessagePack.encode!(change(%{"a" => [1, -1, 2.5, nil, true], "b" => %{"c" => "text"}}))

    with {:ok, term} <- MessagePack.decode(damage(bytes)) do
      assert term |> MessagePack.encode!() |> MessagePack.decode() == {:ok, term}
    end
  end

  # One value of it, somewhere, becomes an extreme; sometimes none.
  defp change(body) do
    case {:rand.uniform(3), body} do
      {1, _body} -> body
      {_, %{} = map} when map_size(map) > 0 -> change_field(map)
      {_, [_ | _] = list} -> List.replace_at(list, :rand.uniform(length(list)) - 1, extreme())
      {_, _other} -> extreme()
    end
  end

  defp change_field(map) do
    {key, value} = Enum.random(map)

    case :rand.uniform(4) do
      1 -> Map.delete(map, key)
      2 -> Map.put(map, key, extreme())
      _ -> Map.put(map, key, change(value))
    end
  end

  defp extreme do
    case :rand.uniform(length(@extremes) + 2) do
      1 -> String.duplicate("x", 70_000)
      2 -> Enum.reduce(1..100, "deep", fn _, inner -> [inner] end)
      n -> Enum.at(@extremes, n - 3)
    end
  end

  defp encode(term) do
    case Json.encode(term) do
      {:ok, text} -> text
      # Deeper than JSON goes here.
      {:error, _too_deep} -> String.duplicate("[", 300)
    end
  end

  # A byte of it, sometimes: another, gone, or one that no UTF-8 has.
  defp damage(bytes) when byte_size(bytes) == 0, do: bytes

  defp damage(bytes) do
    at = :rand.uniform(byte_size(bytes)) - 1
    <<head::binary-size(at), _byte, tail::binary>> = bytes

    case :rand.uniform(6) do
      1 -> head <> tail
      2 -> head <> <<:rand.uniform(256) - 1>> <> tail
      3 -> head <> <<0xE9>> <> tail
      _ -> bytes
    end
  end

  # But those that come and go with what they do.
  defp processes(host) do
    host |> Directory.via(:host) |> GenServer.whereis() |> children() |> Enum.sort()
  end

  defp children(supervisor) do
    for {id, pid, type, _modules} <- Supervisor.which_children(supervisor),
        id != :undefined,
        is_pid(pid),
        found <- [{inspect(id), pid} | if(type == :supervisor, do: children(pid), else: [])],
        do: found
  end

  defp number(variable, default) do
    case System.get_env(variable, "") do
      "" -> default
      text -> String.to_integer(text)
    end
  end
end
