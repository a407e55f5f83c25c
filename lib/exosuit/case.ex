defmodule Exosuit.Case do
  @moduledoc """
  A test case for apps that embed a host: each test has hosts of its own.

      defmodule MyApp.GreeterTest do
        use Exosuit.Case, async: true

        test "guests are greeted" do
          host = start_host!(actors: [visitor: "priv/visitor_s.wasm"])
          {:ok, "greeter"} = Exosuit.start_provider(host, MyApp.Greeter)
          :ok = Exosuit.put_link(host, source: "visitor", target: "greeter", contract: "my_app:greeter")

          assert {:ok, "Hello, Ada"} = Exosuit.call(host, "visitor", "Visitor.Visit", "Ada")
        end
      end

  `use Exosuit.Case` is `use ExUnit.Case` with the same options, and imports the functions here.

  ## Time and random numbers

  A test may give guests a clock that the test moves, and random numbers that are the same in each run:

      test "an offer ends at midnight" do
        clock = Exosuit.Case.Clock.new(~U[2026-12-24 23:59:00Z])
        host = start_host!(actors: [shop: "priv/shop.wasm"], clock: clock, seed: 42)
        assert {:ok, true} = Exosuit.call(host, "shop", "is-open", [])

        Exosuit.Case.Clock.advance(clock, :timer.minutes(1))
        assert {:ok, false} = Exosuit.call(host, "shop", "is-open", [])
      end

  Each actor has its own sequence of random numbers, made from the seed and its id. If each run of a test makes the
  same calls one after the other, the calls get the same numbers. This holds for `wasi:random`, for preview 1, and
  for `wasmcloud:builtin:numbergen`, whose sequence is shared by all actors.
  """

  # Only tests have ExUnit, and only they call these.
  @compile {:no_warn_undefined, [ExUnit.Assertions, ExUnit.Callbacks]}

  # Names of hosts are atoms, which are never freed, so later tests use these names again.
  @names for n <- 1..64, do: :"Elixir.Exosuit.Case.Host#{n}"

  # The pause between two tries, in milliseconds. All tries together take a minute.
  @pause 10
  @tries 6_000

  defmacro __using__(options) do
    quote do
      use ExUnit.Case, unquote(options)
      import Exosuit.Case
    end
  end

  @doc """
  Starts a host that ends with the test, and returns its name. The host accepts actors of any issuer and unsigned
  ones, and keeps nothing on disk. The options are those of `Exosuit.start_link/1`, and take precedence, and

  - `actors: [visitor: "priv/visitor_s.wasm"]` starts actors by id, each for 64 calls at a time.
  - `clock:`, an `Exosuit.Case.Clock`, has the time that guests see. By default, guests see the time of the machine.
  - `seed:`, an integer from 0 to 2^64 - 1, fixes the random numbers that guests get. By default, they come from the
    machine.
  """
  @spec start_host!(keyword()) :: atom()
  def start_host!(options \\ []) do
    {actors, options} = Keyword.pop(options, :actors, [])
    {simulation, options} = Keyword.split(options, [:clock, :seed])
    host = free_name()

    defaults = [
      name: host,
      trusted_issuers: :any,
      unsigned: :allow,
      simulation: simulation(simulation)
    ]

    ExUnit.Callbacks.start_supervised!({Exosuit, Keyword.merge(defaults, options)}, id: host)

    for {id, path} <- actors do
      {:ok, _id} = Exosuit.start_actor(host, path, id: to_string(id), instances: 64)
    end

    host
  end

  defp simulation([]), do: nil
  defp simulation(options), do: [clock: clock!(options[:clock]), seed: seed!(options[:seed])]

  defp clock!(nil), do: nil
  defp clock!(%Exosuit.Case.Clock{native: clock}), do: clock

  defp clock!(other) do
    raise ArgumentError, "expected :clock to be an Exosuit.Case.Clock, got: #{inspect(other)}"
  end

  defp seed!(seed) when is_nil(seed) or seed in 0..0xFFFF_FFFF_FFFF_FFFF, do: seed

  defp seed!(other) do
    raise ArgumentError, "expected :seed to be an integer of 64 bits, got: #{inspect(other)}"
  end

  @doc """
  Calls `fun` until it returns a true value, and returns this value. Fails the test after a minute.
  """
  @spec eventually((() -> result)) :: result when result: term()
  def eventually(fun), do: eventually(fun, @tries)

  defp eventually(_fun, 0),
    do: ExUnit.Assertions.flunk("the condition was not met within a minute")

  defp eventually(fun, tries) do
    fun.() ||
      receive do
      after
        @pause -> eventually(fun, tries - 1)
      end
  end

  # A name is claimed for the life of the test's process. A host that stops slowly may outlive that process.
  defp free_name do
    free = Enum.find(Enum.shuffle(@names), &(claimed?(&1) and not runs?(&1)))
    free || ExUnit.Assertions.flunk("#{length(@names)} hosts run already, which is the limit")
  end

  defp claimed?(name) do
    match?({:ok, _owner}, Registry.register(Exosuit.Registry, {:claimed, name}, nil))
  end

  defp runs?(name), do: Registry.lookup(Exosuit.Registry, {name, :host}) != []
end
