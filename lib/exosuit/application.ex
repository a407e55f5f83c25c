defmodule Exosuit.Application do
  @moduledoc """
  Starts the parts that the hosts of a VM share: the registries of their processes, and the engine.

      Exosuit.Supervisor (one_for_one)
      ├── Exosuit.Registry      the names of the hosts' processes, see `Exosuit.Registries`
      ├── Exosuit.Subscribers   the subscribers to events
      ├── a host                with `config :exosuit, host: [...]`, or of `exosuit up`
      └── a task                that waits for that host's end, or runs `exosuit up`

  An app that embeds Exosuit starts its own hosts, `{Exosuit, name: ...}`, below its own supervisor. This module starts
  a host only if `config :exosuit, host: [...]` asks for one, as in a release.

  The engine is in Rust, and lives as long as the VM: it is started once, before any process, and its limits cannot be
  changed afterwards. They come from `config :exosuit, engine: [...]`, which takes precedence over the environment
  variables (`Exosuit.Environment.Engine`). A wrong variable keeps the application from starting, with its mistake as
  the reason.

  Compiled code is kept in `cache_dir`: by default a directory in the user's cache, with `cache_dir: nil` nowhere.
  """
  use Application

  alias Exosuit.{Config, Environment, Up}

  # A registry that crashes repeatedly must not end the hosts.
  @restarts 1_000

  @impl Application
  def start(_type, _args) do
    with {:ok, engine} <- engine(),
         {:ok, _allocator} <- Exosuit.Wasm.start_engine(cache_dir(), engine),
         {:ok, supervisor} <- start_supervisor(),
         :ok <- start_host(Application.get_env(:exosuit, :host)),
         :ok <- start_up(System.get_env("RELEASE_NAME"), System.get_env("EXOSUIT_UP")) do
      {:ok, supervisor}
    end
  end

  defp start_supervisor do
    Supervisor.start_link(Exosuit.Registries.children(),
      strategy: :one_for_one,
      max_restarts: @restarts,
      name: Exosuit.Supervisor
    )
  end

  defp start_host(nil), do: :ok

  defp start_host(options) do
    case Up.run(options, Application.get_env(:exosuit, :manifests, [])) do
      {:ok, host} ->
        watcher = {Task, fn -> Up.watch(host) end}
        with {:ok, _pid} <- Supervisor.start_child(Exosuit.Supervisor, watcher), do: :ok

      {:error, reason} ->
        Up.failed(reason)
        {:error, :host_not_started}
    end
  end

  # Runs `exosuit up` in a release. In a clone, bin/lib/vm does that.
  defp start_up(release, request) when is_binary(release) and is_binary(request) do
    with {:ok, _pid} <- Supervisor.start_child(Exosuit.Supervisor, {Task, &Up.main/0}), do: :ok
  end

  defp start_up(_release, _request), do: :ok

  # The options of the application take precedence over the environment, which `exosuit up` reads.
  defp engine do
    environment = Environment.Engine.read(System.get_env())
    configured = Application.get_env(:exosuit, :engine, [])

    case for {_name, {:mistake, text}} <- environment, do: text do
      [] -> {:ok, environment |> Keyword.merge(configured) |> Config.Engine.new!()}
      [mistake | _more] -> {:error, mistake}
    end
  end

  # Compiled code is kept across starts unless it is switched off with `cache_dir: nil`.
  defp cache_dir do
    case Application.fetch_env(:exosuit, :cache_dir) do
      {:ok, configured} -> configured
      :error -> Environment.cache_dir(System.get_env()) || usual_cache_dir()
    end
  end

  defp usual_cache_dir, do: :filename.basedir(:user_cache, "exosuit/code")
end
