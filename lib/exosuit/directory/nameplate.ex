defmodule Exosuit.Directory.Nameplate do
  @moduledoc """
  Registers a host in the VM: its name, its `Exosuit.Instance`, and the data that calls need.

  | key | value | for |
  |---|---|---|
  | `{host, :host}` | the topmost process | stopping the host, and its children's names |
  | `{host, :instance}` | the `Exosuit.Instance` | all functions of the API that take a host's name |
  | `{host, :calls}` | `{router, call_timeout}` | `Exosuit.call/5`, which copies only these two terms |

  The host's own process registers them first, when it starts (`register/2`). After a crash of the registry, this
  process, a child of the host, registers all of them again. It traps exits and has an entry of its own, whose link
  tells it that the registry has ended.
  """

  use Exosuit.Server

  alias Exosuit.{Instance, Registries}

  @enforce_keys [:instance, :host]
  defstruct [:instance, :host]

  @typedoc "The instance, and the topmost process of the host."
  @type argument :: {Instance.t(), host :: pid()}

  @doc "`host` is the host's own process, which is found under the role `:host`."
  @spec start_link(argument()) :: GenServer.on_start()
  def start_link({instance, host}) do
    GenServer.start_link(__MODULE__, %__MODULE__{instance: instance, host: host})
  end

  @doc """
  Registers a host under its name, for the calling process. Returns `:already_registered` if another host of the VM has
  the name.
  """
  @spec register(Instance.t(), pid()) :: :ok | {:error, {:already_registered, pid()}}
  def register(instance, host) do
    entries = [
      {:host, host},
      {:instance, instance},
      {:calls, {instance.router, instance.config.call_timeout}}
    ]

    Enum.find_value(entries, :ok, fn {role, value} ->
      enter({instance.name, role}, value, host)
    end)
  end

  @doc """
  The process of the host of this name, if it lives. An entry whose process has just ended does not count.
  """
  @spec holder(atom()) :: pid() | nil
  def holder(name) do
    case Registries.lookup(Registries.names(), {name, :host}) do
      [{_owner, host}] -> if Process.alive?(host), do: host
      [] -> nil
    end
  end

  @impl GenServer
  def init(plate) do
    Process.flag(:trap_exit, true)
    {:ok, plate, {:continue, :register}}
  end

  @impl GenServer
  def handle_continue(:register, plate), do: register_again(plate)

  # The registry ended, or the message is irrelevant.
  @impl GenServer
  def handle_info({:EXIT, _process, _reason}, plate), do: register_again(plate)

  # The names belong to the host's own process. This entry exists for its link to the registry.
  defp register_again(%{instance: instance} = plate) do
    with nil <- enter({instance.name, __MODULE__}, nil, plate.host),
         :ok <- register(instance, plate.host) do
      {:noreply, plate}
    else
      {:error, reason} -> {:stop, reason, plate}
    end
  end

  defp enter(key, value, host) do
    case Registries.register(Registries.names(), key, value) do
      {:ok, _owner} -> nil
      {:error, {:already_registered, pid}} when pid in [host, self()] -> nil
      error -> error
    end
  end
end
