defmodule Exosuit.Control.OutcomeTest do
  use ExUnit.Case, async: true

  alias Exosuit.Control.Outcome
  alias Exosuit.{Error, Json}

  @link %{source: "a", target: "b", contract: "wasi:keyvalue", name: "default"}

  test "steps of one host" do
    assert Outcome.public({{:start, {:actor, "a"}}, :ok}) ==
             %{step: :start, kind: :actor, id: "a", error: nil}

    failed = Outcome.public({{:unlink, {"a", "wasi:http", "default"}}, {:error, error()}})
    assert %{step: :unlink, kind: :link, source: "a", contract: "wasi:http"} = failed
    assert %{code: :unavailable, detail: detail} = failed.error
    assert detail =~ "gone"
  end

  test "every command to the hosts of a lattice, with the host that it was for" do
    for {command, told} <- [
          {{:scale_actor, %{id: "a", count: 1}}, %{step: :scale, kind: :actor, id: "a"}},
          {{:stop_actor, %{id: "a"}}, %{step: :stop, kind: :actor, id: "a"}},
          {{:update_actor, %{id: "a"}}, %{step: :update, kind: :actor, id: "a"}},
          {{:start_provider, %{id: "a"}}, %{step: :start, kind: :provider, id: "a"}},
          {{:stop_provider, "a"}, %{step: :stop, kind: :provider, id: "a"}},
          {{:taken, "a"}, %{step: :place, kind: :part, id: "a"}},
          {:inventory, %{step: :ask, kind: :host, id: nil}}
        ] do
      assert Outcome.public({{"N1", command}, :ok}) ==
               Map.merge(told, %{host: "N1", host_name: nil, error: nil})
    end
  end

  test "what is for the whole lattice, and what found no place, has no host" do
    for {step, told} <- [
          {{:lattice, {:link, @link}}, %{step: :link, source: "a", contract: "wasi:keyvalue"}},
          {{:lattice, {:unlink, {"a", "wasi:keyvalue", "x"}}}, %{step: :unlink, name: "x"}},
          {{:lattice, {:put_config, "c", %{"k" => "secret"}}}, %{step: :put, id: "c"}},
          {{:nowhere, {:unplaced, "a", "east", 2}}, %{step: :place, id: "a"}}
        ] do
      outcome = Outcome.public({step, {:error, error()}})
      assert Map.take(outcome, Map.keys(told)) == told
      assert %{host: nil, error: %{code: :unavailable}} = outcome
      assert {:ok, text} = Json.encode(outcome)
      refute text =~ "secret"
    end
  end

  defp error, do: Error.new(:unavailable, "it is gone")
end
