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

  ## The life of a lease

  With the usual length of 15 s:

      time   holder N1                                another member N2
      0      sends the write
      0.1    accepted: may run until 10, renews at 3  sees it: waits until 15.1
      3      renews: may run until 13                 sees it: waits until 18
      …
             crashes, or cannot reach the store
      13     `Exosuit.Host.Leases` kills the process
      18                                              takes the lease, and starts the singleton

  N1 counts from before its write was sent, N2 from after it has seen the write. So N1 always ends before N2 begins, as
  long as no clock runs a third slower than another one.

  ## Why each side is careful

  | case | rule |
  |---|---|
  | the answer to a write is lost | the host may not run: only an accepted write allows it |
  | the watch is late | N2 waits longer, never shorter |
  | the store was restored from a backup | the holder that still runs writes again; all others wait anew |
  | the store lost the lease | it counts as held by somebody, until the whole length has passed |
  | somebody else takes the lease before the holder's eyes | the holder ends at once |
  | the value cannot be read | it counts as held by somebody, who has just renewed it |
  | a holder wrote a longer length than ours | the longer length counts |

  The fields:

  - `holder`: the id of the host that holds the lease in the store, or `nil`
  - `revision`: of the key, 0 if the store lacks it
  - `length`: in milliseconds, as the holder wrote it
  - `free_at`: the time from which this member may take the lease
  - `until`: the time until which this host may run the singleton; `nil` if it may not
  - `renew_at`: the time at which this host renews the lease
  """

  alias Exosuit.{Error, Json}
  alias Exosuit.App.Machine.Options

  @typedoc "The value of the key: the id of its holder, `nil` after it was given back, and its length in milliseconds."
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

  @doc """
  The lease of a key that the store has lacked since this time. It can be taken when its length has passed: another host
  may have had it in a store that was lost since.

      iex> alias Exosuit.App.Machine.{Lease, Options}
      iex> lease = Lease.unknown(1_000, %Options{lease: 15_000})
      iex> {lease.free_at, Lease.held?(lease, 1_000)}
      {16_000, false}
  """
  @spec unknown(integer(), Options.t()) :: t()
  def unknown(since, options) do
    %__MODULE__{length: options.lease, free_at: since + wait(options.lease, options)}
  end

  @doc """
  Notes the value in the store. If the store has none, the value is `nil` and the revision 0.

  While the store is followed live, a known or older revision is ignored: it is the echo of an own write. While the
  content arrives, every revision counts, because it may be that of another store.
  """
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

  @doc """
  Notes that a write of this host was refused because the store holds this value, whatever the watch has shown. The
  revision counts even if it is lower than the known one, since the next compare-and-set needs it.
  """
  @spec conflict(t(), value() | nil, non_neg_integer(), facts()) :: t()
  def conflict(lease, value, revision, facts) do
    changed(lease, value, revision, %{facts | live?: false})
  end

  @doc "Begins the wait for the lease again, for the longer of the holder's length and this host's own."
  @spec restarted(t(), facts()) :: t()
  def restarted(lease, facts) do
    %{lease | free_at: facts.now + wait(max(lease.length, facts.options.lease), facts.options)}
  end

  @doc """
  Notes that a write of this host, sent at `sent_at`, was accepted. With a holder, the host may run the singleton for
  two thirds of the length since then; without one, the lease is free.

      iex> alias Exosuit.App.Machine.{Lease, Options}
      iex> facts = %{own: "N1", now: 400, options: %Options{}, live?: true}
      iex> lease = Lease.unknown(0, facts.options)
      iex> lease = Lease.written(lease, %{holder: "N1", length: 15_000}, 100, 7, facts)
      iex> {lease.until, lease.renew_at, lease.free_at, lease.revision}
      {10_100, 3_100, 15_400, 7}
  """
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

  @doc "Whether this host may run the singleton at this time. The holder in the store does not matter for it."
  @spec held?(t(), integer()) :: boolean()
  def held?(%__MODULE__{until: nil}, _now), do: false
  def held?(%__MODULE__{until: :infinity}, _now), do: true
  def held?(%__MODULE__{until: until}, now), do: now < until

  @doc """
  The value that this host should write, or `nil`. `wanted?`: whether it runs the singleton, or could.

  | held | wanted | writes |
  |---|---|---|
  | yes | no | gives it back |
  | yes | yes | renews it, from `renew_at` on |
  | no | yes | takes it, from `free_at` on |
  | no | no | nothing |
  """
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

  @doc """
  Reads a value; any text may be given. `:invalid_input` unless it has a holder and a length of at most ten minutes. A
  longer length would keep a singleton from every host for as long.
  """
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

  @doc """
  The value that stands for an unreadable one: an unknown host holds it. Its own length is the shortest, so that the
  length of this host's options counts.
  """
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
