defmodule Exosuit.Distribution do
  @moduledoc """
  Erlang distribution for one purpose: `bin/exosuit remote`, which opens IEx on a running VM.

  A VM starts distribution only when asked: on a free port of the loopback address, without epmd, and with a new
  random cookie. The VM must have been started with `-epmd_module
  Elixir.Exosuit.Distribution.Ports`, as `bin/exosuit up` does. The VM of an app that embeds Exosuit therefore stays
  closed, unless the app sets this flag. If a VM has distribution already, for example in a release, and its port is
  known, that distribution is used.
  """

  alias Exosuit.Distribution.Ports
  alias Exosuit.Error

  @typedoc """
  The data with which another VM connects to this one. Anyone who has the cookie controls the VM.
  """
  @type door :: %{node: node(), port: :inet.port_number(), cookie: atom()}

  @loopback {127, 0, 0, 1}

  @doc "Opens the VM, unless it is open, and returns how to connect. Waits for the VM's kernel."
  @spec open() :: {:ok, door()} | {:error, Error.t()}
  def open do
    with :ok <- start(Node.alive?(), Ports.used?()),
         {:ok, port} <- fetch_port(:net_kernel.longnames()) do
      {:ok, %{node: node(), port: port, cookie: Node.get_cookie()}}
    end
  end

  defp start(true, _used), do: :ok

  defp start(false, true) do
    Application.put_env(:kernel, :inet_dist_use_interface, @loopback)

    case :net_kernel.start(name(), %{name_domain: :longnames, hidden: true}) do
      {:ok, _pid} -> :ok
      # Another host of this VM has just started it.
      {:error, {:already_started, _pid}} -> :ok
      {:error, reason} -> {:error, Error.new(:io, "distribution: #{inspect(reason)}")}
    end
  end

  defp start(false, false) do
    unavailable("this VM was not started with `-epmd_module #{Ports}`, as `exosuit up` does")
  end

  # One atom for each VM, made once.
  defp name, do: :"exosuit-#{System.pid()}@127.0.0.1"

  defp fetch_port(true) do
    with :error <- Ports.fetch(), :error <- configured_port(), do: others()
  end

  defp fetch_port(_short_names), do: others()

  # The port of a release: see guides/release.md.
  defp configured_port do
    with {:ok, [[text]]} <- :init.get_argument(:erl_epmd_port),
         {port, ""} <- text |> to_string() |> Integer.parse(),
         do: {:ok, port},
         else: (_none -> :error)
  end

  defp others do
    unavailable("this VM has its own, as #{node()}; `iex --remsh` reaches it")
  end

  defp unavailable(detail) do
    {:error, Error.new(:unavailable, "Erlang distribution for `exosuit remote`: #{detail}")}
  end
end
