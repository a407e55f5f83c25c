defmodule Exosuit.IExTest do
  # Alone: the helpers mean the one host of the VM.
  use Exosuit.HostCase, async: false

  import ExUnit.CaptureIO

  alias Exosuit.Model.{ActorSpecification, Limits, Link, ProviderSpecification}

  @secret "a very secret value"

  test "tables of what runs, without configuration" do
    host = start_supervised_host!(actors: [echo: "echo"])
    config = %{"password" => @secret}
    {:ok, "kv"} = Exosuit.start_provider(host, "keyvalue", id: "kv", config: config)

    :ok =
      Exosuit.put_link(host,
        source: "echo",
        target: "kv",
        contract: "wasmcloud:keyvalue",
        target_config: config
      )

    assert host in Exosuit.hosts()

    tables =
      for table <- [:hosts, :actors, :providers, :links] do
        capture_io(fn -> assert :ok = apply(Exosuit.IEx, table, []) end)
      end

    refute Enum.join(tables) =~ @secret
    [hosts, actors, providers, links] = tables
    assert hosts =~ ~r/^host +id +lattice +actors +providers +links\n/
    assert hosts =~ ~r/^#{inspect(host)} +N\w{55} +default +1 +1 +1$/m
    assert actors =~ ~r/^echo +running +64 +\(unsigned\) +– +– +file:.*echo.wasm$/m
    assert providers =~ ~r"^kv +running +wasmcloud\+builtin://keyvalue$"m
    assert links =~ ~r/^echo +kv +wasmcloud:keyvalue +default +in_force +–$/m

    assert {:ok, "hello"} = Exosuit.IEx.call("echo", "Echo.Say", "hello")
  end

  test "says so where no host runs, or several do" do
    assert_raise ArgumentError, ~r/no host runs/, fn -> Exosuit.IEx.actors() end
    assert capture_io(&Exosuit.IEx.hosts/0) == "none\n"

    hosts = for _n <- 1..2, do: start_supervised_host!()
    assert_raise ArgumentError, ~r/several hosts run/, fn -> Exosuit.IEx.actors() end
    assert capture_io(fn -> Exosuit.IEx.actors(hd(hosts)) end) == "none\n"
  end

  test "neither secrets nor code are shown by inspect" do
    secrets = %{"password" => @secret}
    link = %Link{source: "a", target: "b", namespace: "wasmcloud", package: "keyvalue"}

    provider = %ProviderSpecification{
      id: "kv",
      artifact: {:builtin, "keyvalue"},
      config: secrets
    }

    actor = %ActorSpecification{
      id: "echo",
      artifact: {:bytes, String.duplicate(@secret, 1_000), nil},
      limits: %Limits{memory: 65_536, queue: 1}
    }

    for shown <- [
          %{link | source_config: secrets},
          %{link | target_config: secrets},
          provider,
          actor,
          %{actor | artifact: put_elem(actor.artifact, 2, "D16E57")},
          Exosuit.Config.new!(name: :secretive, trusted_issuers: :any)
        ] do
      text = inspect(shown, limit: :infinity, printable_limit: :infinity)
      refute text =~ @secret
      assert byte_size(text) < 200
    end

    assert inspect(actor) == ~s(#Exosuit.Model.ActorSpecification<"echo", 19000 bytes>)
  end
end
