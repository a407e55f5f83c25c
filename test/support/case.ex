defmodule Exosuit.HostCase do
  @moduledoc """
  A test case with hosts of its own, each under a name of its own.
  """
  use ExUnit.CaseTemplate

  alias Exosuit.Guests

  using do
    quote do
      import Exosuit.HostCase
      alias Exosuit.{Error, Guests}
    end
  end

  # So many hosts are alive at once in a run, at the most; names are atoms, and are used again.
  @names for n <- 1..64, do: :"Elixir.Exosuit.HostCase.Host#{n}"

  @doc """
  Starts a host that takes unsigned actors from anybody, and on it the actors given as
  `actors: [echo: "echo"]`, id and guest. All other options are the host's.
  """
  @spec start_supervised_host!(keyword()) :: atom()
  def start_supervised_host!(options \\ []) do
    {actors, options} = Keyword.pop(options, :actors, [])
    host = free_name()
    defaults = [name: host, trusted_issuers: :any, unsigned: :allow, drain_timeout: 5_000]
    start_supervised!({Exosuit, Keyword.merge(defaults, options)}, id: host)
    for {id, guest} <- actors, do: start_actor!(host, id, guest)
    host
  end

  @doc "Starts an actor of an unsigned guest, with room for many calls at a time."
  @spec start_actor!(atom(), atom() | String.t(), String.t(), keyword()) :: String.t()
  def start_actor!(host, id, guest, options \\ []) do
    options = Keyword.merge([id: to_string(id), instances: 64], options)
    {:ok, id} = Exosuit.start_actor(host, Guests.path(guest), options)
    id
  end

  @doc "Kills a process and waits until it is gone."
  @spec kill(pid()) :: :ok
  def kill(pid) when is_pid(pid) do
    monitor = Process.monitor(pid)
    Process.exit(pid, :kill)
    receive do: ({:DOWN, ^monitor, :process, _pid, _reason} -> :ok)
  end

  @doc "Asks again until `fun` gives something true, for at most ten seconds."
  @spec eventually((() -> result)) :: result when result: term()
  def eventually(fun, tries \\ 1_000) do
    cond do
      result = fun.() -> result
      tries == 0 -> ExUnit.Assertions.flunk("it did not come true")
      true -> pause() && eventually(fun, tries - 1)
    end
  end

  @doc "A TCP port on the loopback address that was free a moment ago."
  @spec free_port() :: :inet.port_number()
  def free_port do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :ok = :gen_tcp.close(socket)
    port
  end

  @doc "A directory of the test's own, removed when it ends."
  @spec tmp_dir!() :: Path.t()
  def tmp_dir! do
    dir =
      Path.join(
        System.tmp_dir!(),
        "exosuit-test-#{System.pid()}-#{System.unique_integer([:positive])}"
      )

    File.mkdir_p!(dir)
    ExUnit.Callbacks.on_exit(fn -> File.rm_rf!(dir) end)
    dir
  end

  # Between two looks; nothing waits a fixed time for something to have happened.
  defp pause, do: receive(do: (:never -> true), after: (10 -> true))

  # Claimed for the life of the test's process, which a host that takes its time to stop outlives.
  defp free_name, do: Enum.find(Enum.shuffle(@names), &(claimed?(&1) and not runs?(&1)))

  defp claimed?(name) do
    match?({:ok, _owner}, Registry.register(Exosuit.Registry, {name, :claimed}, nil))
  end

  defp runs?(name), do: Registry.lookup(Exosuit.Registry, {name, Exosuit}) != []
end
