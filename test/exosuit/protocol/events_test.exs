defmodule Exosuit.Protocol.EventsTest do
  use ExUnit.Case, async: true

  alias Exosuit.Event
  alias Exosuit.Json
  alias Exosuit.Model.Link
  alias Exosuit.Protocol.{Events, Otp, V1}

  @uuid ~r/\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z/
  @claims %{
    issuer: "A",
    name: "echo",
    revision: 4_000_000_000,
    version: nil,
    call_alias: nil,
    caps: ["wasmcloud:keyvalue"],
    tags: [],
    not_before: nil,
    expires_at: 1_700_000_000
  }
  @actor %{
    id: "echo",
    public_key: "M",
    revision: 3,
    image_ref: "file:///echo.wasm",
    annotations: %{},
    shares: [%{annotations: %{}, instances: 2}, %{annotations: %{"a" => "b"}, instances: 1}],
    claims: @claims
  }
  @provider %{
    id: "kv",
    public_key: "V",
    contracts: ["wasmcloud:keyvalue", "wasi:keyvalue"],
    link_name: "default",
    image_ref: "wasmcloud+builtin://keyvalue",
    annotations: %{"x" => "y"},
    endpoints: []
  }
  @link %{
    source: "M",
    target: "V",
    name: "default",
    namespace: "wasmcloud",
    package: "testy",
    interfaces: []
  }

  test "an envelope is what CloudEvents ask for, with an id of its own each" do
    for message <- otp("actor_started", @actor) ++ messages(v1("actor_started", @actor)) do
      assert %{
               specversion: "1.0",
               source: "NHOST",
               time: "2026-01-02T03:04:05Z",
               datacontenttype: "application/json"
             } = message

      assert message.id =~ @uuid
      assert {:ok, _text} = Json.encode(message)
    end

    ids = for message <- otp("actor_started", @actor), do: message.id
    assert ids == Enum.uniq(ids)
    assert [{_, %{id: ulid}} | _] = v1("actor_started", @actor)
    milliseconds = DateTime.to_unix(~U[2026-01-02 03:04:05Z], :millisecond)

    assert <<^milliseconds::48, _::binary>> =
             Base.decode16!(String.replace(ulid, "-", ""), case: :lower)
  end

  test "instances that start and stop are told in sum and one by one, with names that stay" do
    started = otp("actor_started", @actor)

    assert names(started) ==
             ~w(actors_started actor_started actor_started actors_started actor_started)

    assert %{count: 2, host_id: "NHOST", public_key: "M", image_ref: "file:///echo.wasm"} =
             hd(started).data

    assert %{claims: claims, annotations: none, api_version: "n/a"} = Enum.at(started, 1).data
    assert none == %{}

    assert %{caps: ["wasmcloud:keyvalue"], call_alias: "", version: "", revision: 2_147_483_647} =
             claims

    assert %{not_before_human: "immediately", expires_human: "2023-11-14T22:13:20Z"} = claims

    stopped = otp("actor_stopped", Map.put(@actor, :reason, "stopped"))

    assert names(stopped) ==
             ~w(actors_stopped actor_stopped actor_stopped actors_stopped actor_stopped)

    assert %{count: 2, remaining: 0} = hd(stopped).data
    assert Enum.sort(instances(stopped)) == Enum.sort(instances(started))
    assert length(Enum.uniq(instances(started))) == 3
  end

  test "none where none were is told to 1.x, which waits for it" do
    none = [%{annotations: %{}, instances: 0}]
    data = %{id: "a", image_ref: "", instances: 0, annotations: %{}, shares: none, before: []}

    assert [{"component_scaled", %{data: %{component_id: "a", max_instances: 0}}}] =
             v1("actor_scaled", data)

    assert [] = otp("actor_scaled", data)
  end

  test "only what is scaled is told, and a thousand instances are told in sum" do
    data = Map.merge(@actor, %{instances: 3, before: [%{annotations: %{}, instances: 1_000}]})
    messages = otp("actor_scaled", data)
    sums = for %{data: %{count: _} = sum} = message <- messages, do: {hd(names([message])), sum}

    assert [
             {"actors_stopped", %{count: 998, remaining: 2}},
             {"actors_started", %{count: 1, annotations: %{"a" => "b"}}}
           ] = sums

    assert length(messages) == 2 + 256 + 1

    assert [%{max_instances: 2}, %{max_instances: 1, annotations: %{"a" => "b"}}] =
             for({"component_scaled", %{data: data}} <- v1("actor_scaled", data), do: data)
  end

  test "components are scaled, to nothing when they stop, and never without annotations" do
    assert [%{data: first}, %{data: second}] = messages(v1("actor_started", @actor))

    assert %{
             component_id: "echo",
             image_ref: _,
             max_instances: 2,
             host_id: "NHOST",
             public_key: "M"
           } = first

    assert first.annotations == %{} and second.annotations == %{"a" => "b"}
    unsigned = %{@actor | public_key: nil, claims: nil, revision: nil}

    for {_name, %{data: data}} <- v1("actor_started", unsigned),
        do: refute(is_map_key(data, :claims))

    assert [_, %{data: %{public_key: "echo"}} | _] = otp("actor_started", unsigned)

    assert [{"component_scaled", %{data: %{max_instances: 0}}}, _] = v1("actor_stopped", @actor)

    failure = Map.merge(@actor, %{error: "no", reason: :io})

    assert [{"component_scale_failed", %{data: %{error: "no", component_id: "echo"}}}, _] =
             v1("actor_start_failed", failure)

    assert ~w(actor_start_failed actors_start_failed) == names(otp("actor_start_failed", failure))
    bare = %{id: "echo", image_ref: "x", annotations: nil, error: "no", reason: :io}

    assert [{"component_scale_failed", %{data: %{annotations: annotations}}}] =
             v1("actor_start_failed", bare)

    assert annotations == %{}
  end

  test "providers are known by key, contract and link, or by id; their health is told as it is" do
    assert [%{data: started}] = otp("provider_started", @provider)
    assert %{public_key: "V", contract_id: "wasmcloud:keyvalue", link_name: "default"} = started
    assert %{claims: claims, instance_id: id, annotations: %{"x" => "y"}} = started
    assert %{expires_human: "never", tags: nil} = claims

    for result <- ~w(passed failed status) do
      type = "health_check_" <> result
      assert [%{data: health}] = otp(type, @provider)
      assert health == Map.take(started, [:public_key, :contract_id, :link_name])
      assert [{^type, %{data: data}}] = v1(type, @provider)
      assert data == %{provider_id: "kv", host_id: "NHOST"}
    end

    assert [%{data: %{instance_id: ^id, reason: "stopped"}}] =
             otp("provider_stopped", Map.put(@provider, :reason, "stopped"))

    assert [
             {"provider_started", %{data: %{provider_id: "kv", annotations: %{}, image_ref: _}}}
           ] = v1("provider_started", @provider)

    restarting = Map.merge(@provider, %{role: :provider, reason: "killed", after_ms: 1})
    assert [] = v1("restarting", restarting)
    assert [] = otp("restarting", restarting)
  end

  test "a heartbeat is a summary for the one, and the inventory for the other" do
    inventory = %{
      host_id: "NHOST",
      friendly_name: "calm-otter-1",
      labels: %{"a" => "b"},
      version: "0.1.0",
      uptime_seconds: 1,
      uptime_human: "1 second",
      heartbeat_interval_ms: 30_000,
      actors: [
        Map.merge(@actor, %{status: :running, instances: 3, pid: self()}),
        Map.merge(@actor, %{id: "down", status: :not_running, instances: 1, claims: nil})
      ],
      providers: [Map.merge(@provider, %{status: :running, pid: self()})]
    }

    assert [%{data: data} = message] = otp("host_heartbeat", inventory)
    assert data.actors == %{"M" => 3}

    assert [%{public_key: "V", link_name: "default", contract_id: "wasmcloud:keyvalue"}] =
             data.providers

    assert {:ok, _text} = Json.encode(message)

    assert [{"host_heartbeat", %{data: data} = message}] = v1("host_heartbeat", inventory)
    assert {:ok, _text} = Json.encode(message)
    assert [%{id: "echo", max_instances: 2}, %{max_instances: 1}] = data.components
    assert [%{id: "kv", annotations: %{"x" => "y"}}] = data.providers

    for field <- [:friendly_name, :labels, :version, :uptime_human, :uptime_seconds, :host_id] do
      assert is_map_key(data, field)
    end
  end

  test "links, configurations and labels" do
    assert [%{data: %{id: id, actor_id: "M", values: values}}] = otp("linkdef_set", @link)
    assert id == Base.encode16(:crypto.hash(:sha256, "Mwasmcloud:testydefault"))
    assert values == %{}

    assert [{"linkdef_deleted", %{data: %{source_id: "M", wit_package: "testy"}}}] =
             v1("linkdef_deleted", @link)

    named =
      Link.public(%Link{
        source: "M",
        target: "V",
        namespace: "wasmcloud",
        package: "testy",
        source_config: %{"key" => "s3cr3t"},
        target_configs: ["settings"]
      })

    assert [{"linkdef_set", %{data: data}}] = v1("linkdef_set", named)
    assert %{source_config: [], target_config: ["settings"]} = data

    failed = Map.merge(@link, %{error: "no", reason: :io})
    assert [{"linkdef_set_failed", %{data: %{error: "no"}}}] = v1("linkdef_set_failed", failed)
    assert [{"config_set", %{data: %{config_name: "c"}}}] = v1("config_set", %{config_name: "c"})

    assert [{"labels_changed", %{data: %{host_id: "NHOST"}}}] =
             v1("labels_changed", %{labels: %{}})

    assert [] = otp("config_set", %{config_name: "c"})
  end

  test "what has no name there stays here" do
    for type <- ~w(link_applied invocation_failed lattice_connected host_lost control_failed) do
      assert {[], []} = {otp(type, %{}), v1(type, %{})}
    end
  end

  describe "events of other hosts" do
    test "have the facts of a heartbeat, in either generation" do
      inventory = %{
        host_id: "NHOST",
        friendly_name: "calm-otter-1",
        labels: %{"a" => "b"},
        version: "0.1.0",
        uptime_seconds: 1,
        uptime_human: "1 second",
        heartbeat_interval_ms: 30_000,
        mac: 1,
        actors: [Map.merge(@actor, %{status: :running, instances: 3})],
        providers: [Map.merge(@provider, %{status: :running})]
      }

      for {message, actors} <- [
            {hd(otp("host_heartbeat", inventory)), 1},
            # Counted by their annotations.
            {hd(messages(v1("host_heartbeat", inventory))), 2}
          ] do
        assert {:ok, "host_heartbeat", "NHOST", data} = decode(message)

        assert Events.heartbeat(data) == %{
                 friendly_name: "calm-otter-1",
                 labels: %{"a" => "b"},
                 version: "0.1.0",
                 uptime_seconds: 1,
                 interval: 30_000,
                 mac: 1,
                 actors: actors,
                 providers: 1
               }
      end
    end

    test "name a link by the same key, in either generation" do
      for message <- otp("linkdef_set", @link) ++ messages(v1("linkdef_set", @link)) do
        assert {:ok, "linkdef_set", "NHOST", data} = decode(message)
        assert Events.link_key(data) == {:ok, {"M", "wasmcloud:testy", "default"}}
      end
    end

    test "are not trusted" do
      for payload <- ["", "[]", "{}", <<255>>, ~s({"type":"com.wasmcloud.lattice.x","data":1})] do
        assert Events.decode(payload) == :error
      end

      long = String.duplicate("N", 129)
      {:ok, text} = Json.encode(%{type: "com.wasmcloud.lattice.x", source: long, data: %{}})
      assert {:ok, "x", nil, %{}} = Events.decode(text)

      wrong = %{
        "friendly_name" => 1,
        "labels" => [],
        "version" => String.duplicate("1", 1_025),
        "uptime_seconds" => -1,
        "actors" => "many",
        "heartbeat_interval_ms" => 600_001,
        "mac" => 2
      }

      assert Events.heartbeat(wrong) == %{}
      assert Events.link_key(%{"actor_id" => 1}) == :error
    end
  end

  defp decode(message) do
    {:ok, text} = Json.encode(message)
    Events.decode(text)
  end

  defp otp(type, data), do: Otp.Events.encode(event(type, data))

  defp v1(type, data) do
    for {name, message} <- V1.Events.encode(event(type, data)) do
      assert message.type == "com.wasmcloud.lattice." <> name
      {name, message}
    end
  end

  defp messages(named), do: for({_name, message} <- named, do: message)
  defp names(messages), do: for(%{type: "com.wasmcloud.lattice." <> name} <- messages, do: name)
  defp instances(messages), do: for(%{data: %{instance_id: id}} <- messages, do: id)

  # With the fields of the type only, and `nil` for those that the test leaves out.
  defp event(type, data) do
    %{module: module, fields: fields} = Enum.find(Event.Types.all(), &(&1.type == type))
    fact = module.new(Map.new(fields, &{&1.name, data[&1.name]}))
    id = "3f2b8a90-0000-4000-8000-0123456789ab"
    %{Event.new("NHOST", fact) | id: id, time: ~U[2026-01-02 03:04:05Z]}
  end
end
