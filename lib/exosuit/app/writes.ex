defmodule Exosuit.App.Writes do
  @moduledoc """
  What a member writes to the lattice's store, as the actions of `Exosuit.App.Machine` ask for it. Each function blocks
  the calling process on the store, and gives what the machine expects of a write: `{:ok, revision}`, `:conflict` if
  others wrote meanwhile, or an error.
  """

  alias Exosuit.{Config, Error}
  alias Exosuit.App.{Keys, Record, Status}
  alias Exosuit.App.Machine.Slots
  alias Exosuit.Lattice.Store

  @type result :: {:ok, term()} | :conflict | {:error, Error.t()}

  @bucket :applications

  @doc "Writes a record, if the store still holds this revision of it."
  @spec record(Config.t(), Record.t(), non_neg_integer()) :: result()
  def record(config, record, revision) do
    with {:ok, text} <- Record.encode(record),
         do: compare_and_set(config, {:record, record.name}, text, revision)
  end

  @doc "Writes a record, if the store lacks it."
  @spec put_back(Config.t(), Record.t()) :: result()
  def put_back(config, record) do
    key = {:record, record.name}

    with {:ok, text} <- Record.encode(record),
         {:ok, {nil, revision}} <- read(config, key) do
      compare_and_set(config, key, text, revision)
    else
      {:ok, _there} -> :conflict
      error -> error
    end
  end

  @doc "Writes or deletes what this host says about an application. Nobody else writes it."
  @spec status(Config.t(), String.t(), Status.t() | nil) :: result()
  def status(config, app, nil) do
    key = Keys.encode({:status, config.source, app})
    with :ok <- Store.delete(config.session, @bucket, key), do: {:ok, 0}
  end

  def status(config, app, status) do
    key = Keys.encode({:status, config.source, app})

    with {:ok, text} <- Status.encode(status),
         {:ok, {_text, revision}} <-
           Store.write(config.session, @bucket, key, fn _old -> {:put, text} end),
         do: {:ok, revision}
  end

  @doc "Writes who is being updated."
  @spec slots(Config.t(), String.t(), Slots.t(), non_neg_integer()) :: result()
  def slots(config, app, slots, revision) do
    with {:ok, text} <- Slots.encode(slots),
         {:ok, revision} <- present(config, {:slots, app}, revision),
         do: compare_and_set(config, {:slots, app}, text, revision)
  end

  # A key that was deleted has the revision of its deletion, which watches do not tell.
  defp present(config, key, 0) do
    case read(config, key) do
      {:ok, {nil, revision}} -> {:ok, revision}
      {:ok, _there} -> :conflict
      error -> error
    end
  end

  defp present(_config, _key, revision), do: {:ok, revision}

  @doc "Gives the store a new generation, if it still has the old one. The result has the new one."
  @spec generation(Config.t(), String.t() | nil) :: result()
  def generation(config, old) do
    new = Base.encode16(:crypto.strong_rand_bytes(16), case: :lower)

    with {:ok, {^old, revision}} <- read(config, :generation),
         {:ok, _revision} <- compare_and_set(config, :generation, new, revision) do
      {:ok, new}
    else
      {:ok, _another} -> :conflict
      conflict_or_error -> conflict_or_error
    end
  end

  defp read(config, key), do: Store.read(config.session, @bucket, Keys.encode(key))

  defp compare_and_set(config, key, text, revision) do
    Store.compare_and_set(config.session, @bucket, Keys.encode(key), text, revision)
  end
end
