defmodule Exosuit.Soak.Faults do
  @moduledoc """
  The faults of a soak: each is done to the world, undone where it does not end by itself, and gives a
  line that says what was done. Which come, and in which order, follows from the seed of `:rand`.
  """

  alias Exosuit.{Directory, HostCase, Nats}
  alias Exosuit.Soak.World

  @faults ~w(kill_role kill_role kill_role kill_host stop_nats fill_disk slow_clients bad_settings
             expire_token)a

  @doc "Every fault on every host, once each."
  @spec all(World.t()) :: [{atom(), World.host()}]
  def all(world), do: for(fault <- Enum.uniq(@faults), host <- world.hosts, do: {fault, host})

  @doc "The next fault: its name and the host that it is for."
  @spec draw(World.t()) :: {atom(), World.host()}
  def draw(world), do: {Enum.random(@faults), Enum.random(world.hosts)}

  @doc "Does it. Gives the world, and what was done."
  @spec commit(World.t(), {atom(), World.host()}) :: {World.t(), String.t()}
  def commit(world, {:kill_role, host}) do
    {role, pid} = Enum.random(processes(host.name))
    HostCase.kill(pid)
    {world, "host #{host.number}: killed #{role}"}
  end

  # Whoever supervises the host starts it again, and then it is given its work.
  def commit(world, {:kill_host, host}) do
    host.name |> supervisor() |> HostCase.kill()
    Exosuit.Case.eventually(fn -> is_pid(supervisor(host.name)) and deployed?(world, host) end)
    {world, "host #{host.number}: killed whole"}
  end

  def commit(world, {:stop_nats, _host}) do
    nats = Nats.kill(world.nats)
    seconds = Enum.random(1..10)
    pause(seconds)
    {%{world | nats: Nats.restart!(nats)}, "NATS: killed, away for #{seconds} s"}
  end

  def commit(world, {:fill_disk, host}) do
    ballast = Path.join(host.disk, "ballast")
    # It ends when no byte is left.
    System.cmd("dd", ["if=/dev/zero", "of=#{ballast}", "bs=64k"], stderr_to_stdout: true)
    seconds = Enum.random(2..8)
    pause(seconds)
    File.rm!(ballast)
    {world, "host #{host.number}: its disk was full for #{seconds} s"}
  end

  def commit(world, {:slow_clients, host}) do
    sockets = for {_port, listener} <- host.ports, _ <- 1..10, do: dribble(listener)
    seconds = Enum.random(2..5)
    pause(seconds)
    for {:ok, socket} <- sockets, do: :gen_tcp.close(socket)
    {world, "host #{host.number}: #{length(sockets)} slow clients for #{seconds} s"}
  end

  def commit(world, {:bad_settings, host}) do
    refused =
      for bad <- [
            %{"address" => "nowhere"},
            %{"timeout_ms" => "soon"},
            %{"address" => "127.0.0.1:99999"}
          ] do
        {:error, _refused} = Exosuit.put_link(host.name, World.serves("counter", 8080, bad))
      end

    {world, "host #{host.number}: #{length(refused)} bad settings of a link, refused"}
  end

  def commit(world, {:expire_token, host}) do
    id = "mayfly-#{host.number}"
    World.renew_mayfly!(world, host, 2)
    Exosuit.Case.eventually(fn -> match?({:error, _}, echo(host, id)) end)
    World.renew_mayfly!(world, host, 3_600)
    {world, "host #{host.number}: the token of #{id} expired, and was renewed"}
  end

  @doc "Whether all that runs on a host answers."
  @spec recovered?(World.host()) :: boolean()
  def recovered?(host) do
    match?({:ok, _answer}, echo(host, "mayfly-#{host.number}")) and
      Enum.all?(World.services(host), &Exosuit.Soak.Load.answers?/1)
  end

  defp echo(host, id) do
    Exosuit.call(host.name, id, "echo", "", timeout: 5_000)
  catch
    # The host is not there.
    :error, %ArgumentError{} -> {:error, :absent}
  end

  defp deployed?(world, host) do
    World.deploy!(world, host) == :ok
  rescue
    # It is not whole yet, or falls once more.
    _not_yet in [ArgumentError, MatchError] -> false
  catch
    :exit, _not_yet -> false
  end

  # All processes below a host's supervisor, by what their supervisors call them.
  defp processes(name), do: name |> supervisor() |> children()

  defp children(supervisor) do
    for {id, pid, type, _modules} <- Supervisor.which_children(supervisor),
        is_pid(pid),
        found <- [{label(id), pid} | if(type == :supervisor, do: children(pid), else: [])],
        do: found
  catch
    # It fell just now.
    :exit, _gone -> []
  end

  defp label(:undefined), do: "an actor or a provider"
  defp label(id), do: inspect(id)

  defp supervisor(name), do: GenServer.whereis(Directory.via(name, :host))

  # A request that never ends.
  defp dribble(port) do
    with {:ok, socket} <- :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false]) do
      :gen_tcp.send(socket, "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 70\r\n\r\n")
      {:ok, socket}
    end
  end

  @doc "Waits; the clients go on meanwhile."
  @spec pause(pos_integer()) :: :ok
  def pause(seconds) do
    reference = make_ref()
    Process.send_after(self(), reference, seconds * 1_000)
    receive do: (^reference -> :ok)
  end
end
