defmodule Exosuit.Deployer.Conduct do
  @moduledoc false
  # Carries out a plan: the commands of one rank are all sent, then what comes of them is awaited, as
  # hosts tell it by events. One that fails does not hold up the others.

  alias Exosuit.Deployer.{Hosts, Plan, Request}
  alias Exosuit.{Error, Json}

  @type outcome :: {Plan.step(), :ok | {:error, Error.t()}}

  # Fetching and compiling may take a while.
  @patience 60_000

  @doc "Carries out the commands. Blocks the calling process, which takes the events meanwhile."
  @spec run(Hosts.t(), [Plan.step()]) :: [outcome()]
  def run(_hosts, []), do: []

  def run(%Hosts{bus: bus} = hosts, steps) do
    case bus.subscribe(hosts.handle, Hosts.events(hosts), nil) do
      {:ok, told} ->
        outcomes = steps |> Enum.chunk_by(&Plan.rank/1) |> Enum.flat_map(&rank(hosts, told, &1))
        bus.unsubscribe(told)
        forget(told.reference)
        outcomes

      {:error, error} ->
        for step <- steps, do: {step, {:error, error}}
    end
  end

  defp rank(hosts, told, steps) do
    sent = for step <- steps, do: {step, send_step(hosts, step)}
    waiting = for {step, :taken} <- sent, do: step
    came = await(hosts, told, waiting, %{}, now() + @patience)
    for {step, result} <- sent, do: {step, if(result == :taken, do: came[step], else: result)}
  end

  defp send_step(_hosts, {:nowhere, {:unplaced, id, spread, count}}) do
    {:error, Error.new(:unavailable, "no host has the labels for #{count} of #{id} in #{spread}")}
  end

  defp send_step(_hosts, {host, {:taken, id}}) do
    {:error,
     Error.new(:conflict, "#{host} runs #{inspect(id)}, which is not of this application")}
  end

  defp send_step(hosts, step) do
    {subject, body} = Request.message(step)

    with {:ok, _response} <- Hosts.request(hosts, subject, body) do
      if Request.told_later?(step), do: :taken, else: :ok
    end
  end

  defp await(_hosts, _told, [], came, _until), do: came

  defp await(%{bus: bus} = hosts, %{reference: reference} = told, waiting, came, until) do
    receive do
      {:exosuit_lattice, ^reference, {_subject, _reply, payload}} ->
        bus.next(told)
        {waiting, came} = hear(decode(payload), waiting, came)
        await(hosts, told, waiting, came, until)
    after
      max(until - now(), 0) ->
        late = "the host took it, but did not say within #{@patience} ms what came of it"
        Enum.reduce(waiting, came, &Map.put(&2, &1, {:error, Error.new(:deadline, late)}))
    end
  end

  # The first that an event fits: two for one thing are told of in their order.
  defp hear(event, waiting, came) do
    case Enum.find_value(waiting, &heard(&1, event)) do
      nil -> {waiting, came}
      {step, outcome} -> {List.delete(waiting, step), Map.put(came, step, outcome)}
    end
  end

  defp heard(step, event) do
    outcome = Request.outcome(step, event)
    if outcome, do: {step, outcome}
  end

  defp decode(payload) do
    with true <- String.valid?(payload), {:ok, event} <- Json.decode(payload) do
      event
    else
      _no_event -> nil
    end
  end

  defp forget(reference) do
    receive do
      {:exosuit_lattice, ^reference, _message} -> forget(reference)
    after
      0 -> :ok
    end
  end

  defp now, do: System.monotonic_time(:millisecond)
end
