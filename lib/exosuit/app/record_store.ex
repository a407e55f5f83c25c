defmodule Exosuit.App.RecordStore do
  @moduledoc """
  The records of applications in the lattice's store. Each function blocks the calling process.

  `Exosuit.App.Reader` answers from this host's memory instead. Use this module to change a record, and to read one that
  must not be older than the last write: the answer to a command, or the API of wadm.

  | error | when |
  |---|---|
  | `:not_found` | the store has no such record, or the text is not a name of an application |
  | `:unavailable` | the store cannot be reached, or a newer Exosuit wrote the record |
  | `:conflict` | other hosts changed the record at each of 64 attempts |
  | `:invalid_input`, `:limit` | the record in the store is damaged, or would be too large |
  """

  alias Exosuit.{Error, Instance}
  alias Exosuit.App.{Overview, Record}
  alias Exosuit.Lattice.Store

  @typedoc """
  The result of a change: the application's name, the version that should run, the edition and the origin of the
  record, and whether anything is new.
  """
  @type stored :: %{
          app: String.t(),
          version: pos_integer(),
          edition: pos_integer(),
          origin: String.t() | nil,
          changed: boolean()
        }

  @typedoc """
  Changes a record, which is `nil` if there is no such application. It may be called several times, with newer records,
  so it must have no effect but its result.
  """
  @type change :: (Record.t() | nil -> {:ok, Record.t()} | :unchanged | {:error, term()})

  @bucket :applications

  @doc "Reads the record of an application from the store."
  @spec fetch(Instance.t(), String.t()) :: {:ok, Record.t()} | {:error, Error.t()}
  def fetch(instance, app) do
    with true <- Record.name?(app),
         {:ok, text} <- Store.get(instance.lattice, @bucket, key(app)),
         {:ok, %Record{} = record} <- decode(app, text) do
      {:ok, record}
    else
      {:error, error} -> {:error, error}
      _absent -> {:error, Overview.absent(app)}
    end
  end

  @doc """
  Reads the records of all applications from the store, by name. Leaves out unreadable records.
  """
  @spec list(Instance.t()) :: {:ok, [Record.t()]} | {:error, Error.t()}
  def list(instance) do
    with {:ok, values} <- Store.values(instance.lattice, @bucket) do
      {:ok,
       for {"app." <> app, text} <- Enum.sort(values),
           {:ok, %Record{} = record} <- [Record.decode(app, text)] do
         record
       end}
    end
  end

  @doc """
  Changes a record by compare-and-set. If another host wrote in between, tries again. For `:unchanged`, nothing is
  written, and the result describes the record as it is. An error of `change` is returned as it is.
  """
  @spec update(Instance.t(), String.t(), change()) :: {:ok, stored()} | {:error, term()}
  def update(instance, app, change) do
    with {:ok, written} <- write(instance, app, change),
         {:ok, record} <- if(written, do: {:ok, written}, else: fetch(instance, app)) do
      {:ok,
       %{
         app: app,
         version: record.version,
         edition: record.edition,
         origin: record.origin,
         changed: written != nil
       }}
    end
  end

  @doc "Changes a record as `update/3` does. Returns the written record, or `nil` for `:unchanged`."
  @spec write(Instance.t(), String.t(), change()) :: {:ok, Record.t() | nil} | {:error, term()}
  def write(instance, app, change) do
    written =
      Store.write(instance.lattice, @bucket, key(app), fn text ->
        with {:ok, record} <- decode(app, text),
             {:ok, changed} <- change.(record),
             {:ok, text} <- Record.encode(changed) do
          {:put, text}
        else
          :unchanged -> :keep
          error -> error
        end
      end)

    case written do
      {:ok, {text, _revision}} -> decode(app, text)
      other -> other
    end
  end

  @doc """
  Deletes the record of an application, also one that cannot be read. Not by compare-and-set: a version that somebody
  applies at that moment is deleted with it.
  """
  @spec delete(Instance.t(), String.t()) :: :ok | {:error, Error.t()}
  def delete(instance, app) do
    with :ok <- check_there(instance, app), do: Store.delete(instance.lattice, @bucket, key(app))
  end

  @doc "Deletes other keys of an application: slots and statuses that no member deletes. Ignores errors."
  @spec delete_keys(Instance.t(), [String.t()]) :: :ok
  def delete_keys(instance, keys) do
    Enum.each(keys, &Store.delete(instance.lattice, @bucket, &1))
  end

  defp check_there(instance, app) do
    with true <- Record.name?(app),
         {:ok, text} when text != nil <- Store.get(instance.lattice, @bucket, key(app)) do
      :ok
    else
      {:error, error} -> {:error, error}
      _absent -> {:error, Overview.absent(app)}
    end
  end

  defp decode(_app, nil), do: {:ok, nil}

  defp decode(app, text) do
    case Record.decode(app, text) do
      {:newer, schema} ->
        detail = "a newer Exosuit wrote application #{app} (schema #{schema}): update this host"
        {:error, Error.new(:unavailable, detail)}

      result ->
        result
    end
  end

  defp key(app), do: "app." <> app
end
