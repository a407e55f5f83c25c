defmodule Exosuit.Deployer.PlanTest do
  use ExUnit.Case, async: true

  alias Exosuit.Deployer.{Marks, Plan, State}
  alias Exosuit.Model.{Application, Configuration, Link, Workload}

  @actor %Workload{role: :actor, id: "app-echo", reference: "file:///echo.wasm", instances: 3}
  @provider %Workload{
    role: :provider,
    id: "app-store",
    reference: "wasmcloud+builtin://keyvalue",
    config: %{"backend" => "memory"}
  }
  @http %Workload{role: :provider, id: "app-http", reference: "wasmcloud+builtin://http-server"}
  @link %Link{
    source: "app-echo",
    target: "app-store",
    namespace: "wasi",
    package: "keyvalue",
    target_config: %{"bucket" => "b"}
  }
  @app %Application{name: "app", workloads: [@actor, @provider], links: [@link]}
  @empty %State{
    hosts: [
      %{id: "N1", labels: %{"zone" => "a"}, components: [], providers: []},
      %{id: "N2", labels: %{"zone" => "b"}, components: [], providers: []}
    ]
  }

  defp kinds(steps), do: for({place, command} <- steps, do: {place, elem(command, 0)})
  defp running(app, state \\ @empty), do: settle(app, state)

  test "from nothing: configurations and links first, then actors, then providers" do
    assert kinds(Plan.steps(@app, @empty)) ==
             [
               lattice: :put_config,
               lattice: :put_config,
               lattice: :link
             ]
             |> Enum.concat([
               {"N1", :scale_actor},
               {"N2", :scale_actor},
               {"N1", :start_provider},
               {"N2", :start_provider}
             ])
  end

  test "what listens starts last" do
    app = %{@app | workloads: [@http, @provider, @actor], links: []}
    started = for {"N1", {:start_provider, %{id: id}}} <- Plan.steps(app, @empty), do: id
    assert started == ["app-store", "app-http"]
  end

  test "all bears whose it is, and what it was made of" do
    [{"N1", {:scale_actor, it}}] =
      for {"N1", {:scale_actor, _}} = step <- Plan.steps(@app, @empty), do: step

    assert %{count: 3, config: [], reference: "file:///echo.wasm"} = it
    assert it.annotations["wasmcloud.dev/managed-by"] == "exosuit"
    assert it.annotations["wasmcloud.dev/appspec"] == "app"
    assert Marks.ours?(it.annotations, @app)
    refute Marks.ours?(it.annotations, %Application{name: "other"})
  end

  test "a configuration is named by what it holds, and put before it is used" do
    name = Configuration.name(%{"bucket" => "b"})
    steps = Plan.steps(@app, @empty)
    assert {:lattice, {:put_config, name, %{"bucket" => "b"}}} in steps

    assert [%{target_configs: [^name], source_configs: []}] =
             for({:lattice, {:link, it}} <- steps, do: it)

    # The command line has the same rule, and the same example.
    assert Configuration.name(%{"bucket" => "visits"}) ==
             "sha256-bfd4f7d197bcfb3ed44fa9487bd640af"
  end

  test "from what is there already: nothing" do
    assert Plan.steps(@app, running(@app)) == []
  end

  test "another number is a change in place" do
    app = %{@app | workloads: [%{@actor | instances: 5}, @provider]}

    assert [{"N1", {:scale_actor, %{count: 5}}}, {"N2", {:scale_actor, %{count: 5}}}] =
             Plan.steps(app, running(@app))
  end

  test "other code is an update, and then what bore the old marks goes" do
    before = %{@app | workloads: [%{@actor | digest: "ONE"}, @provider]}
    app = %{@app | workloads: [%{@actor | digest: "TWO"}, @provider]}
    there = running(before)
    steps = Plan.steps(app, there)

    assert kinds(steps) == [
             {"N1", :update_actor},
             {"N2", :update_actor},
             {"N1", :scale_actor},
             {"N2", :scale_actor}
           ]

    there = Enum.reduce(steps, there, &perform/2)
    assert kinds(Plan.steps(app, there)) == [{"N1", :stop_actor}, {"N2", :stop_actor}]
    assert [%{components: [%{instances: 3}]} | _more] = running(app, there).hosts
  end

  test "other settings of an actor are one command, and what bore the old marks goes after it" do
    app = %{@app | workloads: [%{@actor | limits: %{"max_memory_limit" => "1"}}, @provider]}
    there = running(@app)
    steps = Plan.steps(app, there)
    assert kinds(steps) == [{"N1", :scale_actor}, {"N2", :scale_actor}]

    there = Enum.reduce(steps, there, &perform/2)
    assert kinds(Plan.steps(app, there)) == [{"N1", :stop_actor}, {"N2", :stop_actor}]
  end

  test "a provider with other settings is another provider" do
    app = %{@app | workloads: [@actor, %{@provider | config: %{"backend" => "nats"}}]}

    assert kinds(Plan.steps(app, running(@app))) |> Enum.filter(&(elem(&1, 0) == "N2")) == [
             {"N2", :stop_provider},
             {"N2", :start_provider}
           ]
  end

  test "what the manifest has no more is stopped and unlinked" do
    app = %{@app | workloads: [@actor], links: []}

    assert kinds(Plan.steps(app, running(@app))) == [
             {"N1", :stop_provider},
             {"N2", :stop_provider},
             {:lattice, :unlink}
           ]

    assert [] = running(%Application{name: "app"}, running(@app)).links

    assert Enum.all?(
             running(%Application{name: "app"}, running(@app)).hosts,
             &(&1.components ++ &1.providers == [])
           )
  end

  test "a host that comes gets its share, and one whose labels are others loses it" do
    spread = [%{name: "a", requirements: %{"zone" => "a"}, weight: 1}]
    app = %{@app | workloads: [%{@actor | scaler: :spread, spreads: spread}], links: []}
    %{hosts: [one, two]} = there = running(app)
    assert {[%{instances: 3}], []} = {one.components, two.components}

    there = %{there | hosts: [%{one | labels: %{}}, %{two | labels: %{"zone" => "a"}}]}
    assert kinds(Plan.steps(app, there)) == [{"N1", :stop_actor}, {"N2", :scale_actor}]
  end

  test "what has no place is told, and what is somebody else's is left alone" do
    spread = [%{name: "moon", requirements: %{"zone" => "moon"}, weight: 1}]
    app = %{@app | workloads: [%{@actor | scaler: :spread, spreads: spread}], links: []}
    assert Plan.steps(app, @empty) == [{:nowhere, {:unplaced, "app-echo", "moon", 3}}]

    theirs = running(%Application{@app | name: "other"})
    steps = Plan.steps(@app, theirs)
    assert kinds(steps) == [{"N1", :taken}, {"N1", :taken}, {"N2", :taken}, {"N2", :taken}]
  end

  test "a link that changes its configuration is put again; one that changes its target is removed before" do
    changed = %{@link | target_config: %{"bucket" => "c"}}

    assert [{:lattice, {:put_config, _name, %{"bucket" => "c"}}}, {:lattice, {:link, _link}}] =
             Plan.steps(%{@app | links: [changed]}, running(@app))

    moved = %{@link | target: "elsewhere"}

    assert kinds(Plan.steps(%{@app | links: [moved]}, running(@app))) == [
             lattice: :unlink,
             lattice: :put_config,
             lattice: :link
           ]
  end

  test "links that others made from a component to what is theirs stay" do
    there = running(@app)
    by_hand = %{hd(there.links) | name: "mine", target: "theirs"}
    assert Plan.steps(@app, %{there | links: [by_hand | there.links]}) == []
  end

  test "whatever changes, it settles, and touches nobody else's" do
    :rand.seed(:exsss, {4, 5, 6})

    for _case <- 1..200 do
      others =
        running(
          %Application{name: "other", workloads: [%{@actor | id: "other-one"}]},
          random_hosts()
        )

      first = random_app()
      second = random_app()
      there = others |> settle(first) |> settle(second)
      assert Enum.reject(Plan.steps(second, there), &complaint?/1) == []
      assert theirs(there) == theirs(others)
      assert others |> settle(second) |> without_order() == without_order(there)
    end
  end

  defp random_hosts do
    %State{
      hosts:
        for(
          n <- 1..random(4),
          do: %{
            id: "N#{n}",
            labels: %{"zone" => Enum.random(~w(a b))},
            components: [],
            providers: []
          }
        )
    }
  end

  defp random_app do
    workloads =
      Enum.filter([random_actor("app-a"), random_actor("app-b"), @provider, @http], fn _ ->
        random(4) > 1
      end)

    ids = for workload <- workloads, do: workload.id

    links =
      Enum.filter(
        [@link, %{@link | source: "app-a", target_config: %{"n" => "#{random(2)}"}}],
        &(&1.source in ids and &1.target in ids and random(3) > 1)
      )

    %Application{name: "app", workloads: workloads, links: links}
  end

  defp random_actor(id) do
    spreads =
      for zone <- ~w(a b), do: %{name: zone, requirements: %{"zone" => zone}, weight: random(3)}

    %{
      @actor
      | id: id,
        instances: random(9),
        digest: Enum.random([nil, "ONE", "TWO"]),
        config: Enum.random([%{}, %{"k" => "v"}]),
        scaler: Enum.random([:everywhere, :spread, :daemon]),
        spreads: spreads
    }
  end

  defp complaint?({_place, command}), do: elem(command, 0) in [:unplaced, :taken]

  defp theirs(state),
    do: for(host <- state.hosts, it <- host.components, it.id == "other-one", do: {host.id, it})

  defp random(most), do: :rand.uniform(most)

  defp without_order(state) do
    hosts =
      for host <- state.hosts,
          do: {host.id, Enum.sort(host.components), Enum.sort(host.providers)}

    {hosts, Enum.sort(state.links)}
  end

  # Hosts that do as they are told, for as long as there is something to do.
  defp settle(%State{} = state, app), do: settle(app, state)

  defp settle(app, state) do
    Enum.reduce(1..3, state, fn _round, state ->
      Enum.reduce(Plan.steps(app, state), state, &perform/2)
    end)
  end

  defp perform({:lattice, {:put_config, _name, _values}}, state), do: state

  defp perform({:lattice, {:unlink, key}}, state),
    do: %{state | links: Enum.reject(state.links, &(key(&1) == key))}

  defp perform({:lattice, {:link, link}}, state) do
    {same, others} =
      Enum.split_with(state.links, &(key(&1) == key(link) and Link.overlap?(&1, link)))

    assert Enum.all?(same, &(&1.target == link.target)),
           "a host refuses to take a link from under another"

    %{state | links: [link | others]}
  end

  defp perform({_place, {kind, _id}}, state) when kind == :taken, do: state
  defp perform({:nowhere, {:unplaced, _id, _spread, _count}}, state), do: state

  defp perform({host, command}, state) do
    %{state | hosts: Enum.map(state.hosts, &if(&1.id == host, do: on(&1, command), else: &1))}
  end

  # An entry for each set of annotations; code is that of all of them.
  defp on(host, {:scale_actor, it}) do
    entry = %{
      id: it.id,
      reference: it.reference,
      instances: it.count,
      annotations: it.annotations
    }

    %{host | components: [entry | without(host.components, it)]}
  end

  defp on(host, {:stop_actor, it}), do: %{host | components: without(host.components, it)}

  defp on(host, {:update_actor, it}) do
    assert Enum.any?(host.components, &(&1.id == it.id))

    update = fn entry ->
      if entry.id == it.id, do: %{entry | reference: it.reference}, else: entry
    end

    %{host | components: Enum.map(host.components, update)}
  end

  defp on(host, {:start_provider, it}) do
    assert Enum.all?(host.providers, &(&1.id != it.id)), "a host runs a provider once"
    %{host | providers: [Map.take(it, [:id, :reference, :annotations]) | host.providers]}
  end

  defp on(host, {:stop_provider, id}),
    do: %{host | providers: Enum.reject(host.providers, &(&1.id == id))}

  defp without(components, it) do
    Enum.reject(components, &(&1.id == it.id and &1.annotations == it.annotations))
  end

  defp key(link), do: {link.source, link.contract, link.name}
end
