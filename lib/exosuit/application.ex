defmodule Exosuit.Application do
  @moduledoc false
  # What the hosts of a VM share: the registries that their processes are found by, and the engine.
  # No host is started here: an app starts its own, `{Exosuit, name: ...}`.
  use Application

  @impl Application
  def start(_type, _args) do
    with {:ok, _allocator} <- Exosuit.Wasm.start_engine(cache_dir()) do
      children = [
        {Registry, keys: :unique, name: Exosuit.Registry},
        {Registry, keys: :duplicate, name: Exosuit.Subscribers, partitions: 2}
      ]

      Supervisor.start_link(children, strategy: :one_for_one, name: Exosuit.Supervisor)
    end
  end

  # Compiled code is kept across starts unless it is switched off with `cache_dir: nil`.
  defp cache_dir do
    Application.get_env(:exosuit, :cache_dir, :filename.basedir(:user_cache, "exosuit/code"))
  end
end
