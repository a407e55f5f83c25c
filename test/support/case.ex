defmodule Exosuit.HostCase do
  @moduledoc """
  `Exosuit.Case` for the tests here: the guests of `test/guests`, and what breaks a host.
  """
  use ExUnit.CaseTemplate

  alias Exosuit.{Guests, MessagePack}

  using do
    quote do
      import Exosuit.Case, only: [eventually: 1]
      import Exosuit.HostCase
      alias Exosuit.{Error, Guests}
    end
  end

  @doc """
  Starts a host that takes unsigned actors from anybody, and on it the actors given as
  `actors: [echo: "echo"]`, id and guest. All other options are the host's.
  """
  @spec start_supervised_host!(keyword()) :: atom()
  def start_supervised_host!(options \\ []) do
    {actors, options} = Keyword.pop(options, :actors, [])
    host = Exosuit.Case.start_host!(Keyword.put_new(options, :drain_timeout, 5_000))
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

  @doc "A manifest of one actor, `app-worker`, from `app.wasm` beside it."
  @spec worker_manifest() :: String.t()
  def worker_manifest do
    """
    apiVersion: core.oam.dev/v1beta1
    kind: Application
    metadata:
      name: app
      annotations:
        version: v0.0.1
    spec:
      components:
        - name: worker
          type: actor
          properties:
            image: file://./app.wasm
    """
  end

  @doc """
  Writes a manifest of the application `app` with the component `echo`, whose file is beside it, into a directory of
  its own, and returns its path. `more` follows the properties of the component.
  """
  @spec echo_manifest!(String.t()) :: Path.t()
  def echo_manifest!(more \\ "") do
    dir = tmp_dir!()
    path = Path.join(dir, "app.yaml")
    File.cp!(Guests.path("echo"), Path.join(dir, "echo.wasm"))

    File.write!(path, """
    apiVersion: core.oam.dev/v1beta1
    kind: Application
    metadata:
      name: app
    spec:
      components:
        - name: echo
          type: component
          properties:
            image: echo.wasm
    #{more}
    """)

    path
  end

  @doc """
  Lets the guest `caller`, which has this id, call an operation of `wasmcloud:keyvalue`: `"Get"`. Returns the answer,
  `nil` for an empty one.
  """
  @spec keyvalue(Exosuit.host(), String.t(), term()) :: term()
  def keyvalue(host, operation, arguments) do
    payload = MessagePack.encode!(arguments)
    request = ["default", 0, "wasmcloud:keyvalue", 0, "KeyValue.#{operation}", 0, payload]
    {:ok, answer} = Exosuit.call(host, "caller", "call", IO.iodata_to_binary(request))
    if answer != "", do: MessagePack.decode!(answer)
  end

  @doc "What a program printed, and its status, once it has ended; `port` is open on it."
  @spec await_exit(port(), String.t()) :: {non_neg_integer(), String.t()}
  def await_exit(port, output \\ "") do
    receive do
      {^port, {:data, more}} -> await_exit(port, output <> more)
      {^port, {:exit_status, status}} -> {status, output}
    end
  end
end
