defmodule Exosuit.Lattice.Local do
  @moduledoc """
  The lattice of one VM: events go from process to process, and nothing leaves.

  There is no process of its own to fail: subscriptions live in `Exosuit.Subscribers`, a registry,
  and end with the subscriber. Whoever publishes sends, and waits for nobody.
  """
  @behaviour Exosuit.Lattice

  @registry Exosuit.Subscribers

  @impl Exosuit.Lattice
  def publish(config, event) do
    Registry.dispatch(@registry, config.name, fn subscribers ->
      for {pid, _value} <- subscribers, do: send(pid, {:exosuit_event, event})
    end)
  end

  @impl Exosuit.Lattice
  def share(_config, _event), do: :ok

  @impl Exosuit.Lattice
  def leave(_config), do: :ok

  @impl Exosuit.Lattice
  def subscribe(host) do
    unsubscribe(host)
    {:ok, _owner} = Registry.register(@registry, host, nil)
    :ok
  end

  @impl Exosuit.Lattice
  def unsubscribe(host), do: Registry.unregister(@registry, host)
end
