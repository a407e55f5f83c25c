defmodule Exosuit.App.Machine.Lease do
  @moduledoc """
  The lease of a singleton, as one member sees it: only the host that holds it may run the singleton.

  A lease is a key of the store, and each write of it a compare-and-set. The holder renews it every fifth of its
  length. A write allows the holder to run the singleton for two thirds of the length, counted from before the
  write was sent. All other hosts wait for the whole length, counted from when they last saw the lease change.
  Each side measures its time by its own monotonic clock, so wall clocks do not matter, and the last third
  allows for clocks of different speeds and for the time that a stop takes.

  A holder that has ended the singleton gives the lease back, and the next holder takes it at once. After an
  interruption, the store may be a different one. Therefore a member forgets the leases that it saw before, and
  begins to wait again when the store's content has arrived.

  - `holder`: the id of the host that holds the lease in the store, or `nil`
  - `revision`: of the key, 0 if the store lacks it
  - `length`: in milliseconds, as the holder wrote it
  - `free_at`: the time from which this member may take the lease
  - `until`: the time until which this host may run the singleton; `nil` if it may not
  - `renew_at`: the time at which this host renews the lease
  """

  alias Exosuit.{Error, Json}
  alias Exosuit.App.Machine.Options

  @typedoc "The value of the key."
  @type value :: %{holder: String.t() | nil, length: pos_integer()}

  @typedoc "This host's id, its time, its options, and whether the store's content has arrived."
  @type facts :: %{own: String.t(), now: integer(), options: Options.t(), live?: boolean()}

  @type t :: %__MODULE__{
          holder: String.t() | nil,
          revision: non_neg_integer(),
          length: pos_integer(),
          free_at: integer(),
          until: integer() | :infinity | nil,
          renew_at: integer()
        }

  @enforce_keys [:length, :free_at]
  defstruct [:holder, :length, :free_at, :until, revision: 0, renew_at: 0]

  @max_bytes 1_024
  @max_length 600_000

  @doc "The lease of a key that the store has lacked since this time."
  @spec unknown(integer(), Options.t()) :: t()
  def unknown(since, options) do
    %__MODULE__{length: options.lease, free_at: since + wait(options.lease, options)}
  end

  @doc "Notes the value in the store. If the store has none, the value is `nil` and the revision 0."
  @spec changed(t(), value() | nil, non_neg_integer(), facts()) :: t()
  def changed(lease, _value, revision, %{live?: true})
      when revision in 1..lease.revision//1,
      do: lease

  def changed(lease, nil, _revision, facts) do
    restarted(%{lease | holder: nil, revision: 0}, facts)
  end

  # Its holder has ended the singleton.
  def changed(lease, %{holder: nil} = value, revision, %{live?: true} = facts) do
    %{taken(lease, value, revision) | free_at: facts.now, until: nil}
  end

  # If the store is older than the unexpired lease of this host, the host stays the holder: its next renewal
  # writes that. If this host sees that another host takes the lease, it is not the holder any more.
  def changed(lease, value, revision, facts) do
    lease = lease |> taken(value, revision) |> restarted(facts)
    if facts.live? and value.holder != facts.own, do: %{lease | until: nil}, else: lease
  end

  @doc "Notes that a write of this host was refused because the store holds this value, whatever the watch has shown."
  @spec conflict(t(), value() | nil, non_neg_integer(), facts()) :: t()
  def conflict(lease, value, revision, facts) do
    changed(lease, value, revision, %{facts | live?: false})
  end

  @doc "Begins the wait for the lease again."
  @spec restarted(t(), facts()) :: t()
  def restarted(lease, facts) do
    %{lease | free_at: facts.now + wait(max(lease.length, facts.options.lease), facts.options)}
  end

  @doc "Notes that a write of this host, sent at `sent_at`, was accepted."
  @spec written(t(), value(), integer(), pos_integer(), facts()) :: t()
  def written(lease, %{holder: nil} = value, _sent_at, revision, facts) do
    %{taken(lease, value, revision) | free_at: facts.now, until: nil}
  end

  def written(lease, value, sent_at, revision, facts) do
    %{
      restarted(taken(lease, value, revision), facts)
      | until: until(sent_at, value.length, facts.options),
        renew_at: sent_at + div(value.length, 5)
    }
  end

  @doc "Whether this host may run the singleton."
  @spec held?(t(), integer()) :: boolean()
  def held?(%__MODULE__{until: nil}, _now), do: false
  def held?(%__MODULE__{until: :infinity}, _now), do: true
  def held?(%__MODULE__{until: until}, now), do: now < until

  @doc "The value that this host should write, or `nil`. `wanted?`: whether it runs the singleton, or could."
  @spec due(t(), boolean(), facts()) :: value() | nil
  def due(lease, wanted?, facts) do
    held? = held?(lease, facts.now)

    cond do
      held? and not wanted? -> %{holder: nil, length: lease.length}
      held? and facts.now >= lease.renew_at -> own(facts)
      not held? and wanted? and facts.now >= lease.free_at -> own(facts)
      true -> nil
    end
  end

  @doc "A value as JSON."
  @spec encode(value()) :: {:ok, String.t()} | {:error, Error.t()}
  def encode(value), do: Json.encode(value)

  @doc "Reads a value; any text may be given."
  @spec decode(binary()) :: {:ok, value()} | {:error, Error.t()}
  def decode(text) when byte_size(text) <= @max_bytes do
    case Json.decode(text) do
      {:ok, %{"holder" => holder, "length" => length}}
      when (is_binary(holder) or holder == nil) and length in 1..@max_length ->
        {:ok, %{holder: holder, length: length}}

      {:error, error} ->
        {:error, error}

      {:ok, _other} ->
        invalid()
    end
  end

  def decode(_text), do: invalid()

  @doc "Reads a lease as `decode/1` does. An unreadable text counts as a lease of an unknown host."
  @spec read(binary()) :: value()
  def read(text) do
    case decode(text) do
      {:ok, value} -> value
      {:error, _invalid} -> unreadable()
    end
  end

  @doc "The value that stands for an unreadable one."
  @spec unreadable() :: value()
  def unreadable, do: %{holder: "?", length: 1}

  defp invalid do
    expected = "expected a holder and a length of 1 to #{@max_length} ms"
    {:error, Error.new(:invalid_input, "the lease is not valid: #{expected}")}
  end

  defp own(facts), do: %{holder: facts.own, length: facts.options.lease}

  defp taken(lease, value, revision) do
    %{lease | holder: value.holder, length: value.length, revision: revision}
  end

  defp until(sent_at, length, options) do
    if :lease_end in options.without, do: :infinity, else: sent_at + div(length * 2, 3)
  end

  defp wait(length, options), do: if(:lease_wait in options.without, do: 0, else: length)
end
