defmodule Exosuit.Distribution do
  @moduledoc """
  Erlang distribution for one purpose: `bin/exosuit remote`, which is IEx on a VM that runs.

  A VM opens it when it is asked to and not before: on a free port of the loopback address, without
  epmd, and with a random cookie, which nobody had before. It must have been started with
  `-epmd_module Elixir.Exosuit.Distribution.Ports`, as `bin/exosuit up` does: the VM of an app that
  embeds Exosuit is not opened unless the app has it so. A VM that has distribution already, as that
  of a release, is taken as it is where its port is known.
  """

  alias Exosuit.Distribution.Ports
  alias Exosuit.Error

  @typedoc "All that a VM needs to reach this one. The cookie opens it."
  @type door :: %{node: node(), port: :inet.port_number(), cookie: atom()}

  @loopback {127, 0, 0, 1}

  @doc "Opens the VM, unless it is open, and says where. Waits for the VM's kernel."
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
      # By another host of this VM, a moment ago.
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

  # Where a release listens: guides/release.md.
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
