defmodule Exosuit.ResourceTurnTest do
  # Calls take turns in the instance that holds a resource. A call that is part of the one that has the turn would wait
  # for itself, and is refused at once.
  use Exosuit.HostCase, async: true

  defmodule Hook do
    @moduledoc "Tells the process in its configuration of each call, and runs what that process sends."
    use Exosuit.Provider, contract: "test:hook"

    @impl Exosuit.Provider
    def init(%{"test" => test}), do: {:ok, test |> String.to_charlist() |> :erlang.list_to_pid()}

    @impl Exosuit.Provider
    def handle_function("test:hook/hook#run", [n], context) do
      send(context.state, {:running, self(), n})
      receive do: ({:run, fun} -> fun.())
      n
    end
  end

  setup do
    host = start_supervised_host!([])
    start_actor!(host, "hooked", "hooked")
    test = self() |> :erlang.pid_to_list() |> to_string()
    {:ok, _id} = Exosuit.start_provider(host, Hook, id: "hook", config: %{"test" => test})
    :ok = Exosuit.put_link(host, source: "hooked", target: "hook", contract: "test:hook")
    {:ok, thing} = call(host, "make", [7])
    %{host: host, thing: thing}
  end

  test "a call back with the resource is refused at once, and the resource lives on",
       %{host: host, thing: thing} do
    outer = Task.async(fn -> call(host, "hook", [thing]) end)
    assert_refused(inside(1, fn -> call(host, "value", [thing]) end))
    assert Task.await(outer) == {:ok, 1}
    assert call(host, "value", [thing]) == {:ok, 7}
  end

  test "so is one of a task, and one with another origin", %{host: host, thing: thing} do
    value = fn options -> call(host, "value", [thing], options) end

    for back <- [
          fn -> Task.await(Task.async(fn -> value.([]) end)) end,
          fn -> value.(origin: :host) end,
          fn -> Task.await(Task.async(fn -> value.(origin: :host) end)) end
        ] do
      outer = Task.async(fn -> call(host, "hook", [thing]) end)
      assert_refused(inside(1, back))
      assert Task.await(outer) == {:ok, 1}
    end
  end

  test "so is one that comes through another instance", %{host: host, thing: thing} do
    outer = Task.async(fn -> call(host, "hook", [thing]) end)
    assert_receive {:running, pid, 1}
    send(pid, {:run, fn -> {:ok, 2} = call(host, "run", [2]) end})
    assert_refused(inside(2, fn -> call(host, "value", [thing]) end))
    assert Task.await(outer) == {:ok, 1}
  end

  test "so is one that comes through another resource", %{host: host, thing: thing} do
    outer = Task.async(fn -> call(host, "hook", [thing]) end)
    assert_receive {:running, pid, 1}

    nested = fn ->
      {:ok, other} = call(host, "make", [8])
      assert call(host, "value", [other]) == {:ok, 8}
      {:ok, 1} = call(host, "hook", [other])
    end

    send(pid, {:run, nested})
    assert_refused(inside(1, fn -> call(host, "value", [thing]) end))
    assert Task.await(outer) == {:ok, 1}
  end

  test "a call of another process waits for its turn", %{host: host, thing: thing} do
    outer = Task.async(fn -> call(host, "hook", [thing]) end)
    assert_receive {:running, pid, 1}
    waiting = call(host, "value", [thing], timeout: 50)
    assert {:error, %Error{reason: :deadline}} = waiting
    send(pid, {:run, fn -> :ok end})
    assert Task.await(outer) == {:ok, 1}
    assert call(host, "value", [thing]) == {:ok, 7}
  end

  # Runs a function in the process of the provider's call, and returns its answer.
  defp inside(n, fun) do
    test = self()
    assert_receive {:running, pid, ^n}
    send(pid, {:run, fn -> send(test, {:answered, fun.()}) end})
    assert_receive {:answered, answer}
    answer
  end

  defp assert_refused({:error, %Error{reason: :invalid_input, detail: detail}}) do
    assert detail =~ "is in the middle of a call that this call is part of"
  end

  defp call(host, function, arguments, options \\ []),
    do:
      Exosuit.call(host, "hooked", function, arguments, Keyword.merge([timeout: 5_000], options))
end
