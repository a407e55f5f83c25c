defmodule Exosuit.Lattice.Local.Bus do
  @moduledoc """
  Messages within one host, with the rules of NATS. The sender looks up the subscribers, and does not wait.

  There is no process of the bus: a sender reads the registry, and sends to each subscriber's process
  (`Exosuit.Lattice.Local.Subscription`). In the registry, a subscription without wildcards is found by its subject, and
  one with wildcards by comparing, so the cost of a message grows with the number of wildcard subscriptions. An inbox,
  in which a process waits for answers, is found by its subject as well. Keys begin with the host, so the hosts of a VM
  do not receive each other's messages.

  | registry key | value |
  |---|---|
  | `{:bus, host, subject}` | `{nil, group}` for a subscription, a process alias for an inbox |
  | `{:bus, host, :patterns}` | `{tokens, group}` |

  An inbox is a process alias: answers that come after the end of the wait are dropped by the VM, and never reach
  the mailbox of the caller.

  Limits: 1 MiB for each message, and 64 MiB for the answers of one `gather/5`. Wrong subjects are refused with
  `:invalid_input`.
  """

  alias Exosuit.{Error, Registries}
  alias Exosuit.Lattice.Local.{Handle, Subscription}

  # The default of NATS servers.
  @max_payload 1_048_576

  # The maximum number of bytes of gathered answers, as over NATS.
  @max_gathered 67_108_864

  @inbox "_INBOX."

  @doc "The maximum number of bytes of a message: the default of NATS servers."
  @spec max_payload() :: pos_integer()
  def max_payload, do: @max_payload

  @doc "See `Exosuit.Lattice.Bus.publish/3`. A message without subscribers is `:ok`."
  @spec publish(Handle.t(), String.t(), binary()) :: :ok | {:error, Error.t()}
  def publish(handle, subject, payload) do
    with {:ok, _listeners} <- send_message(handle, {subject, nil, payload}), do: :ok
  end

  @doc "See `Exosuit.Lattice.Bus.request/4`. Without subscribers, `:unavailable`."
  @spec request(Handle.t(), String.t(), binary(), integer()) ::
          {:ok, binary()} | {:error, Error.t()}
  def request(handle, subject, payload, timeout) do
    ask(handle, subject, payload, fn
      0, _alias -> {:error, Error.new(:unavailable, "no host on the lattice serves #{subject}")}
      _listeners, inbox -> receive_one(inbox, subject, max(timeout, 0))
    end)
  end

  @doc "See `Exosuit.Lattice.Bus.gather/5`."
  @spec gather(Handle.t(), String.t(), binary(), non_neg_integer(), non_neg_integer()) ::
          {:ok, [binary()]} | {:error, Error.t()}
  def gather(handle, subject, payload, within, max) do
    ask(handle, subject, payload, fn
      0, _alias -> {:ok, []}
      _listeners, inbox -> {:ok, receive_all(inbox, now() + within, max, @max_gathered, [])}
    end)
  end

  @doc """
  See `Exosuit.Lattice.Bus.subscribe/3`. Starts the process of the subscription, linked to the calling process.
  """
  @spec subscribe(Handle.t(), String.t(), String.t() | nil, reference()) ::
          {:ok, pid()} | {:error, Error.t()}
  def subscribe(handle, subject, group, reference) do
    tokens = String.split(subject, ".")

    with :ok <- check_subject(subject, tokens),
         :ok <- check_wildcards(subject, tokens),
         :ok <- check_group(group) do
      pattern = if Enum.any?(tokens, &(&1 in ["*", ">"])), do: tokens
      Subscription.start_link(handle, key(handle, pattern, subject), {pattern, group}, reference)
    end
  end

  defp key(handle, nil, subject), do: {:bus, handle.name, subject}
  defp key(handle, _pattern, _subject), do: {:bus, handle.name, :patterns}

  # Returns the number of receivers.
  defp send_message(handle, {subject, _reply_to, payload} = message) do
    tokens = String.split(subject, ".")

    with :ok <- check_subject(subject, tokens),
         :ok <- check_size(payload) do
      listeners = handle |> listeners(subject, tokens) |> one_of_each_group()
      Enum.each(listeners, &hand_over(&1, message))
      {:ok, length(listeners)}
    end
  end

  defp listeners(handle, subject, tokens) do
    registry = Registries.subscribers()
    exact = Registries.lookup(registry, {:bus, handle.name, subject})

    matching =
      for {_pid, {pattern, _group}} = listener <-
            Registries.lookup(registry, {:bus, handle.name, :patterns}),
          matches?(pattern, tokens),
          do: listener

    exact ++ matching
  end

  defp matches?([">"], [_token | _more]), do: true
  defp matches?(["*" | pattern], [_token | tokens]), do: matches?(pattern, tokens)
  defp matches?([token | pattern], [token | tokens]), do: matches?(pattern, tokens)
  defp matches?(pattern, tokens), do: pattern == [] and tokens == []

  # As NATS servers do: groups of one name are one group, even with different subjects.
  defp one_of_each_group(listeners) do
    {alone, grouped} = Enum.split_with(listeners, fn {_pid, value} -> group(value) == nil end)
    groups = Enum.group_by(grouped, fn {_pid, value} -> group(value) end)
    alone ++ for {_group, members} <- groups, do: Enum.random(members)
  end

  defp group({_pattern, group}), do: group
  defp group(inbox) when is_reference(inbox), do: nil

  defp hand_over({_pid, inbox}, {_subject, _reply_to, payload}) when is_reference(inbox),
    do: send(inbox, {inbox, payload})

  defp hand_over({pid, _value}, message), do: Subscription.put(pid, message)

  # Uses a process alias, so that late answers are dropped.
  defp ask(handle, subject, payload, receive_answers) do
    inbox = :erlang.alias()
    reply_to = @inbox <> Base.encode16(:crypto.strong_rand_bytes(16), case: :lower)
    key = {:bus, handle.name, reply_to}
    {:ok, _owner} = Registries.register(Registries.subscribers(), key, inbox)

    try do
      with {:ok, listeners} <- send_message(handle, {subject, reply_to, payload}),
           do: receive_answers.(listeners, inbox)
    after
      :erlang.unalias(inbox)
      Registries.unregister(Registries.subscribers(), key)
      flush(inbox)
    end
  end

  defp receive_one(inbox, subject, timeout) do
    receive do
      {^inbox, answer} -> {:ok, answer}
    after
      timeout ->
        detail = "no answer came from #{subject} before the deadline of the call"
        {:error, Error.new(:deadline, detail)}
    end
  end

  defp receive_all(inbox, until, count, bytes, answers) when count > 0 and bytes > 0 do
    receive do
      {^inbox, answer} ->
        receive_all(inbox, until, count - 1, bytes - byte_size(answer), [answer | answers])
    after
      max(until - now(), 0) -> Enum.reverse(answers)
    end
  end

  defp receive_all(_inbox, _until, _count, _bytes, answers), do: Enum.reverse(answers)

  defp flush(inbox) do
    receive do
      {^inbox, _late} -> flush(inbox)
    after
      0 -> :ok
    end
  end

  defp check_subject(subject, tokens) do
    if "" in tokens or subject =~ ~r/[\s\x00-\x1f\x7f]/,
      do: refuse("expected a subject of tokens with dots between them, got: #{show(subject)}"),
      else: :ok
  end

  defp check_wildcards(subject, tokens) do
    if ">" in Enum.drop(tokens, -1),
      do: refuse("expected > as the last token of a subject, got: #{show(subject)}"),
      else: :ok
  end

  defp check_group(nil), do: :ok

  defp check_group(group) do
    if group == "" or group =~ ~r/[\s\x00-\x1f\x7f]/,
      do: refuse("expected a group to be a text without blanks, got: #{show(group)}"),
      else: :ok
  end

  defp check_size(payload) when byte_size(payload) <= @max_payload, do: :ok

  defp check_size(payload) do
    refuse("the message has #{byte_size(payload)} bytes, at most #{@max_payload} are allowed")
  end

  defp show(text), do: inspect(text, printable_limit: 200)

  defp refuse(detail), do: {:error, Error.new(:invalid_input, detail)}

  defp now, do: System.monotonic_time(:millisecond)
end
