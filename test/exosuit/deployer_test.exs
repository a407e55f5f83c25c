defmodule Exosuit.DeployerTest do
  use ExUnit.Case, async: true

  alias Exosuit.{Deployer, Error, Json}
  alias Exosuit.Deployer.Hosts

  # Hosts that do as they are told, in the place of a bus: an agent has what runs on them.
  defmodule Bus do
    @one "N" <> String.duplicate("A", 55)
    @two "N" <> String.duplicate("B", 55)

    def ids, do: [@one, @two]

    def start!(manner \\ %{}) do
      hosts = Map.new(ids(), &{&1, %{components: [], providers: []}})
      state = %{hosts: hosts, links: [], configs: %{}, asked: [], told: nil, manner: manner}
      ExUnit.Callbacks.start_supervised!({Agent, fn -> state end})
    end

    def gather(_agent, "wasmbus.ctl.v1.default.host.ping", "", _within, _most) do
      pongs = for id <- ids() ++ ["N.>", 7], do: yes(%{id: id})
      {:ok, ["no JSON", <<255>> | pongs]}
    end

    def subscribe(agent, "wasmbus.evt.default.>", nil) do
      reference = make_ref()
      told = {self(), reference}
      Agent.update(agent, &%{&1 | told: told})
      {:ok, %{reference: reference}}
    end

    def next(_subscription), do: :ok
    def unsubscribe(_subscription), do: :ok

    def request(agent, "wasmbus.ctl.v1.default." <> suffix, body, _timeout) do
      body = if body == "", do: %{}, else: elem(Json.decode(body), 1)
      Agent.get_and_update(agent, &answer(suffix |> String.split(".", parts: 3), body, &1))
    end

    def asked(agent), do: agent |> Agent.get(& &1.asked) |> Enum.reverse()

    defp answer(["host", "get", id], _body, state) do
      {{:ok, yes(Map.merge(state.hosts[id], %{labels: %{"zone" => zone(id)}}))}, state}
    end

    defp answer(["link", "get"], _body, state), do: {{:ok, yes(state.links)}, state}

    defp answer(suffix, body, %{manner: manner} = state) do
      [noun, verb, where] = suffix ++ List.duplicate(nil, 3 - length(suffix))
      name = "#{noun}.#{verb}"
      state = %{state | asked: [{name, where} | state.asked]}

      case manner[name] do
        {:refuses, text} ->
          {{:ok, no(text)}, state}

        {:fails, text} ->
          {{:ok, yes(nil)}, event(state, where, name, body, text)}

        # Once so many times, and then as all others.
        {:fails_from, 0, text} ->
          manner = Map.delete(manner, name)
          {{:ok, yes(nil)}, event(%{state | manner: manner}, where, name, body, text)}

        {:fails_from, times, text} ->
          state = put_in(state.manner[name], {:fails_from, times - 1, text})
          {{:ok, yes(nil)}, state |> perform(name, where, body) |> event(where, name, body, nil)}

        :silently ->
          {{:ok, yes(nil)}, perform(state, name, where, body)}

        {:undone_by, other} ->
          done = state |> perform(name, where, body) |> event(where, name, body, nil)
          {{:ok, yes(nil)}, other.(done, where)}

        nil ->
          {{:ok, yes(nil)}, state |> perform(name, where, body) |> event(where, name, body, nil)}
      end
    end

    defp perform(state, "config.put", name, values), do: put_in(state.configs[name], values)
    defp perform(state, "link.put", nil, link), do: %{state | links: [link | state.links]}
    defp perform(state, "link.del", nil, _key), do: %{state | links: []}

    defp perform(state, "component.scale", host, it) do
      kept =
        Enum.reject(
          state.hosts[host].components,
          &(&1.id == it["component_id"] and &1.annotations == it["annotations"])
        )

      entry = %{
        id: it["component_id"],
        image_ref: it["component_ref"],
        max_instances: it["count"],
        annotations: it["annotations"]
      }

      put_in(state.hosts[host].components, if(it["count"] == 0, do: kept, else: [entry | kept]))
    end

    defp perform(state, "component.update", _host, _it), do: state

    defp perform(state, "provider.start", host, it) do
      entry = %{
        id: it["provider_id"],
        image_ref: it["provider_ref"],
        annotations: it["annotations"]
      }

      update_in(state.hosts[host].providers, &[entry | &1])
    end

    defp perform(state, "provider.stop", host, it) do
      update_in(state.hosts[host].providers, fn all ->
        Enum.reject(all, &(&1.id == it["provider_id"]))
      end)
    end

    @events %{
      "component.scale" => {"component_scaled", "component_scale_failed"},
      "component.update" => {"component_scaled", "component_scale_failed"},
      "provider.start" => {"provider_started", "provider_start_failed"},
      "provider.stop" => {"provider_stopped", "provider_stop_failed"}
    }

    defp event(state, host, name, body, error) when is_map_key(@events, name) do
      {done, failed} = @events[name]
      data = Map.merge(body, %{"max_instances" => body["count"], "error" => error})
      type = "com.wasmcloud.lattice." <> if(error, do: failed, else: done)
      tell(state, json(%{source: "NOTHER", type: type, data: data}))
      tell(state, "no event")
      tell(state, json(%{source: host, type: type, data: data}))
    end

    defp event(state, _where, _name, _body, _error), do: state

    defp tell(%{told: {pid, reference}} = state, payload) do
      send(pid, {:exosuit_lattice, reference, {"wasmbus.evt.default.x", nil, payload}})
      state
    end

    defp zone("NA" <> _more), do: "a"
    defp zone("NB" <> _more), do: "b"

    defp yes(response), do: json(%{success: true, message: "", response: response})
    defp no(message), do: json(%{success: false, message: message})
    defp json(term), do: term |> Json.encode() |> elem(1)
  end

  @manifest """
  apiVersion: core.oam.dev/v1beta1
  kind: Application
  metadata: {name: app}
  spec:
    components:
      - name: echo
        type: component
        properties: {image: ./nowhere.wasm}
        traits:
          - type: spreadscaler
            properties:
              instances: 3
              spread:
                - {name: a, requirements: {zone: a}, weight: 2}
                - {name: b, requirements: {zone: b}, weight: 1}
          - type: link
            properties:
              namespace: wasi
              package: keyvalue
              interfaces: [store]
              target: {name: store, config: [{name: c, properties: {bucket: b}}]}
      - name: store
        type: capability
        properties: {image: "wasmcloud+builtin://keyvalue"}
  """

  setup do
    path = Path.join(Exosuit.HostCase.tmp_dir!(), "app.yaml")
    File.write!(path, @manifest)
    %{path: path}
  end

  defp hosts(agent), do: %Hosts{bus: Bus, handle: agent, lattice: "default"}

  test "an application is spread over the hosts, and a second time there is nothing to do", %{
    path: path
  } do
    agent = Bus.start!()
    [one, two] = Bus.ids()
    assert {:ok, outcomes, []} = Deployer.apply(hosts(agent), path)
    assert Enum.all?(outcomes, &match?({_step, :ok}, &1)), inspect(outcomes)

    assert [
             {"config.put", _name},
             {"link.put", nil},
             {"component.scale", ^one},
             {"component.scale", ^two},
             {"provider.start", ^one},
             {"provider.start", ^two}
           ] = Bus.asked(agent)

    running = Agent.get(agent, & &1.hosts)

    assert [%{id: "app-echo", max_instances: 2, image_ref: "file://" <> _path}] =
             running[one].components

    assert [%{max_instances: 1}] = running[two].components

    assert {:ok, [], []} = Deployer.apply(hosts(agent), path)
    assert length(Bus.asked(agent)) == 6
  end

  test "deleted, nothing of it is left", %{path: path} do
    agent = Bus.start!()
    {:ok, _outcomes, []} = Deployer.apply(hosts(agent), path)
    assert {:ok, outcomes} = Deployer.delete(hosts(agent), "app")
    assert Enum.all?(outcomes, &match?({_step, :ok}, &1)), inspect(outcomes)
    assert %{links: [], hosts: running} = Agent.get(agent, & &1)
    assert Enum.all?(Map.values(running), &(&1 == %{components: [], providers: []}))
    assert {:ok, []} = Deployer.delete(hosts(agent), "app")
  end

  test "other code under the same name is an update, without a stop before it", %{path: path} do
    agent = Bus.start!()
    wasm = Path.join(Path.dirname(path), "nowhere.wasm")
    File.write!(wasm, "one")
    {:ok, _outcomes, []} = Deployer.apply(hosts(agent), path)
    File.write!(wasm, "two")
    before = length(Bus.asked(agent))
    {:ok, _outcomes, []} = Deployer.apply(hosts(agent), path)
    [one, two] = Bus.ids()

    assert Enum.drop(Bus.asked(agent), before) == [
             {"component.update", one},
             {"component.update", two},
             {"component.scale", one},
             {"component.scale", two},
             {"component.scale", one},
             {"component.scale", two}
           ]

    assert {:ok, [], []} = Deployer.apply(hosts(agent), path)
    assert [%{max_instances: 2}] = Agent.get(agent, & &1.hosts[one].components)
  end

  test "what a host refuses or fails at is told, once, and holds up nothing else", %{path: path} do
    agent =
      Bus.start!(%{
        "component.scale" => {:refuses, "reads no files"},
        "provider.start" => {:fails, "no store"}
      })

    [one, _two] = Bus.ids()
    assert {:ok, outcomes, []} = Deployer.apply(hosts(agent), path)

    failed =
      for {step, {:error, error}} <- outcomes, do: {Deployer.describe(step), Error.message(error)}

    assert length(failed) == 4
    assert {"run 2 of actor app-echo on #{one}", "not available now: reads no files"} in failed
    assert {"start provider app-store on #{one}", "not available now: no store"} in failed
    assert Enum.count(Bus.asked(agent), &match?({"component.scale", _host}, &1)) == 2
  end

  test "an event that is lost leaves nobody waiting", %{path: path} do
    agent = Bus.start!(%{"component.scale" => :silently, "provider.start" => :silently})
    assert {:ok, outcomes, []} = Deployer.apply(%{hosts(agent) | look: 10}, path)
    assert length(outcomes) == 6
    assert Enum.all?(outcomes, &match?({_step, :ok}, &1)), inspect(outcomes)
  end

  test "what somebody else has undone since is not told as done", %{path: path} do
    # Another deployer takes away each provider that was started.
    take = fn state, host -> put_in(state.hosts[host].providers, []) end
    agent = Bus.start!(%{"provider.start" => {:undone_by, take}})
    assert {:ok, outcomes, []} = Deployer.apply(hosts(agent), path)
    failed = for {{_host, {kind, _it}}, {:error, error}} <- outcomes, do: {kind, error.reason}
    assert failed == [start_provider: :conflict, start_provider: :conflict]
  end

  test "a provider that does not start with other settings leaves the old one running", %{
    path: path
  } do
    with_config =
      &String.replace(@manifest, ~s(keyvalue"}), ~s(keyvalue", config: {backend: #{&1}}}))

    File.write!(path, with_config.("memory"))
    # Both start once; the first of the two that are to take their place fails.
    agent = Bus.start!(%{"provider.start" => {:fails_from, 2, "no such backend"}})
    assert {:ok, _outcomes, []} = Deployer.apply(hosts(agent), path)
    [one, _two] = Bus.ids()
    before = Agent.get(agent, & &1.hosts[one].providers)

    File.write!(path, with_config.("other"))
    assert {:ok, outcomes, []} = Deployer.apply(hosts(agent), path)

    assert [{{^one, {:start_provider, _it}}, error}] =
             Enum.reject(outcomes, &match?({_, :ok}, &1))

    assert {:error, %Error{detail: detail}} = error
    assert detail =~ "no such backend" and detail =~ "the old one runs again"
    assert Agent.get(agent, & &1.hosts[one].providers) == before
  end

  test "a spread that no host meets is told", %{path: path} do
    File.write!(path, String.replace(@manifest, "zone: b", "zone: moon"))
    assert {:ok, outcomes, []} = Deployer.apply(hosts(Bus.start!()), path)
    assert [{step, {:error, error}}] = for({_step, {:error, _error}} = it <- outcomes, do: it)
    assert Deployer.describe(step) == "place 1 of app-echo in b"
    assert Exception.message(error) =~ "no host has the labels"
  end

  test "what other hosts cannot be told is refused before anything is done", %{path: path} do
    settings =
      "        - {type: exosuit, properties: {limits: {queue: 7}, grants: {arguments: [a]}}}\n"

    text =
      String.replace(
        @manifest,
        "        - type: link\n",
        settings <> "        - type: link\n"
      )

    File.write!(path, text)
    agent = Bus.start!()
    assert {:error, [one, two]} = Deployer.apply(hosts(agent), path)

    assert one.text <> two.text =~
             "other hosts are told of memory, and of deadline in whole seconds"

    assert one.text <> two.text =~ "other hosts show nothing of themselves"
    assert Bus.asked(agent) == []
  end

  test "that nobody answers is said", %{path: path} do
    defmodule Nobody do
      def gather(_handle, _subject, _payload, _within, _most), do: {:ok, []}
    end

    hosts = %{hosts(nil) | bus: Nobody}
    assert {:error, [%{text: text, severity: :error}]} = Deployer.apply(hosts, path)
    assert text =~ "no host answers in lattice default"
  end
end
