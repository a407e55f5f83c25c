defmodule Exosuit.Host.Roster do
  @moduledoc false
  # Who shall run on a host: start, stop, scale. Each function waits for the outcome.

  alias Exosuit.{Config, Error}
  alias Exosuit.Host.{Reconciler, Specifications}

  @doc "Adds a specification and starts it; where it cannot start, nothing of it is left."
  @spec start(Config.t(), Specifications.specification()) :: :ok | {:error, Error.t()}
  def start(config, specification), do: Reconciler.run(config, specification)

  @doc "Ends what runs under this key; an actor's running calls finish first."
  @spec stop(Config.t(), Exosuit.Directory.key()) :: :ok | {:error, Error.t()}
  def stop(config, key) do
    with {:ok, _found} <- Specifications.fetch(config, key), do: Reconciler.stop(config, key)
  end

  @doc "Changes how many calls of an actor may run at a time; running ones are left alone."
  @spec scale(Config.t(), String.t(), pos_integer()) :: :ok | {:error, Error.t()}
  def scale(config, id, instances) do
    with {:ok, {actor, _loaded}} <- Specifications.fetch(config, {:actor, id}),
         :ok <- Specifications.change(config, %{actor | instances: instances}) do
      Exosuit.Lattice.announce(config, "actor_scaled", %{id: id, instances: instances})
    end
  end
end
