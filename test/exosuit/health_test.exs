defmodule Exosuit.HealthTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.Nats

  defmodule Sick do
    @moduledoc "As well as the agent of its configuration says; each start is told to the test."
    use Exosuit.Provider, contract: "test:sick"

    @impl Exosuit.Provider
    def init(%{"agent" => agent, "test" => test} = config) do
      if config["trap"], do: Process.flag(:trap_exit, true)
      send(pid(test), {:init, self()})
      {:ok, %{agent: pid(agent)}}
    end

    @impl Exosuit.Provider
    def health(%{agent: agent}) do
      case Agent.get(agent, & &1) do
        :hang -> Process.sleep(:infinity)
        :raise -> raise "a secret"
        health -> health
      end
    end

    @impl Exosuit.Provider
    def handle_invocation("echo", payload, _context), do: {:ok, payload}

    defp pid(text), do: text |> String.to_charlist() |> :erlang.list_to_pid()
  end

  @sick %{id: "sick"}

  setup do
    host = start_supervised_host!(health_interval: 100)
    :ok = Exosuit.subscribe(host)
    %{host: host, agent: start_supervised!({Agent, fn -> :ok end})}
  end

  test "one that is well is asked, and told of once", %{host: host, agent: agent} do
    start!(host, agent)
    assert_receive {:exosuit_event, %{type: "provider_started", data: @sick}}
    assert_receive {:exosuit_event, %{type: "health_check_passed", data: @sick}}, 5_000

    for _ <- 1..2 do
      assert_receive {:exosuit_event, %{type: "health_check_status", data: %{healthy: true}}},
                     5_000
    end

    assert [%{status: :running, health: :passed}] = Exosuit.inventory(host).providers
    refute_received {:exosuit_event, %{type: "health_check_passed"}}
  end

  for {name, health, why} <- [
        {"says that it is not well", {:error, "the database is away"}, "the database is away"},
        {"crashes in its check", :raise, "raised RuntimeError"},
        {"says nonsense", :nonsense, "health/1 to return :ok or {:error, text}"}
      ],
      config <- [%{}, %{"trap" => "exits"}] do
    test "one that #{name} is started again: #{inspect(config)}", %{host: host, agent: agent} do
      first = start!(host, agent, unquote(Macro.escape(config)))
      assert_receive {:exosuit_event, %{type: "health_check_passed", data: @sick}}, 5_000
      Agent.update(agent, fn _ok -> unquote(Macro.escape(health)) end)

      assert_receive {:exosuit_event, %{type: "health_check_failed", data: data}}, 5_000
      assert data.error =~ unquote(why)
      refute data.error =~ "secret"

      assert_receive {:exosuit_event, %{type: "provider_stopped", data: %{reason: "unhealthy"}}},
                     5_000

      assert_receive {:exosuit_event, %{type: "restarting", data: %{error: error}}}
      assert error =~ unquote(why)

      Agent.update(agent, fn _not -> :ok end)
      assert_receive {:init, second} when second != first, 10_000
      assert_receive {:exosuit_event, %{type: "health_check_passed", data: @sick}}, 5_000
    end
  end

  test "one that stays ill is tried later and later, and the inventory says why", it do
    Agent.update(it.agent, fn _ok -> {:error, "the database is away"} end)
    start!(it.host, it.agent)

    assert_receive {:exosuit_event, %{type: "restarting", data: %{after_ms: 0}}}, 5_000
    assert_receive {:exosuit_event, %{type: "restarting", data: %{after_ms: delay}}}, 5_000
    assert delay in 1_000..1_250
    assert [provider] = Exosuit.inventory(it.host).providers
    assert %{status: :refused, reason: :provider, retry_in_ms: left} = provider
    assert provider.error =~ "the database is away" and left <= delay
  end

  test "one whose check hangs is ended, and holds up nobody", %{host: host, agent: agent} do
    first = start!(host, agent)
    assert_receive {:exosuit_event, %{type: "health_check_passed"}}, 5_000
    Agent.update(agent, fn _ok -> :hang end)
    start_actor!(host, "echo", "echo")
    assert {:ok, "well"} = Exosuit.call(host, "echo", "op", "well")

    assert_receive {:exosuit_event, %{type: "health_check_failed", data: %{error: error}}}, 15_000
    assert error =~ "did not answer within 5000 ms"
    Agent.update(agent, fn _hangs -> {:error, "still"} end)
    assert_receive {:init, second} when second != first, 15_000
  end

  test "the built-in ones answer for themselves", %{host: host} do
    for {name, config} <- [
          {"keyvalue", %{"backend" => "memory"}},
          {"http-server", %{}},
          {"http-client", %{}},
          {"messaging", %{}}
        ] do
      {:ok, ^name} = Exosuit.start_provider(host, name, config: config)
      assert_receive {:exosuit_event, %{type: "health_check_passed", data: %{id: ^name}}}, 5_000
    end
  end

  test "one whose servers are away is not well, but goes on, and is well when they are back" do
    server = Nats.start!()
    host = start_supervised_host!(nats: Nats.options(server), health_interval: 100)
    eventually(fn -> match?(%{connections: %{rpc: "connected"}}, Exosuit.inventory(host)) end)
    :ok = Exosuit.subscribe(host)
    {:ok, "messaging"} = Exosuit.start_provider(host, "messaging")
    assert_receive {:exosuit_event, %{type: "health_check_passed"}}, 5_000
    pid = Exosuit.whereis(host, "messaging")

    server = Nats.kill(server)
    assert_receive {:exosuit_event, %{type: "health_check_failed", data: data}}, 10_000
    assert %{id: "messaging", reason: :unavailable} = data

    assert_receive {:exosuit_event, %{type: "health_check_status", data: %{healthy: false}}},
                   5_000

    assert_receive {:exosuit_event, %{type: "health_check_status", data: %{healthy: false}}},
                   5_000

    Nats.restart!(server)
    assert_receive {:exosuit_event, %{type: "health_check_passed"}}, 20_000
    assert Exosuit.whereis(host, "messaging") == pid
  end

  defp start!(host, agent, config \\ %{}) do
    config = Map.merge(config, %{"agent" => text(agent), "test" => text(self())})
    assert {:ok, "sick"} = Exosuit.start_provider(host, Sick, config: config)
    assert_receive {:init, pid}
    pid
  end

  defp text(pid), do: pid |> :erlang.pid_to_list() |> List.to_string()
end
