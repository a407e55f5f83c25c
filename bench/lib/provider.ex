defmodule Exosuit.Bench.Provider do
  @moduledoc false
  # A guest that calls a provider in Elixir, 100 bytes there and back, less the call of a guest that
  # answers by itself. The floor is what cannot be saved: a message to another process and back, and
  # that Tokio wakes the guest.

  alias Exosuit.Bench.{Floor, Measure, Row}

  defmodule Echo do
    @moduledoc false
    use Exosuit.Provider, contract: "bench:echo"

    @impl Exosuit.Provider
    def handle_invocation(_operation, payload, _context), do: {:ok, payload}
  end

  @payload :binary.copy(<<7>>, 100)
  @request Enum.join(["default", "bench:echo", "Echo", @payload], <<0>>)
  @calls 5_000

  @spec rows(Floor.t(), atom()) :: [Row.t()]
  def rows(floor, host) do
    {:ok, "echoes"} = Exosuit.start_provider(host, Echo, id: "echoes")
    :ok = Exosuit.put_link(host, source: "caller", target: "echoes", contract: "bench:echo")

    [messages, wakes, ours] =
      Measure.medians([
        fn -> messages(@payload, @calls) end,
        fn -> Floor.wakes(floor, @calls) end,
        fn -> calls(host, "caller", @request) - calls(host, "echo", @payload) end
      ])

    name = "Elixir provider called by a guest, 1 caller"
    [Row.new(name, "µs", each(ours), each(messages + wakes), {:at_most, 1.5, :ratio})]
  end

  defp each(seconds), do: seconds * 1_000_000 / @calls

  defp calls(host, actor, payload) do
    Measure.seconds(fn -> call(host, actor, payload, @calls) end)
  end

  defp call(_host, _actor, _payload, 0), do: :ok

  defp call(host, actor, payload, left) do
    {:ok, @payload} = Exosuit.call(host, actor, "Echo.Say", payload)
    call(host, actor, payload, left - 1)
  end

  @doc "The seconds that so many messages to another process take, each of which comes back."
  @spec messages(term(), pos_integer()) :: float()
  def messages(message, times) do
    caller = self()
    echo = spawn_link(fn -> answer(caller) end)
    seconds = Measure.seconds(fn -> ask(echo, message, times) end)
    send(echo, :stop)
    seconds
  end

  defp ask(_echo, _message, 0), do: :ok

  defp ask(echo, message, left) do
    send(echo, {:ask, message})
    receive do: ({:answer, ^message} -> :ok)
    ask(echo, message, left - 1)
  end

  defp answer(caller) do
    receive do
      {:ask, message} ->
        send(caller, {:answer, message})
        answer(caller)

      :stop ->
        :ok
    end
  end
end
