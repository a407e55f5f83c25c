defmodule Exosuit.Deployer.Conduct do
  @moduledoc false
  # Carries out a plan: sends all commands of one rank, then waits for their outcomes. Hosts report outcomes by
  # events. An event may be lost, and a command without effect causes none. Therefore the state of the hosts is
  # read in the meantime as well: a command is done when it is not among the commands `left` to do. A failed
  # command does not stop the others.

  alias Exosuit.Deployer.{Hosts, Plan, Request}
  alias Exosuit.{Error, Json}

  @type outcome :: {Plan.step(), :ok | {:error, Error.t()}}

  # Fetching and compiling may take a while.
  @patience 60_000

  @typedoc "Asks the hosts, and gives the commands that are left to do, as far as that can be known."
  @type left :: (() -> {:ok, [Plan.step()]} | :unknown)

  @doc "Carries out the commands. Blocks the calling process, which takes the events meanwhile."
  @spec run(Hosts.t(), [Plan.step()], left()) :: [outcome()]
  def run(_hosts, [], _left), do: []

  def run(%Hosts{bus: bus} = hosts, steps, left) do
    case bus.subscribe(hosts.handle, Hosts.events(hosts), nil) do
      {:ok, told} ->
        ranks = Enum.chunk_by(steps, &Plan.rank/1)
        outcomes = Enum.reduce(ranks, [], &(&2 ++ rank({hosts, left}, told, &1, &2)))
        bus.unsubscribe(told)
        forget(told.reference)
        outcomes

      {:error, error} ->
        for step <- steps, do: {step, {:error, error}}
    end
  end

  defp rank({hosts, _left} = context, told, steps, before) do
    sent = for step <- steps, do: {step, blocked(step, before) || send_step(hosts, step)}
    waiting = for {step, :taken} <- sent, do: step
    now = now()
    times = %{look: now + hosts.look, end: now + @patience}
    came = await(context, told, waiting, %{}, times)
    for {step, result} <- sent, do: {step, if(result == :taken, do: came[step], else: result)}
  end

  # Do not send the annotation of new code if that code could not be started.
  defp blocked({host, {:scale_actor, %{id: id}}}, before) do
    Enum.find_value(before, fn
      {{^host, {:update_actor, %{id: ^id}}}, {:error, _error}} -> {:error, not_updated()}
      _other -> nil
    end)
  end

  defp blocked(_step, _before), do: nil

  defp not_updated do
    Error.new(:unavailable, "not started, because the update before it failed")
  end

  defp send_step(_hosts, {:nowhere, {:unplaced, id, spread, count}}) do
    {:error,
     Error.new(
       :unavailable,
       "no host has the labels for #{count} instances of #{id} in spread #{spread}"
     )}
  end

  defp send_step(_hosts, {host, {:taken, id}}) do
    {:error,
     Error.new(
       :conflict,
       "#{host} runs #{inspect(id)}, which does not belong to this application"
     )}
  end

  defp send_step(%Hosts{own: own}, {host, {:scale_actor, %{specification: specification} = it}}) do
    case own do
      {^host, run} -> run.(specification, it)
      _another -> {:error, Error.new(:denied, untold(it.id))}
    end
  end

  defp send_step(hosts, step) do
    {subject, body} = Request.message(step)

    with {:ok, _response} <- Hosts.request(hosts, subject, body) do
      if Request.told_later?(step), do: :taken, else: :ok
    end
  end

  defp untold(id) do
    "#{id} has grants, warm instances or limits that only the host of the manifest can apply: " <>
      "apply the manifest on the other host, or remove them"
  end

  defp await(_context, _told, [], came, _times), do: came

  defp await({hosts, _left} = context, %{reference: reference} = told, waiting, came, times) do
    receive do
      {:exosuit_lattice, ^reference, {_subject, _reply, payload}} ->
        hosts.bus.next(told)
        {waiting, came} = hear(decode(payload), waiting, came)
        await(context, told, waiting, came, times)
    after
      max(min(times.look, times.end) - now(), 0) ->
        {waiting, came} = look(context, waiting, came)
        again(context, told, waiting, came, times)
    end
  end

  defp again(context, told, waiting, came, times) do
    if now() < times.end do
      {hosts, _left} = context
      await(context, told, waiting, came, %{times | look: now() + hosts.look})
    else
      late = "the host accepted the command, but did not complete it within #{@patience} ms"
      Enum.reduce(waiting, came, &Map.put(&2, &1, {:error, Error.new(:deadline, late)}))
    end
  end

  # Whatever is not left to do is done.
  defp look({_hosts, left}, waiting, came) do
    case left.() do
      {:ok, steps} ->
        {waiting, done} = Enum.split_with(waiting, &(&1 in steps))
        {waiting, Enum.reduce(done, came, &Map.put(&2, &1, :ok))}

      :unknown ->
        {waiting, came}
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
