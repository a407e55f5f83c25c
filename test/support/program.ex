defmodule Exosuit.Program do
  @moduledoc """
  `bin/exosuit` as a user runs it: programs of their own, what they print, and what they listen on.
  """

  import Exosuit.HostCase

  @root Path.expand("../..", __DIR__)
  @command Path.join(@root, "bin/exosuit")

  @doc "The path of `bin/exosuit`."
  @spec command() :: Path.t()
  def command, do: @command

  @doc "The manifest of the counter in a directory of its own, changed, and the port that it serves."
  @spec counter!((String.t() -> String.t())) :: {Path.t(), :inet.port_number()}
  def counter!(change \\ & &1) do
    dir = tmp_dir!()
    port = free_port()
    example = Path.join(@root, "examples/counter")
    File.cp!(Path.join(example, "counter_s.wasm"), Path.join(dir, "counter_s.wasm"))

    text = example |> Path.join("app.yaml") |> File.read!() |> change.()
    manifest = Path.join(dir, "app.yaml")
    File.write!(manifest, String.replace(text, "127.0.0.1:8080", "127.0.0.1:#{port}"))
    {manifest, port}
  end

  @doc "Runs `bin/exosuit up`; `options` are those of a port."
  @spec up!([String.t()], keyword()) :: port()
  def up!(arguments, options \\ []) do
    run!(@command, ["up" | arguments], options)
  end

  @doc "Runs a program; what it prints comes as messages of the port."
  @spec run!(Path.t(), [String.t()], keyword()) :: port()
  def run!(program, arguments, options \\ []) do
    options = [:binary, :exit_status, :stderr_to_stdout, args: arguments] ++ options
    Port.open({:spawn_executable, program}, options)
  end

  @doc "Runs a command line on a terminal of its own."
  @spec on_terminal!([String.t()], keyword()) :: port()
  def on_terminal!(command_line, options \\ []) do
    quoted = Enum.map_join(command_line, " ", &"'#{&1}'")
    {env, options} = Keyword.pop(options, :env, [])
    options = [env: [{~c"TERM", ~c"xterm"}, {~c"SHELL", ~c"/bin/sh"} | env]] ++ options
    run!(System.find_executable("script"), ["-qec", quoted, "/dev/null"], options)
  end

  @doc "What it printed so far, once a line of it begins as the regular expression `start` says."
  @spec await_line(port(), String.t(), String.t()) :: String.t()
  def await_line(port, start, output \\ ""), do: await_text(port, ~r/^#{start}/m, output)

  @doc "What it printed so far, once it matches."
  @spec await_text(port(), Regex.t(), String.t()) :: String.t()
  def await_text(port, expected, output \\ "") do
    if output =~ expected do
      output
    else
      receive do
        {^port, {:data, more}} -> await_text(port, expected, output <> more)
        {^port, {:exit_status, status}} -> raise "it ended with #{status}:\n#{output}"
      after
        120_000 -> raise "it printed no #{inspect(expected)}:\n#{output}"
      end
    end
  end

  @doc "Sends a signal, and waits for the exit status."
  @spec stop(port(), String.t()) :: non_neg_integer()
  def stop(port, signal) do
    {_output, 0} = System.cmd("kill", ["-#{signal}", "#{os_pid(port)}"])
    {status, _output} = await_exit(port)
    status
  end

  @doc "Kills it and its children, as a power cut would, and waits until they are gone."
  @spec kill_program(port()) :: :ok
  def kill_program(port) do
    kill_family(os_pid(port))
    {_status, _output} = await_exit(port)
    :ok
  end

  @doc "Has it killed when the test ends, however that is, if it is still there."
  @spec kill_on_exit(port()) :: port()
  def kill_on_exit(port) do
    pid = os_pid(port)
    # Its number may be another's by then.
    ours? = fn -> read("/proc/#{pid}/cmdline") =~ @root end
    ExUnit.Callbacks.on_exit(fn -> if ours?.(), do: kill_family(pid) end)
    port
  end

  @doc "The addresses that a program and its children listen on."
  @spec listening(port()) :: [{String.t(), :inet.port_number()}]
  def listening(port) do
    inodes = for pid <- family(os_pid(port)), inode <- sockets(pid), into: MapSet.new(), do: inode

    for table <- ["/proc/net/tcp", "/proc/net/tcp6"],
        line <- table |> File.read!() |> String.split("\n"),
        [_n, local, _remote, "0A", _, _, _, _, _, inode | _] <- [String.split(line)],
        inode in inodes,
        [address, hex_port] = String.split(local, ":"),
        do: {address, String.to_integer(hex_port, 16)}
  end

  @doc "All command lines of a program and its children."
  @spec command_lines(port()) :: String.t()
  def command_lines(port) do
    Enum.map_join(family(os_pid(port)), "\n", &read("/proc/#{&1}/cmdline"))
  end

  @doc "The process numbers of a program and its children."
  @spec programs(port()) :: [pos_integer()]
  def programs(port), do: family(os_pid(port))

  # One of them may have ended meanwhile.
  defp kill_family(pid) do
    {_output, _status} =
      System.cmd("kill", ["-KILL" | Enum.map(family(pid), &to_string/1)], stderr_to_stdout: true)
  end

  defp os_pid(port) do
    {:os_pid, pid} = Port.info(port, :os_pid)
    pid
  end

  defp family(pid) do
    children = for text <- pid |> children() |> String.split(), do: String.to_integer(text)
    [pid | Enum.flat_map(children, &family/1)]
  end

  defp children(pid) do
    Enum.map_join(Path.wildcard("/proc/#{pid}/task/*/children"), " ", &read/1)
  end

  defp sockets(pid) do
    for file <- Path.wildcard("/proc/#{pid}/fd/*"),
        {:ok, "socket:[" <> rest} <- [File.read_link(file)],
        do: String.trim_trailing(rest, "]")
  end

  # It may have ended meanwhile.
  defp read(path) do
    with {:ok, text} <- File.read(path), do: text, else: (_ended -> "")
  end
end
