defmodule Exosuit.Up.Watch do
  @moduledoc """
  Waits for the end of a host, and decides whether it was stopped or crashed. A supervisor that gives up ends
  with `:shutdown`, like a stopped one. This counts as a crash, unless the VM is stopping or
  `Exosuit.Host.Shutdown.end_host/1` has stopped the host.

  | the host ended with | the VM | result |
  |---|---|---|
  | `{:shutdown, :stopped}` | | `:stopped` |
  | `:shutdown` | is stopping | `:stopped` |
  | `:shutdown` | goes on | `{:fell, why}`: the last child that ended, with its reason |
  | another reason | | `{:fell, why}` |

  A supervisor that gives up does not say why. So the caller monitors the children of the host as well, and remembers
  the one that ended last before the supervisor began to end the others. After each end, it looks for the child's
  successor and monitors that.
  """

  @enforce_keys [:host, :monitor]
  defstruct [:host, :monitor, :last, children: %{}, ending?: false]

  @typedoc "How the host ended; after a crash with a reason for people."
  @type ending :: :stopped | {:fell, String.t()}

  @doc "Blocks the calling process until the host has ended. `host` is the pid of its topmost supervisor."
  @spec await(pid()) :: ending()
  def await(host) do
    loop(watch_children(%__MODULE__{host: host, monitor: Process.monitor(host)}))
  end

  defp loop(%{monitor: monitor, children: children} = watch) do
    receive do
      {:DOWN, ^monitor, :process, _host, reason} ->
        ending(reason, watch)

      {:DOWN, child, :process, _pid, reason} when is_map_key(children, child) ->
        {id, children} = Map.pop(children, child)
        loop(watch_children(note(%{watch | children: children}, id, reason)))
    end
  end

  # The supervisor has given up because of the child before, and now ends the other children.
  defp note(%{ending?: true} = watch, _id, _reason), do: watch
  # The child had ended before the monitor was set, and its reason is known.
  defp note(%{last: {id, _reason}} = watch, id, :noproc), do: watch
  defp note(watch, id, reason), do: %{watch | last: {id, reason}}

  # Monitors new children; earlier ones are monitored already. Waits while the supervisor restarts a child, or ends
  # the others.
  defp watch_children(%{ending?: true} = watch), do: watch

  defp watch_children(watch) do
    known = MapSet.new(Map.values(watch.children))

    new =
      for {id, pid, _type, _modules} <- Supervisor.which_children(watch.host),
          is_pid(pid) and id not in known,
          into: %{},
          do: {Process.monitor(pid), id}

    %{watch | children: Map.merge(watch.children, new)}
  catch
    # The supervisor has ended: its `:DOWN` message comes next.
    :exit, _reason -> %{watch | ending?: true}
  end

  defp ending({:shutdown, :stopped}, _watch), do: :stopped

  defp ending(:shutdown, watch) do
    case :init.get_status() do
      {:stopping, _how} -> :stopped
      _running -> {:fell, describe(watch.last)}
    end
  end

  defp ending(reason, _watch), do: {:fell, Exception.format_exit(reason)}

  defp describe(nil), do: "its supervisor ended"

  defp describe({id, reason}) do
    "#{inspect(id)} ended too often, last with: #{Exception.format_exit(reason)}"
  end
end
