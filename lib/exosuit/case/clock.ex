defmodule Exosuit.Case.Clock do
  @moduledoc """
  A clock for tests. Guests see its time instead of the time of the machine. The clock stands still until the test
  moves it.

      clock = Exosuit.Case.Clock.new(~U[2026-12-24 08:00:00Z])
      host = start_host!(actors: [shop: "shop.wasm"], clock: clock)

      Exosuit.Case.Clock.advance(clock, :timer.hours(24))

  Guests see it as wall clock and as monotonic clock, in WASI 0.2 and in preview 1. A guest that sleeps waits in real
  time, and does not move the clock. A guest that loops until a certain time never ends by itself. The deadlines of
  calls, and all times of the host, are those of the machine.

  For tests only. A clock may serve several hosts, and any process may move it.
  """

  alias Exosuit.Native

  @opaque t :: %__MODULE__{native: reference()}

  @enforce_keys [:native]
  defstruct [:native]

  @millisecond 1_000_000
  # Nanoseconds that 64 bits hold: until the year 2554.
  @max 18_446_744_073_709_551_615

  @doc "Makes a clock at this time. Its monotonic clock starts at an arbitrary value."
  @spec new(DateTime.t()) :: t()
  def new(time \\ ~U[2000-01-01 00:00:00Z]),
    do: %__MODULE__{native: Native.clock_new(nanoseconds!(time))}

  @doc "Returns the time of the wall clock, to the microsecond."
  @spec now(t()) :: DateTime.t()
  def now(%__MODULE__{native: clock}),
    do: clock |> Native.clock_read() |> div(1_000) |> DateTime.from_unix!(:microsecond)

  @doc "Sets the wall clock, also to an earlier time. The monotonic time stays, as it does on a machine."
  @spec set(t(), DateTime.t()) :: :ok
  def set(%__MODULE__{native: clock}, time), do: Native.clock_set(clock, nanoseconds!(time))

  @doc "Moves the wall clock and the monotonic time forward, by milliseconds."
  @spec advance(t(), non_neg_integer()) :: :ok
  def advance(%__MODULE__{native: clock}, milliseconds)
      when is_integer(milliseconds) and milliseconds >= 0 and
             milliseconds <= div(@max, @millisecond),
      do: Native.clock_advance(clock, milliseconds * @millisecond)

  def advance(%__MODULE__{}, other) do
    raise ArgumentError,
          "expected a number of milliseconds from 0 on, got: #{inspect(other)}; use set/2 to go back"
  end

  defp nanoseconds!(%DateTime{} = time) do
    nanoseconds = DateTime.to_unix(time, :nanosecond)

    if nanoseconds in 0..@max,
      do: nanoseconds,
      else: raise(ArgumentError, "expected a time from 1970 to 2554, got: #{inspect(time)}")
  end

  defp nanoseconds!(other),
    do: raise(ArgumentError, "expected a DateTime, got: #{inspect(other)}")
end
