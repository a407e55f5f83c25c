defmodule Exosuit.Host.Unattended do
  @moduledoc """
  Runs work of several steps that must not stop half-way. The work has a process of its own, and so continues if
  the calling process is killed.

  The two processes are not linked. The working process is monitored, and its result is its exit reason.

      iex> Exosuit.Host.Unattended.run(fn -> 1 + 1 end)
      2
  """

  @doc """
  Runs `work` and gives its result; exits if it does, with the same reason. Blocks the calling process without a time
  limit.
  """
  @spec run((() -> result)) :: result when result: term()
  def run(work) do
    {pid, monitor} = spawn_monitor(fn -> exit({:done, work.()}) end)

    receive do
      {:DOWN, ^monitor, :process, ^pid, {:done, result}} -> result
      {:DOWN, ^monitor, :process, ^pid, reason} -> exit(reason)
    end
  end
end
