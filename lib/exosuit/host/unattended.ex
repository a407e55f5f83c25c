defmodule Exosuit.Host.Unattended do
  @moduledoc false
  # Runs work of several steps that must not stop half-way. It has a process of its own, and so continues if
  # the calling process ends.

  @doc "Runs `work` and returns its result. If `work` exits, the caller exits. Blocks the calling process."
  @spec run((() -> result)) :: result when result: term()
  def run(work) do
    {pid, monitor} = spawn_monitor(fn -> exit({:done, work.()}) end)

    receive do
      {:DOWN, ^monitor, :process, ^pid, {:done, result}} -> result
      {:DOWN, ^monitor, :process, ^pid, reason} -> exit(reason)
    end
  end
end
