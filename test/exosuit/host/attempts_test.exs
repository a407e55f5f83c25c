defmodule Exosuit.Host.AttemptsTest do
  use ExUnit.Case, async: true

  alias Exosuit.Error
  alias Exosuit.Host.Attempts

  doctest Attempts

  @key {:actor, "echo"}

  defp running do
    {attempts, [{:spawn, @key}]} = Attempts.start(%{}, @key, :me)
    {attempts, actions} = Attempts.started(attempts, @key, 0)
    assert {:reply, :me, :ok} in actions
    attempts
  end

  defp starting do
    {attempts, _spawn} = Attempts.start(%{}, @key, :me)
    attempts
  end

  defp scheduled(actions) do
    Enum.find_value(actions, fn
      {:schedule, @key, delay, try} -> {delay, try}
      _other -> nil
    end)
  end

  test "everybody who waits for a start hears of it" do
    {attempts, [{:spawn, @key}]} = Attempts.start(%{}, @key, :one)
    {attempts, []} = Attempts.start(attempts, @key, :two)
    {_attempts, actions} = Attempts.started(attempts, @key, 0)

    assert {:reply, :one, :ok} in actions and {:reply, :two, :ok} in actions
  end

  test "what runs is not started twice" do
    assert {_attempts, [{:reply, :me, :ok}]} = Attempts.start(running(), @key, :me)
  end

  test "a start that cannot succeed is not tried again, and calls are refused" do
    for reason <- [:invalid_claims, :invalid_input, :invalid_link, :invalid_module] do
      error = Error.new(reason, "forged")
      {attempts, actions} = Attempts.failed(starting(), @key, error, 0)

      assert {:reply, :me, {:error, error}} in actions
      assert {:refuse, @key, error, :infinity} in actions
      assert {:status, @key, :failed, error, nil} in actions
      assert scheduled(actions) == nil
      assert attempts[@key].phase == {:failed, error}
    end
  end

  test "a start that may succeed later is tried again, but its waiter hears of the failure" do
    for reason <- [:io, :conflict, :provider, :unavailable, :not_found] do
      error = Error.new(reason, "not now")
      {attempts, actions} = Attempts.failed(starting(), @key, error, 0)

      assert {:reply, :me, {:error, error}} in actions
      assert {delay, try} = scheduled(actions)
      assert delay in 1_000..1_250
      assert {:status, @key, :refused, error, delay} in actions
      assert {_attempts, [{:spawn, @key}]} = Attempts.retry(attempts, @key, try)
    end
  end

  test "whoever waits hears of it when its status is known, and before it is told that it goes on" do
    {_attempts, actions} = Attempts.failed(starting(), @key, Error.new(:io, "gone"), 0)
    index = fn kind -> Enum.find_index(actions, kind) end

    assert index.(&match?({:status, _, _, _, _}, &1)) < index.(&match?({:reply, _, _}, &1))
    assert index.(&match?({:reply, _, _}, &1)) < index.(&match?({_, _, :restarting, _}, &1))
  end

  test "what crashes as it starts is said to crash" do
    error = Error.new(:provider, "it raised")
    {_attempts, actions} = Attempts.failed(starting(), @key, error, 0, :crashing)
    assert Enum.any?(actions, &match?({:status, @key, :crashing, ^error, _delay}, &1))
  end

  test "what fell is started again at once" do
    {attempts, actions} = Attempts.down(running(), @key, :killed, 0)

    assert {:announce, @key, :stopped, %{reason: ":killed"}} in actions
    assert {0, 1} = scheduled(actions)
    assert {:status, _key, :crashing, _error, 0} = List.keyfind(actions, :status, 0)
    assert attempts[@key].phase == :waiting
  end

  test "what its health check ended is refused, for the reason that it gave" do
    error = Error.new(:provider, "the database is away")
    reason = {:shutdown, {:unhealthy, error}}
    {_attempts, actions} = Attempts.down(running(), @key, reason, 0)
    assert {:status, @key, :refused, error, 0} in actions
  end

  test "what falls again and again is tried for ever, later and later, which is told once" do
    {delays, {_attempts, told}} =
      Enum.map_reduce(1..200, {running(), []}, fn now, {attempts, told} ->
        {attempts, actions} = Attempts.down(attempts, @key, :killed, now)
        {delay, try} = scheduled(actions)
        {attempts, [{:spawn, @key}]} = Attempts.retry(attempts, @key, try)
        {attempts, _started} = Attempts.started(attempts, @key, now)
        slow = Enum.filter(actions, &match?({:announce, @key, :retry_slow, _}, &1))
        {delay, {attempts, told ++ slow}}
      end)

    assert [0 | later] = delays
    assert Enum.all?(later, &(&1 in 1_000..60_000))
    assert [{:announce, @key, :retry_slow, data}] = told
    assert %{reason: :unavailable, error: _text, after_ms: delay} = data
    assert delay in 16_000..20_000
  end

  test "whoever asks for it while it waits has it tried at once, and the old timer is nothing" do
    {attempts, actions} = Attempts.failed(starting(), @key, Error.new(:io, "gone"), 0)
    {_delay, first} = scheduled(actions)
    {attempts, [{:spawn, @key}]} = Attempts.start(attempts, @key, :again)
    {attempts, actions} = Attempts.failed(attempts, @key, Error.new(:io, "gone"), 1)

    assert {:reply, :again, {:error, Error.new(:io, "gone")}} in actions
    assert {delay, _second} = scheduled(actions)
    assert delay >= 2_000
    assert {_attempts, []} = Attempts.retry(attempts, @key, first)
  end

  test "a retry of what was stopped meanwhile is nothing" do
    {attempts, actions} = Attempts.down(running(), @key, :killed, 0)
    {_delay, try} = scheduled(actions)
    {attempts, []} = Attempts.stop(attempts, @key, Error.new(:dropped, "stopped"))
    assert {%{}, []} = Attempts.retry(attempts, @key, try)
  end

  test "a crash reason with a payload in it is not told" do
    {_attempts, actions} = Attempts.down(running(), @key, {:badmatch, "secret"}, 0)
    refute inspect(actions) =~ "secret"
  end
end
