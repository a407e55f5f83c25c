defmodule Exosuit.Soak.Load do
  @moduledoc """
  Clients that ask for pages for as long as the soak lasts, one after another, at a steady pace, and
  what they were told: of those that count, every count that was acknowledged. Its memory does not
  grow with the number of requests, as it is in the VM whose memory the soak measures.

  A count is kept by name of its counter: `counter` and `web` are shared by both hosts.
  """

  use Agent

  alias Exosuit.Http
  alias Exosuit.Soak.Counts

  # Milliseconds between two requests of a client: the faults are what is tested, not the machine.
  @pace 20

  defstruct counts: %{}, twice: %{}, answers: %{}, failures: %{}

  @type service :: {String.t(), :inet.port_number(), String.t()}

  @doc "Starts `clients` for each service. Gives what to hand to the other functions."
  @spec start!([service()], pos_integer()) :: map()
  def start!(services, clients) do
    {:ok, told} = Agent.start_link(fn -> %__MODULE__{} end)
    tasks = for service <- services, _ <- 1..clients, do: Task.async(fn -> ask(service, told) end)
    %{told: told, tasks: tasks}
  end

  @doc "Ends the clients. Gives what they were told."
  @spec finish(map()) :: %__MODULE__{}
  def finish(%{told: told, tasks: tasks}) do
    for task <- tasks, do: send(task.pid, :stop)
    Task.await_many(tasks, 120_000)
    state = Agent.get(told, & &1, 60_000)
    Agent.stop(told)
    state
  end

  @doc "Whether a service answers now. It counts under another path than the clients do."
  @spec answers?(service()) :: boolean()
  def answers?({_name, port, _path}),
    do: match?({200, _body}, Http.request(port, "GET", "/probe"))

  @doc "The count that a counter answers: one more than the one before."
  @spec count(service()) :: {:ok, pos_integer()} | {:error, term()}
  def count({_name, port, path}) do
    case Http.request(port, "GET", path) do
      {200, body} -> {:ok, number(body)}
      failure -> {:error, failure}
    end
  end

  @doc "What is wrong with the counts of a counter whose next count is `last`; nothing, it should be."
  @spec wrongs(%__MODULE__{}, String.t(), pos_integer()) :: [String.t()]
  def wrongs(state, name, last) do
    counts = Map.get(state.counts, name, [])
    failures = Map.get(state.failures, name, 0)
    twice = Map.get(state.twice, name, 0)
    lost = last - 1 - Counts.size(counts)

    for {true, text} <- [
          {counts == [], "#{name}: nothing was ever counted"},
          {twice > 0, "#{name}: #{twice} counts were given twice"},
          {Counts.greatest(counts) >= last, "#{name}: an acknowledged count is missing"},
          {lost > failures, "#{name}: #{lost} counts nobody knows, and only #{failures} failures"}
        ],
        do: text
  end

  defp ask({name, _port, _path} = service, told) do
    receive do
      :stop -> :ok
    after
      @pace ->
        note(told, name, request(service))
        ask(service, told)
    end
  end

  defp request({name, port, path}) do
    case Http.request(port, "GET", path) do
      {200, body} -> if name == "ping", do: :answer, else: {:count, number(body)}
      _failure -> :failure
    end
  end

  defp number(body) do
    {:ok, %{"counter" => number}} = Exosuit.Json.decode(body)
    number
  end

  defp note(told, name, {:count, number}) do
    Agent.cast(told, &acknowledged(&1, name, number))
    note(told, name, :answer)
  end

  defp note(told, name, :answer), do: Agent.cast(told, &bump(&1, :answers, name))
  defp note(told, name, :failure), do: Agent.cast(told, &bump(&1, :failures, name))

  defp acknowledged(state, name, number) do
    case state.counts |> Map.get(name, []) |> Counts.add(number) do
      {:ok, counts} -> %{state | counts: Map.put(state.counts, name, counts)}
      :error -> bump(state, :twice, name)
    end
  end

  defp bump(state, field, name) do
    Map.update!(state, field, &Map.update(&1, name, 1, fn number -> number + 1 end))
  end
end
