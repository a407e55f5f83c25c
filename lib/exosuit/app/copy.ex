defmodule Exosuit.App.Copy do
  @moduledoc """
  A host's copy of the applications in its data directory. The host runs its last share from it while the
  lattice cannot be reached.

  The file `applications.copy` holds a checksum and the copy of `Exosuit.App.Machine`. Each write replaces the whole
  file. A damaged file is set aside as `applications.copy.damaged`, and the host starts without a copy. Only its owner
  can read it, as configuration may hold secrets.

      "exosuit-applications-1"   the header, with the version of the format
      32 bytes                   the SHA-256 of the rest
      …                          the copy as a compressed Erlang term

  ## Why it is written this way

  - A new file gets its name by a rename when its bytes are on the disk. After a loss of power there is the old copy or
    the new one, never half of one.
  - The mode `0600` is set before the content is written. There is no moment at which others could read it.
  - Two writers may overlap while a member ends, so that each new file has a name of its own.
  - The term is read with `:safe`, which makes no atoms. The modules whose atoms it needs are loaded first. A copy of a
    version with other atoms counts as damaged.
  - The checksum finds bytes that a disk lost. It does not protect against a program that can write the file.

  The member reads the copy once, when it starts, and writes it at a tick if it changed (`Exosuit.App.Member`). One
  write is under way at a time; later changes wait for the next one.
  """

  alias Exosuit.{Error, Event, Instance, Lattice}
  alias Exosuit.App.{Machine, Model, Record}

  @file_name "applications.copy"
  @header "exosuit-applications-1"
  @schema 1

  @doc "Returns the copy of a host, or `nil`. If its file cannot be used, announces an event with the reason."
  @spec load(Instance.t()) :: Machine.copy() | nil
  def load(instance) do
    case read(instance) do
      {:ok, copy} ->
        copy

      {:error, error} ->
        announce_not_kept(instance, error)
        nil
    end
  end

  @doc "Announces by the event `applications_not_kept` why a copy cannot be read or written."
  @spec announce_not_kept(Instance.t(), Error.t()) :: :ok
  def announce_not_kept(instance, error) do
    text = Exception.message(error)
    Lattice.announce(instance, %Event.ApplicationsNotKept{reason: error.reason, error: text})
  end

  @doc """
  Returns the copy of a host, or `nil` if there is no file. If the file cannot be used, the error `:io` has the reason.
  Fills in the fields that a copy of an older Exosuit lacks. Blocks the calling process on the disk.
  """
  @spec read(Instance.t()) :: {:ok, Machine.copy() | nil} | {:error, Error.t()}
  def read(%Instance{config: %{data_dir: nil}}), do: {:ok, nil}

  def read(instance) do
    path = path(instance)

    case File.read(path) do
      {:ok, bytes} -> decode(bytes, path)
      {:error, :enoent} -> {:ok, nil}
      {:error, reason} -> {:error, unusable(path, :file.format_error(reason))}
    end
  end

  @doc """
  Replaces the copy of a host. Without a data directory, nothing is written. After the error `:io`, the former copy is
  still there. Blocks the calling process on the disk.
  """
  @spec write(Instance.t(), Machine.copy()) :: :ok | {:error, Error.t()}
  def write(%Instance{config: %{data_dir: nil}}, _copy), do: :ok

  def write(instance, copy) do
    path = path(instance)
    # A task may still write a copy while the member writes its last one.
    new = "#{path}.#{System.unique_integer([:positive])}.new"
    body = :erlang.term_to_binary(copy, [:compressed])

    # A new file is readable by all until its mode is set, so the content is written after that.
    with :ok <- File.mkdir_p(instance.config.data_dir),
         :ok <- File.write(new, ""),
         :ok <- File.chmod(new, 0o600),
         :ok <- File.write(new, [@header, :crypto.hash(:sha256, body), body], [:sync]),
         :ok <- File.rename(new, path) do
      :ok
    else
      {:error, reason} ->
        _absent = File.rm(new)
        {:error, Error.new(:io, "#{path} cannot be written: #{:file.format_error(reason)}")}
    end
  end

  defp path(instance), do: Path.join(instance.config.data_dir, @file_name)

  defp decode(<<@header, hash::32-bytes, body::binary>>, path) do
    # The atoms of a copy are those of these modules, which a VM loads when it first needs them.
    Enum.each(Application.spec(:exosuit, :modules) || [], &Code.ensure_loaded/1)

    with ^hash <- :crypto.hash(:sha256, body),
         %{schema: @schema} = copy <- :erlang.binary_to_term(body, [:safe]) do
      models = Map.new(copy.models, fn {digest, model} -> {digest, Model.upgrade(model)} end)
      {:ok, %{copy | records: Map.new(copy.records, &upgrade/1), models: models}}
    else
      _damaged_or_another_schema -> set_aside(path)
    end
  rescue
    # Another version of Exosuit may have written atoms that this one does not have.
    ArgumentError -> set_aside(path)
  end

  defp decode(_other, path), do: set_aside(path)

  defp upgrade({name, %Record{} = record}), do: {name, Record.upgrade(record)}
  # An earlier version kept only the schema.
  defp upgrade({name, {:newer, schema}}), do: {name, {:newer, schema, nil}}
  defp upgrade(newer), do: newer

  defp set_aside(path) do
    _kept = File.rename(path, path <> ".damaged")
    {:error, unusable(path, "it is damaged, or of another version")}
  end

  defp unusable(path, why) do
    Error.new(:io, "#{path} cannot be used: #{why}; the host starts without it")
  end
end
