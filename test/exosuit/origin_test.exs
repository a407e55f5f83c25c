defmodule Exosuit.OriginTest do
  # What a guest has a provider in Elixir call is bound by the provider's links.
  use Exosuit.HostCase, async: true

  doctest Exosuit.Origin

  defmodule Forwarder do
    @moduledoc "Calls the actor that its payload names, as itself or as the host."
    use Exosuit.Provider, contract: "test:forwarder"

    @impl Exosuit.Provider
    def handle_invocation("task " <> operation, target, context) do
      # A task of a task, as libraries have them.
      ask = fn -> handle_invocation(operation, target, context) end
      Task.await(Task.async(fn -> Task.await(Task.async(ask)) end))
    end

    def handle_invocation(operation, target, context) do
      case Exosuit.call(context.host, target, "echo", "x", origin(operation)) do
        {:ok, answer} -> {:ok, answer}
        {:error, error} -> {:error, Exception.message(error)}
      end
    end

    defp origin("itself"), do: []
    defp origin("host"), do: [origin: :host]
    defp origin("other"), do: [origin: {:provider, "other", "test:forwarder", "default"}]
  end

  setup do
    host = start_supervised_host!(actors: [caller: "caller", victim: "echo"])
    {:ok, "forwarder"} = Exosuit.start_provider(host, Forwarder)
    :ok = Exosuit.put_link(host, link("caller"))
    %{host: host}
  end

  test "a provider does not reach an actor that no link joins it to", %{host: host} do
    assert {:error, error} = ask(host, "itself", "victim")
    assert Exception.message(error) =~ "no link"
    assert {:error, error} = ask(host, "other", "victim")
    assert Exception.message(error) =~ "no link"
  end

  test "nor does a task of its call", %{host: host} do
    assert {:error, error} = ask(host, "task itself", "victim")
    assert Exception.message(error) =~ "no link"
    assert {:ok, "x"} = ask(host, "task host", "victim")
    :ok = Exosuit.put_link(host, link("victim"))
    assert {:ok, "x"} = ask(host, "task itself", "victim")
  end

  test "a link lets it, and without the link it is refused again", %{host: host} do
    :ok = Exosuit.put_link(host, link("victim"))
    assert {:ok, "x"} = ask(host, "itself", "victim")
    :ok = Exosuit.delete_link(host, Keyword.take(link("victim"), [:source, :contract]))
    assert {:error, %Error{}} = ask(host, "itself", "victim")
  end

  test "a link of another contract does not let it", %{host: host} do
    :ok =
      Exosuit.put_link(host,
        source: "victim",
        target: "forwarder",
        contract: "test:forwarder",
        name: "b"
      )

    assert {:error, %Error{}} = ask(host, "itself", "victim")
  end

  test "it may say that it calls as the host", %{host: host} do
    assert {:ok, "x"} = ask(host, "host", "victim")
  end

  test "a process of the app calls as the host, or as what it says", %{host: host} do
    assert {:ok, "x"} = Exosuit.call(host, "victim", "echo", "x")
    origin = {:provider, "forwarder", "test:forwarder", "default"}
    assert {:error, %Error{}} = Exosuit.call(host, "victim", "echo", "x", origin: origin)
    assert {:ok, "x"} = Exosuit.call(host, "victim", "echo", "x", origin: :host)

    for wrong <- [:nobody, {:provider, "a"}, {:provider, "a", "b:c", <<255>>}] do
      assert_raise ArgumentError, ~r/origin/, fn ->
        Exosuit.call(host, "victim", "echo", "x", origin: wrong)
      end
    end

    assert {:error, %Error{reason: :invalid_input}} =
             Exosuit.call(host, "victim", "echo", "x", origin: {:provider, "a b", "c:d", "e"})
  end

  defp link(actor), do: [source: actor, target: "forwarder", contract: "test:forwarder"]

  defp ask(host, operation, target) do
    request = Enum.join(["default", "test:forwarder", operation, target], <<0>>)
    Exosuit.call(host, "caller", "call", request)
  end
end
