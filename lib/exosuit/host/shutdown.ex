defmodule Exosuit.Host.Shutdown do
  @moduledoc """
  Ends a whole host as its supervisor would, so that it is not started again.

  While it ends, `Exosuit.Drain` lets running calls finish.

  A host may be a permanent child of a supervisor, a child that is not restarted, or started by hand. A permanent child
  must be terminated by its parent, because any other end would restart it. This module finds the parent through the
  process dictionary that OTP's supervisors keep (`$ancestors`, `$initial_call`). In the other two cases, the host's
  topmost supervisor is stopped with `{:shutdown, :stopped}`, which tells a watcher that the host did not crash.
  """

  alias Exosuit.{Directory, Instance}

  @doc """
  Starts the end of the host. Does not wait, so a process of the host may call it. Raises `ArgumentError` if the host
  does not run.
  """
  @spec begin(Instance.t()) :: :ok
  def begin(%Instance{name: name}) do
    top = Directory.fetch!(name, :host)
    # Not linked, because the caller may end with the host.
    _stopper = spawn(fn -> end_host(top) end)
    :ok
  end

  @doc """
  Ends the host of this topmost process. Blocks the calling process until the host has ended. That process must not be
  one of the host's: each would wait for the other.
  """
  @spec end_host(pid()) :: :ok | {:error, :not_found}
  def end_host(host) do
    with parent when is_pid(parent) <- supervisor(host),
         {id, _pid, _type, _modules} <- child(parent, host),
         id = if(id == :undefined, do: host, else: id),
         true <- started_again?(parent, id) do
      Supervisor.terminate_child(parent, id)
    else
      # The exit reason tells a watcher that the host did not crash.
      _ends_for_good -> Supervisor.stop(host, {:shutdown, :stopped})
    end
  end

  defp started_again?(parent, id) do
    match?({:ok, %{restart: :permanent}}, :supervisor.get_childspec(parent, id))
  end

  defp supervisor(host) do
    with {:dictionary, dictionary} <- Process.info(host, :dictionary),
         [parent | _ancestors] <- dictionary[:"$ancestors"],
         parent when is_pid(parent) <- GenServer.whereis(parent),
         {:dictionary, dictionary} <- Process.info(parent, :dictionary),
         {:supervisor, _module, _arity} <- dictionary[:"$initial_call"] do
      parent
    else
      _started_by_hand -> nil
    end
  end

  defp child(parent, host) do
    parent |> Supervisor.which_children() |> List.keyfind(host, 1)
  end
end
