defmodule Exosuit.Directory.Names do
  @moduledoc false
  # The names of processes, `{host, role, value}`, for `{:via, Exosuit.Directory.Names, name}`. Works like Elixir's
  # `Registry`, with three differences. A registration waits while the registry restarts. If the registered value is a
  # process, a look-up returns that process. A process whose supervisor was killed is not found any more while it
  # ends, so that its successor can start. Values are kept beside the supervisors, as `{value, supervisors}`.

  alias Exosuit.Registries

  @type name :: {host :: atom(), role :: atom(), value :: term()}

  @spec register_name(name(), pid()) :: :yes | :no
  def register_name({host, role, value}, pid) when pid == self() do
    entry = {value, Registries.supervisors(top(host))}

    case Registries.register(Registries.names(), {host, role}, entry) do
      {:ok, _owner} -> :yes
      {:error, {:already_registered, _pid}} -> :no
    end
  end

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

  @spec unregister_name(name()) :: :ok
  def unregister_name({host, role, _value}) do
    Registries.unregister(Registries.names(), {host, role})
  end

  @spec send(name(), term()) :: pid()
  def send(name, message) do
    case whereis_name(name) do
      :undefined -> :erlang.error(:badarg, [name, message])
      pid -> Kernel.send(pid, message) && pid
    end
  end
end
