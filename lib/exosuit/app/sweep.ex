defmodule Exosuit.App.Sweep do
  @moduledoc """
  Removes objects that no kept version of an application names.

  An object goes if it is older than a day, and no record named it in two sweeps in a row: an apply that uses an old
  object again has written its record by the second one. One member of a lattice sweeps, the first by its id.
  """

  alias Exosuit.Error
  alias Exosuit.App.Record
  alias Exosuit.Lattice.{Session, Store}
  alias Exosuit.Model.Digest

  @age 86_400_000

  @doc "The digests that records name: of models, manifests and files of all kept versions."
  @spec named([Record.t()]) :: MapSet.t(Digest.t())
  def named(records) do
    for record <- records,
        version <- record.versions,
        digest <- [version.model, version.manifest | version.objects],
        into: MapSet.new(),
        do: digest
  end

  @doc """
  Deletes what was found unnamed by the sweep before (`found`) and still is. Gives what this sweep found and left. The
  calling process waits. `now` is in milliseconds since 1970.
  """
  @spec run(Session.t(), MapSet.t(Digest.t()), MapSet.t(Digest.t()), integer()) ::
          {:ok, MapSet.t(Digest.t())} | {:error, Error.t()}
  def run(session, named, found, now) do
    with {:ok, objects} <- Store.objects(session) do
      unnamed =
        for %{digest: digest, at: at} <- objects,
            at <= now - @age and digest not in named,
            into: MapSet.new(),
            do: digest

      gone = MapSet.intersection(unnamed, found)
      with :ok <- delete(session, gone), do: {:ok, MapSet.difference(unnamed, gone)}
    end
  end

  defp delete(session, digests) do
    Enum.reduce_while(digests, :ok, fn digest, :ok ->
      case Store.delete_object(session, digest) do
        :ok -> {:cont, :ok}
        error -> {:halt, error}
      end
    end)
  end
end
