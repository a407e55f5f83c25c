defmodule Exosuit.Control.ActorsTest do
  # What the lattice's commands come to on a host, without the lattice.
  use Exosuit.HostCase, async: true

  alias Exosuit.Control.Execution
  alias Exosuit.Protocol.{Otp, V1}

  @by_a %{"scaler" => "a"}
  @by_b %{"scaler" => "b"}

  setup do
    dir = tmp_dir!()
    host = start_supervised_host!(allow_file_load: true)
    {one, keys} = Guests.sign(dir, "echo", rev: 1)
    {two, _keys} = Guests.sign(dir, "echo", [rev: 2] ++ Map.to_list(keys))
    :ok = Exosuit.subscribe(host)
    %{host: host, one: "file://" <> one, two: "file://" <> two, key: keys.subject["public_key"]}
  end

  defp otp(it, verb, body), do: run(it, Otp, ["cmd", "N", verb], body)
  defp v1(it, subject, body), do: run(it, V1, String.split(subject, ".") ++ ["N"], body)

  defp instance(it), do: Exosuit.Directory.fetch!(it.host, :instance)

  defp run(it, protocol, tokens, body) do
    {:ok, command} = protocol.decode_command(tokens, body)

    case Execution.admit(command, instance(it)) do
      {:error, error} -> {:refused, error}
      _admitted -> Execution.run(command, instance(it))
    end
  end

  defp shares(it, name) do
    {:ok, actor} = Exosuit.fetch_actor(it.host, name)
    Map.new(actor.shares, &{&1.annotations, &1.instances})
  end

  test "a launch adds instances, each with its annotations, and a stop takes its own", it do
    assert {:ok, _} =
             otp(it, "la", %{"actor_ref" => it.one, "count" => 2, "annotations" => @by_a})

    assert {:ok, _} = otp(it, "la", %{"actor_ref" => it.one, "annotations" => @by_b})
    assert shares(it, it.key) == %{@by_a => 2, @by_b => 1}

    stop = %{"actor_ref" => it.key, "count" => 1}
    assert {:ok, _} = otp(it, "sa", Map.put(stop, "annotations", @by_a))
    assert shares(it, it.key) == %{@by_a => 1, @by_b => 1}
    # Those that stay are still called.
    assert {:ok, _} = otp(it, "sa", %{stop | "count" => 0} |> Map.put("annotations", @by_a))
    assert {:ok, "x"} = Exosuit.call(it.host, it.key, "op", "x")
    assert {:ok, _} = otp(it, "sa", %{stop | "count" => 0})
    assert {:error, _gone} = Exosuit.fetch_actor(it.host, it.key)
    assert {:error, %Error{reason: :not_found}} = otp(it, "sa", stop)
  end

  test "an actor that runs under another name is found by its key", it do
    "file://" <> path = it.one
    {:ok, "mine"} = Exosuit.start_actor(it.host, path, id: "mine")
    assert {:ok, _} = otp(it, "la", %{"actor_ref" => it.one, "count" => 2})
    assert shares(it, "mine") == %{%{} => 3}
    assert {:ok, _} = otp(it, "upd", %{"new_actor_ref" => it.two})
    assert {:ok, %{claims: %{revision: 2}}} = Exosuit.fetch_actor(it.host, "mine")
  end

  test "an actor has one reference on a host, and a launch from another is told by an event",
       it do
    {:ok, _} = otp(it, "la", %{"actor_ref" => it.one})
    assert {:error, %Error{reason: :conflict}} = otp(it, "la", %{"actor_ref" => it.two})
    assert_receive {:exosuit_event, %{type: "actor_start_failed", data: %{error: text}}}
    assert text =~ "already running with different reference"

    scale = %{"actor_id" => it.key, "actor_ref" => it.two, "count" => 3}
    assert {:refused, %Error{reason: :conflict}} = otp(it, "scale", scale)
    assert {:ok, _} = otp(it, "scale", %{scale | "actor_ref" => ""})
    assert shares(it, it.key) == %{%{} => 3}
  end

  test "whatever keeps an actor from starting is told once", it do
    {:ok, taken} = Exosuit.start_provider(it.host, "keyvalue", id: "taken")

    failures = [
      fn -> otp(it, "la", %{"actor_ref" => "file:///nowhere.wasm"}) end,
      fn -> otp(it, "la", %{"actor_ref" => "file://" <> Guests.path("echo")}) end,
      fn -> v1(it, "component.scale", scale("file:///nowhere.wasm", "a")) end,
      fn -> v1(it, "component.scale", scale("file://" <> Guests.path("echo"), taken)) end,
      fn -> v1(it, "component.scale", Map.put(scale(it.one, "a"), "config", ["none"])) end,
      fn ->
        limits = %{"max_memory_limit" => "much"}
        v1(it, "component.scale", Map.put(scale(it.one, "a"), "component_limits", limits))
      end
    ]

    for failure <- failures do
      assert {:error, %Error{}} = failure.()
      assert_receive {:exosuit_event, %{type: "actor_start_failed", data: data}}
      assert %{id: _, image_ref: "file://" <> _, annotations: %{}, error: _} = data
    end

    # All of an actor that started comes behind what was told before.
    {:ok, _} = otp(it, "la", %{"actor_ref" => it.one})
    assert_receive {:exosuit_event, %{type: "actor_started"}}
    refute_received {:exosuit_event, %{type: "actor_start_failed"}}
  end

  test "a command that was acknowledged fails with an event if its actor has changed meanwhile",
       it do
    update = %{"component_id" => "a", "new_component_ref" => it.two}
    scale = %{"actor_id" => it.key, "actor_ref" => it.two, "count" => 3}
    {:ok, update} = V1.decode_command(["component", "update", "N"], update)
    {:ok, scale} = Otp.decode_command(["cmd", "N", "scale"], scale)
    {:ok, _} = otp(it, "la", %{"actor_ref" => it.one})

    assert {:error, %Error{}} = Execution.run_acknowledged(update, instance(it))
    assert_receive {:exosuit_event, %{type: "actor_update_failed", data: %{id: "a"}}}

    assert {:error, %Error{}} = Execution.run_acknowledged(scale, instance(it))
    assert_receive {:exosuit_event, %{type: "actor_start_failed", data: %{reason: :conflict}}}
  end

  test "a scale that would make too many instances in all fails with an event", it do
    scale = it.one |> scale("a") |> Map.put("count", 60_000)
    assert {:ok, _} = v1(it, "component.scale", Map.put(scale, "annotations", @by_a))
    scale = Map.put(scale, "annotations", @by_b)
    assert {:error, %Error{reason: :limit}} = v1(it, "component.scale", scale)
    assert_receive {:exosuit_event, %{type: "actor_start_failed", data: %{annotations: @by_b}}}
  end

  test "a component is what it is asked to be, whatever it was", it do
    :ok = Exosuit.put_config(it.host, "settings", %{"greeting" => "hello"})
    limits = %{"max_memory_limit" => "1048576", "max_execution_time" => "3"}
    scale = it.one |> scale("echo") |> Map.merge(%{"config" => ["settings"], "count" => 2})

    for _twice <- 1..2 do
      assert {:ok, _} = v1(it, "component.scale", Map.put(scale, "component_limits", limits))
      assert shares(it, "echo") == %{%{} => 2}
    end

    assert {:ok, _} = v1(it, "component.scale", Map.put(scale, "annotations", @by_a))
    assert shares(it, "echo") == %{%{} => 2, @by_a => 2}
    update = %{scale | "component_ref" => it.two, "count" => 1}
    assert {:ok, _} = v1(it, "component.scale", Map.put(update, "allow_update", true))
    assert {:ok, %{instances: 1, claims: %{revision: 2}}} = Exosuit.fetch_actor(it.host, "echo")

    for _twice <- 1..2 do
      assert {:ok, _} = v1(it, "component.scale", %{update | "count" => 0})
      assert {:error, _gone} = Exosuit.fetch_actor(it.host, "echo")
    end
  end

  test "files are not read where the host was not told to" do
    host = start_supervised_host!()
    it = %{host: host}

    assert {:refused, %Error{reason: :denied}} =
             otp(it, "la", %{"actor_ref" => "file:///etc/passwd"})

    assert {:refused, %Error{reason: :denied}} =
             v1(it, "component.scale", scale("file:///x", "a"))
  end

  test "a provider has one link name, and as many as there are link names", it do
    launch = %{"provider_ref" => "wasmcloud+builtin://keyvalue"}
    assert {:ok, _} = otp(it, "lp", launch)
    assert {:refused, %Error{detail: detail}} = otp(it, "lp", launch)
    assert detail =~ "Provider with that link name is already running on this host"
    assert_receive {:exosuit_event, %{type: "provider_start_failed", data: %{id: _, error: _}}}

    assert {:ok, _} = otp(it, "lp", Map.put(launch, "link_name", "other"))
    providers = Map.new(Exosuit.inventory(it.host).providers, &{&1.link_name, &1})
    assert %{"default" => %{id: "keyvalue"}, "other" => %{public_key: key}} = providers
    stop = %{"provider_ref" => key, "link_name" => "other"}
    assert {:ok, _} = otp(it, "sp", stop)
    assert {:error, %Error{reason: :not_found}} = otp(it, "sp", stop)
    assert [%{id: "keyvalue"}] = Exosuit.inventory(it.host).providers
  end

  test "the text that configures a provider is JSON, or that in base64", it do
    text = ~s({"backend":"memory"})

    for {configuration, name} <- [{text, "a"}, {Base.encode64(text), "b"}, {"", "c"}] do
      launch = %{"provider_ref" => "wasmcloud+builtin://keyvalue", "link_name" => name}
      assert {:ok, _} = otp(it, "lp", Map.put(launch, "configuration", configuration))
    end

    wrong = %{"provider_ref" => "wasmcloud+builtin://keyvalue", "configuration" => "[1]"}
    assert {:error, %Error{reason: :invalid_input}} = otp(it, "lp", wrong)
    assert_receive {:exosuit_event, %{type: "provider_start_failed"}}
  end

  defp scale(reference, id) do
    %{"component_ref" => reference, "component_id" => id, "count" => 1}
  end
end
