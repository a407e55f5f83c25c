defmodule Exosuit.Drain do
  @moduledoc false
  # Last up, first down: when a host stops, this process takes its time before the rest goes. New
  # calls are refused, listeners close, running calls finish or meet the drain deadline.

  use GenServer

  alias Exosuit.{Config, Lattice, Router}

  # Beyond the deadline itself: what the data plane needs to give up what is left.
  @margin 5_000

  @spec child_spec(Config.t()) :: Supervisor.child_spec()
  def child_spec(config) do
    %{
      id: __MODULE__,
      start: {GenServer, :start_link, [__MODULE__, config]},
      shutdown: config.drain_timeout + @margin
    }
  end

  @impl GenServer
  def init(config) do
    Process.flag(:trap_exit, true)
    {:ok, config}
  end

  @impl GenServer
  def handle_info({:EXIT, _from, _reason}, config), do: {:noreply, config}

  @impl GenServer
  def terminate(_reason, config) do
    Router.drain(config.router, config.drain_timeout)
    Lattice.announce(config, "host_stopped", %{labels: config.labels})
  end
end
