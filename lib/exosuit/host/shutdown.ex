defmodule Exosuit.Host.Shutdown do
  @moduledoc """
  Ends a whole host as its supervisor would, so that it is not started again.

  While it ends, `Exosuit.Drain` lets running calls finish.
  """

  alias Exosuit.{Directory, Instance}

  @doc "Begins to end the host. Returns at once, so a process of the host may call it."
  @spec begin(Instance.t()) :: :ok
  def begin(%Instance{name: name}) do
    top = Directory.fetch!(name, :host)
    # Not linked, because the caller may end with the host.
    _stopper = spawn(fn -> end_host(top) end)
    :ok
  end

  @doc """
  Ends the host whose topmost process this is. Blocks the calling process, which must not belong to the host.
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
