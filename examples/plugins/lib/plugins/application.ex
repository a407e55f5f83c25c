defmodule Plugins.Application do
  @moduledoc """
  The processes of the app.

      Plugins.Supervisor (one_for_one)
      ├── Plugins.Log       the last lines of each plugin
      ├── Plugins.Changes   a registry: the plugins that are being uploaded or removed, by name
      └── Plugins.Host      the host of Exosuit, which starts the uploaded plugins whenever it starts
  """
  use Application

  @impl Application
  def start(_type, _args) do
    children = [Plugins.Log, {Registry, keys: :unique, name: Plugins.Changes}, Plugins.Host]
    Supervisor.start_link(children, strategy: :one_for_one, name: Plugins.Supervisor)
  end
end
