defmodule Exosuit.MessagingTest do
  # Messages between actors of both kinds, on one host and over NATS.
  use Exosuit.HostCase, async: true

  alias Exosuit.{MessagePack, Nats}

  @contract "wasmcloud:messaging"

  defmodule Probe do
    @moduledoc "Tells the process whose name is in its configuration what it is called with."
    use Exosuit.Provider, contract: "test:probe"

    @impl Exosuit.Provider
    def init(%{"test" => text}) do
      {:ok, text |> String.to_charlist() |> :erlang.list_to_pid()}
    end

    @impl Exosuit.Provider
    def handle_invocation(operation, payload, %{state: test}) do
      send(test, {:handled, operation, MessagePack.decode!(payload)})
      {:ok, ""}
    end
  end

  describe "on one host" do
    setup do
      host = start_supervised_host!()
      publisher!(host)
      %{host: host}
    end

    test "what one actor publishes, another handles", %{host: host} do
      reader!(host, %{"SUBSCRIPTION" => "orders.*"})
      assert {:ok, ""} = ask(host, "Publish", message("others", "nobody hears"))
      assert {:ok, ""} = ask(host, "Publish", message("orders.new", "one"))

      assert_receive {:handled, "MessageSubscriber.HandleMessage", handled}, 30_000
      assert %{"subject" => "orders.new", "body" => {:bin, "one"}} = handled
      refute_received {:handled, _operation, _message}

      :ok = Exosuit.delete_link(host, source: "reader", contract: @contract)
      assert {:error, error} = ask(host, "Request", request("orders.new", "two"))
      assert Exception.message(error) =~ "no subscriber listens to orders.new"
    end

    test "a component answers an actor of the wasmbus", %{host: host} do
      messenger!(host)
      assert {:ok, answer} = ask(host, "Request", request("questions.one", "what"))
      assert %{"body" => {:bin, "what"}} = MessagePack.decode!(answer)
    end

    test "a component that cannot answer says why", %{host: host} do
      messenger!(host)
      :ok = Exosuit.subscribe(host)
      :ok = Exosuit.delete_link(host, source: "messenger", contract: @contract)
      question = Map.put(message("questions.one", "what"), "replyTo", "somewhere")
      assert {:ok, ""} = ask(host, "Publish", question)

      assert_receive {:exosuit_event,
                      %{type: "invocation_failed", data: %{target: "messenger"} = data}},
                     30_000

      assert data.error =~ "missing link"
    end

    test "what hosts say to each other is none of an actor's business", %{host: host} do
      for subject <- ["wasmbus.ctl.default.x", "$JS.API.INFO", "exosuit.rpc.default.x"] do
        assert {:error, error} = ask(host, "Publish", message(subject, "x"))
        assert Exception.message(error) =~ "actors may not use"
      end

      link = [source: "caller", target: "messaging", contract: @contract]
      values = %{"subscriptions" => ">"}

      assert {:error, %Error{reason: :denied}} =
               Exosuit.put_link(host, [target_config: values] ++ link)
    end
  end

  test "over NATS, one of the hosts that handle a message does, and all see the same store" do
    server = Nats.start!()
    nats = Nats.options(server, prefix: "my.control")
    [one, other] = for _ <- 1..2, do: start_supervised_host!(nats: nats)
    for host <- [one, other], do: publisher!(host)
    reader!(other, %{"subscriptions" => "orders.*"})

    # The connections are made in the background.
    assert eventually(fn -> match?({:ok, _}, count(one)) and match?({:ok, _}, count(other)) end)
    {:ok, before} = count(one)
    assert {:ok, before + 1} == count(other)

    assert {:error, error} = ask(one, "Publish", message("my.control.default.x", "x"))
    assert Exception.message(error) =~ "actors may not use"

    assert eventually(fn ->
             {:ok, ""} = ask(one, "Publish", message("orders.new", "far"))
             assert_received_now()
           end)
  end

  defp assert_received_now do
    receive do
      {:handled, "MessageSubscriber.HandleMessage", %{"body" => {:bin, "far"}}} -> true
    after
      0 -> false
    end
  end

  defp publisher!(host) do
    start_actor!(host, "caller", "caller")
    {:ok, "messaging"} = Exosuit.start_provider(host, "messaging", id: "messaging")
    :ok = Exosuit.put_link(host, source: "caller", target: "messaging", contract: @contract)
    {:ok, "kv"} = Exosuit.start_provider(host, "keyvalue", id: "kv")
    :ok = Exosuit.put_link(host, source: "caller", target: "kv", contract: "wasmcloud:keyvalue")
  end

  defp reader!(host, values) do
    start_actor!(host, "reader", "relay")
    test = %{"test" => self() |> :erlang.pid_to_list() |> to_string()}
    {:ok, "probe"} = Exosuit.start_provider(host, Probe, id: "probe", config: test)
    :ok = Exosuit.put_link(host, source: "reader", target: "probe", contract: "test:probe")
    link = [source: "reader", target: "messaging", contract: @contract, target_config: values]
    :ok = Exosuit.put_link(host, link)
  end

  defp messenger!(host) do
    start_actor!(host, "messenger", "messenger")

    :ok =
      Exosuit.put_link(host,
        source: "messenger",
        target: "messaging",
        contract: @contract,
        interfaces: ["consumer"]
      )

    :ok =
      Exosuit.put_link(host,
        source: "messaging",
        target: "messenger",
        contract: @contract,
        interfaces: ["handler"],
        source_config: %{"subscriptions" => "questions.>"}
      )
  end

  defp message(subject, body), do: %{"subject" => subject, "body" => body}
  defp request(subject, body), do: Map.put(message(subject, body), "timeoutMs", 30_000)

  defp ask(host, operation, arguments) do
    call(host, @contract, "Messaging.#{operation}", arguments)
  end

  defp count(host) do
    arguments = %{"key" => "n", "value" => 1}

    with {:ok, answer} <- call(host, "wasmcloud:keyvalue", "KeyValue.Increment", arguments),
         do: {:ok, MessagePack.decode!(answer)}
  end

  defp call(host, contract, operation, arguments) do
    request = ["default", 0, contract, 0, operation, 0, MessagePack.encode!(arguments)]
    Exosuit.call(host, "caller", "call", IO.iodata_to_binary(request))
  end
end
