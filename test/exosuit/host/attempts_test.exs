defmodule Exosuit.Host.AttemptsTest do
  use ExUnit.Case, async: true

  alias Exosuit.Error
  alias Exosuit.Host.Attempts

  @key {:actor, "echo"}

  defp running do
    {attempts, [{:spawn, @key}]} = Attempts.start(%{}, @key, :me)
    {attempts, actions} = Attempts.started(attempts, @key)
    assert {:reply, :me, :ok} in actions
    attempts
  end

  test "everybody who waits for a start hears of it" do
    {attempts, [{:spawn, @key}]} = Attempts.start(%{}, @key, :one)
    {attempts, []} = Attempts.start(attempts, @key, :two)
    {_attempts, actions} = Attempts.started(attempts, @key)

    assert {:reply, :one, :ok} in actions and {:reply, :two, :ok} in actions
  end

  test "what runs is not started twice" do
    assert {_attempts, [{:reply, :me, :ok}]} = Attempts.start(running(), @key, :me)
  end

  test "a start that cannot succeed is not tried again, and calls are refused" do
    {attempts, _spawn} = Attempts.start(%{}, @key, :me)
    error = Error.new(:invalid_claims, "forged")
    {attempts, actions} = Attempts.failed(attempts, @key, error, 0)

    assert {:reply, :me, {:error, error}} in actions
    assert {:refuse, @key, error} in actions
    refute Enum.any?(actions, &match?({:schedule, _, _}, &1))
    assert attempts[@key].phase == {:failed, error}
  end

  test "a start that may succeed later is tried again, but its waiter hears of the failure" do
    {attempts, _spawn} = Attempts.start(%{}, @key, :me)
    error = Error.new(:io, "no such file")
    {attempts, actions} = Attempts.failed(attempts, @key, error, 0)

    assert {:reply, :me, {:error, error}} in actions
    assert {:schedule, @key, 0} in actions
    assert {_attempts, [{:spawn, @key}]} = Attempts.retry(attempts, @key)
  end

  test "what fell is started again" do
    {attempts, actions} = Attempts.down(running(), @key, :killed, 0)

    assert {:announce, @key, :stopped, %{reason: ":killed"}} in actions
    assert {:schedule, @key, 0} in actions
    assert attempts[@key].phase == :waiting
  end

  test "what falls again and again is given up, and calls are refused" do
    actions =
      Enum.reduce_while(1..100, running(), fn now, attempts ->
        {attempts, actions} = Attempts.down(attempts, @key, :killed, now)
        {attempts, _spawn} = Attempts.retry(attempts, @key)
        {attempts, _started} = Attempts.started(attempts, @key)
        gave_up = List.keymember?(actions, :refuse, 0)
        if gave_up, do: {:halt, actions}, else: {:cont, attempts}
      end)

    assert {:announce, @key, :gave_up, %{restarts: 15, reason: :unavailable}} in actions
  end

  test "a retry of what was stopped meanwhile is nothing" do
    {attempts, _actions} = Attempts.down(running(), @key, :killed, 0)
    {attempts, []} = Attempts.stop(attempts, @key, Error.new(:dropped, "stopped"))
    assert {%{}, []} = Attempts.retry(attempts, @key)
  end

  test "a crash reason with a payload in it is not told" do
    {_attempts, actions} = Attempts.down(running(), @key, {:badmatch, "secret"}, 0)
    refute inspect(actions) =~ "secret"
  end
end
