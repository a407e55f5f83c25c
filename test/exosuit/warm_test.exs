defmodule Exosuit.WarmTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.Http

  setup do
    %{host: start_supervised_host!()}
  end

  test "state is kept from call to call, if that is asked for", it do
    fresh = start_actor!(it.host, "fresh", "stateful")
    warm = start_actor!(it.host, "warm", "stateful", warm: [])

    assert counts(it.host, fresh, 3) == ["11", "11", "11"]
    assert counts(it.host, warm, 3) == ["11", "22", "33"]

    assert %{actors: [%{warm: nil}, %{warm: %{pool: 4, calls: 1_000, idle: 60_000}}]} = %{
             actors: Enum.sort_by(Exosuit.inventory(it.host).actors, & &1.id)
           }
  end

  test "an instance serves so many calls, and goes when it has nothing to do", it do
    id = start_actor!(it.host, "a", "stateful", warm: [calls: 2])
    assert counts(it.host, id, 5) == ["11", "22", "11", "22", "11"]

    id = start_actor!(it.host, "b", "stateful", warm: [idle: 1])
    assert {:ok, "11"} = Exosuit.call(it.host, id, "Count", "")
    assert eventually(fn -> Exosuit.call(it.host, id, "Count", "") == {:ok, "11"} end)
  end

  test "no two calls are in one instance, however many there are", it do
    id = start_actor!(it.host, "a", "stateful", warm: [pool: 3, calls: 50], instances: 8)

    callers = for _n <- 1..32, do: Task.async(fn -> counts(it.host, id, 50) end)

    # It counts in two places, byte by byte: others in between would drive them apart.
    for <<one, other>> <- callers |> Task.await_many(60_000) |> List.flatten() do
      assert one == other
      assert one in ?1..(?0 + 50)
    end
  end

  test "an actor that is started again or updated begins anew", it do
    id = start_actor!(it.host, "a", "stateful", warm: [])
    assert counts(it.host, id, 2) == ["11", "22"]

    kill(Exosuit.whereis(it.host, id))
    assert counts(it.host, id, 2) == ["11", "22"]

    code = {:bytes, File.read!(Guests.path("stateful"))}
    assert :ok = Exosuit.update_actor(it.host, id, code, force: true)
    assert counts(it.host, id, 2) == ["11", "22"]
  end

  test "a trap costs the instance, and the next call has a new one", it do
    id = start_actor!(it.host, "a", "faults", warm: [])

    for _n <- 1..3 do
      assert {:error, %Error{reason: :trap}} = Exosuit.call(it.host, id, "trap", "")
      assert {:ok, "well"} = Exosuit.call(it.host, id, "echo", "well")
    end

    assert {:error, %Error{reason: :deadline}} =
             Exosuit.call(it.host, id, "spin", "", timeout: 50)

    assert {:ok, "well"} = Exosuit.call(it.host, id, "echo", "well")
  end

  test "a component that answers HTTP keeps its state", it do
    web = start_actor!(it.host, "web", "components/web", warm: [pool: 1])
    {:ok, server} = Exosuit.start_provider(it.host, "http-server")

    :ok =
      Exosuit.put_link(it.host,
        source: server,
        target: web,
        contract: "wasi:http",
        interfaces: ["incoming-handler"],
        source_config: %{"address" => "127.0.0.1:0"}
      )

    port = port(it.host)

    assert for(_n <- 1..3, do: Http.request(port, "GET", "/count")) ==
             for(n <- 1..3, do: {200, "#{n}"})

    assert {502, _body} = Http.request(port, "GET", "/trap")
    assert {200, "1"} = Http.request(port, "GET", "/count")
  end

  test "a manifest says it, and its change is one of the actor", it do
    manifest = manifest!("warm")
    assert {:ok, _outcomes, []} = Exosuit.apply_manifest(it.host, manifest)
    assert counts(it.host, "app-counter", 2) == ["11", "22"]
    assert {:ok, [], []} = Exosuit.apply_manifest(it.host, manifest)

    assert [%{warm: %{pool: 4, calls: 1_000, idle: 60_000}}] = Exosuit.inventory(it.host).actors

    manifest!("{warm: {calls: 1, idle: 2s}}", manifest)
    assert {:ok, [{{:update, _actor}, :ok}], []} = Exosuit.apply_manifest(it.host, manifest)
    assert counts(it.host, "app-counter", 2) == ["11", "11"]
    assert [%{warm: %{pool: 4, calls: 1, idle: 2_000}}] = Exosuit.inventory(it.host).actors

    manifest!("ephemeral", manifest)
    assert {:ok, [{{:update, _actor}, :ok}], []} = Exosuit.apply_manifest(it.host, manifest)
    assert [%{warm: nil}] = Exosuit.inventory(it.host).actors
  end

  test "what is no policy is refused", it do
    for {warm, said} <- [
          {true, "expected :warm to be options"},
          {[pool: 0], "expected :pool to be a number from 1 to 4294967295, got: 0"},
          {[size: 4], "unknown options [:size]"}
        ] do
      assert_raise ArgumentError, ~r/#{Regex.escape(said)}/, fn ->
        Exosuit.start_actor(it.host, Guests.path("stateful"), id: "a", warm: warm)
      end
    end
  end

  defp counts(host, id, calls) do
    for _call <- 1..calls do
      {:ok, count} = Exosuit.call(host, id, "Count", "")
      count
    end
  end

  defp port(host) do
    [endpoint] = Enum.flat_map(Exosuit.inventory(host).providers, & &1.endpoints)
    [port] = Regex.run(~r/:(\d+)/, endpoint, capture: :all_but_first)
    String.to_integer(port)
  end

  defp manifest!(instances, path \\ Path.join(tmp_dir!(), "app.yaml")) do
    File.write!(path, """
    apiVersion: core.oam.dev/v1beta1
    kind: Application
    metadata:
      name: app
    spec:
      components:
        - name: counter
          type: actor
          properties:
            image: #{Guests.path("stateful")}
          traits:
            - type: exosuit
              properties:
                instances: #{instances}
    """)

    path
  end
end
