defmodule Exosuit.Registries do
  @moduledoc """
  The registries that all hosts of a VM share: the names of their processes, and the subscribers to their
  events.

  | registry | keys | values |
  |---|---|---|
  | `Exosuit.Registry` | `{host, role}`, unique | a value and the supervisors, see `Exosuit.Directory.Names` |
  | `Exosuit.Subscribers` | the host's name, or a subject of the local bus | see `Exosuit.Lattice.Events` |

  A registry, or a partition of it, may crash. Registered processes end with it, unless they trap exits, because
  Elixir's `Registry` links them. Their supervisors restart them, and `register/3` waits until the registry is back.
  Processes that trap exits lose their entry alone; `Exosuit.Directory.Anchor` and `Exosuit.Directory.Nameplate` are
  there for them.

  ## Killed supervisors

  A supervisor that is killed does not end its children in order: they notice its exit, and end on their own, a moment
  later. Its successor would find their names taken, and use up its restarts. Therefore each entry has the supervisors
  of its process. If one of them is dead, the process is ending: a look-up by `Exosuit.Directory.Names` does not find
  it, and `register/3` waits for its end, for five seconds at most.
  """

  @names Exosuit.Registry
  @subscribers Exosuit.Subscribers

  @pause 2
  @timeout 5_000

  @doc "The children of the application's supervisor."
  @spec children() :: [Supervisor.child_spec()]
  def children do
    for options <- [
          [keys: :unique, name: @names],
          [keys: :duplicate, name: @subscribers, partitions: 2]
        ] do
      Supervisor.child_spec({Registry, options}, start: {__MODULE__, :start_link, [options]})
    end
  end

  @doc """
  Starts a registry. First waits for the partitions of a killed registry, which take a moment to end;
  otherwise its supervisor would use up its restarts.
  """
  @spec start_link(keyword()) :: Supervisor.on_start()
  def start_link(options) do
    with {:error, {:shutdown, {:failed_to_start_child, _id, {:already_started, partition}}}} <-
           Registry.start_link(options) do
      monitor = Process.monitor(partition)
      receive do: ({:DOWN, ^monitor, :process, _pid, _reason} -> start_link(options))
    end
  end

  @doc "The registry of names."
  @spec names() :: Registry.registry()
  def names, do: @names

  @doc "The registry of those who subscribe to events."
  @spec subscribers() :: Registry.registry()
  def subscribers, do: @subscribers

  @doc """
  Registers the calling process. Waits while the registry restarts, and while a process with the same key
  ends whose supervisor, or one above it in its host, was killed.

  Returns `{:error, {:already_registered, pid}}` for a process that lives on. Raises `ArgumentError` if the registry is
  missing for longer than five seconds. Blocks the calling process.
  """
  @spec register(Registry.registry(), term(), term()) ::
          {:ok, pid()} | {:error, {:already_registered, pid()}}
  def register(registry, key, value) do
    await(registry, now() + @timeout)

    with {:error, {:already_registered, owner}} = taken <- Registry.register(registry, key, value) do
      if orphan?(registry, key, owner) and ended?(owner),
        do: register(registry, key, value),
        else: taken
    end
  end

  @doc """
  The supervisors of the calling process: all up to `top`, or its own alone if that is not among them. Supervisors that
  are known by name only are left out.
  """
  @spec supervisors(pid() | nil) :: [pid()]
  def supervisors(top), do: supervisors(Process.get(:"$ancestors"), top)

  @doc """
  Whether all of these supervisors live. The children of a killed supervisor take a moment to end.
  """
  @spec supervised?([pid()]) :: boolean()
  def supervised?(supervisors), do: Enum.all?(supervisors, &Process.alive?/1)

  @doc "Removes the calling process's entry under a key."
  @spec unregister(Registry.registry(), term()) :: :ok
  def unregister(registry, key) do
    Registry.unregister(registry, key)
  rescue
    # The entry ended with the registry.
    ArgumentError -> :ok
  end

  @doc "The entries of a key; empty while the registry restarts."
  @spec lookup(Registry.registry(), term()) :: [{pid(), term()}]
  def lookup(registry, key) do
    Registry.lookup(registry, key)
  rescue
    ArgumentError -> []
  end

  defp orphan?(_registry, _key, owner) when owner == self(), do: false

  # Its own supervisor may outlive a killed one further up for a moment: the entry has all of them.
  defp orphan?(registry, key, owner) do
    case lookup(registry, key) do
      [{^owner, {_value, [_ | _] = supervisors}}] -> not supervised?(supervisors)
      _no_supervisors -> orphan?(owner)
    end
  end

  # The owner may have ended in the meantime.
  defp orphan?(owner) do
    case Process.info(owner, :dictionary) do
      {:dictionary, dictionary} -> not supervised?(supervisors(dictionary[:"$ancestors"], nil))
      nil -> true
    end
  end

  # Does not wait for a stuck process: the key is refused then.
  defp ended?(owner) do
    monitor = Process.monitor(owner)

    receive do
      {:DOWN, ^monitor, :process, _pid, _reason} -> true
    after
      @timeout ->
        Process.demonitor(monitor, [:flush])
        false
    end
  end

  defp supervisors(ancestors, top) do
    ancestors = List.wrap(ancestors)
    {below, rest} = Enum.split_while(ancestors, &(&1 != top))
    up_to = if rest == [], do: Enum.take(ancestors, 1), else: below ++ [top]
    Enum.filter(up_to, &is_pid/1)
  end

  defp await(registry, until) do
    unless ready?(registry) or now() > until do
      receive do
      after
        @pause -> await(registry, until)
      end
    end
  end

  # To register with a partition that has just ended would end the calling process as well.
  defp ready?(registry) do
    partitions = Supervisor.which_children(registry)
    Enum.all?(partitions, fn {_id, pid, _, _} -> is_pid(pid) and Process.alive?(pid) end)
  catch
    :exit, _no_registry -> false
  end

  defp now, do: System.monotonic_time(:millisecond)
end
