defmodule Exosuit.Directory.Names do
  @moduledoc """
  The names of processes, `{host, role, value}`, for `{:via, Exosuit.Directory.Names, name}`.

  Works like Elixir's `Registry`, with three differences:

  - a registration waits while the registry restarts, so that processes that restart with it find it
  - if the registered value is a process, a look-up returns that process
  - a process whose supervisor was killed is not found any more while it ends, so that its successor can start

  Values are kept beside the supervisors of the process, as `{value, supervisors}`. Names are terms, not atoms: the
  number of hosts and roles that a VM has seen uses up nothing.
  """

  alias Exosuit.Registries

  @typedoc """
  The name of a host, the role of the process on it, and a value that other processes can read.
  """
  @type name :: {host :: atom(), role :: atom(), value :: term()}

  @doc "Registers the calling process. `:no` if another process has the name. For `:via`."
  @spec register_name(name(), pid()) :: :yes | :no
  def register_name({host, role, value}, pid) when pid == self() do
    entry = {value, Registries.supervisors(top(host))}

    case Registries.register(Registries.names(), {host, role}, entry) do
      {:ok, _owner} -> :yes
      {:error, {:already_registered, _pid}} -> :no
    end
  end

  @doc "The process of a name. For `:via`."
  @spec whereis_name(name()) :: pid() | :undefined
  def whereis_name({host, role, _value}) do
    case Registries.lookup(Registries.names(), {host, role}) do
      [{_owner, process}] when is_pid(process) -> process
      [{owner, entry}] -> if supervised?(entry), do: owner, else: :undefined
      [] -> :undefined
    end
  end

  # The topmost process of a host, as `Exosuit.Directory.Nameplate` registered it.
  defp top(host) do
    with [{_owner, top}] <- Registries.lookup(Registries.names(), {host, :host}),
         do: top,
         else: ([] -> nil)
  end

  defp supervised?({_value, supervisors}), do: Registries.supervised?(supervisors)
  defp supervised?(_of_the_host_itself), do: true

  @doc "Removes the name of the calling process. For `:via`."
  @spec unregister_name(name()) :: :ok
  def unregister_name({host, role, _value}) do
    Registries.unregister(Registries.names(), {host, role})
  end

  @doc """
  Sends a message to the process of a name. Raises if there is none, as `send/2` does for an unknown name.
  """
  @spec send(name(), term()) :: pid()
  def send(name, message) do
    case whereis_name(name) do
      :undefined -> :erlang.error(:badarg, [name, message])
      pid -> Kernel.send(pid, message) && pid
    end
  end
end
