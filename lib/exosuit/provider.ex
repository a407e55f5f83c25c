defmodule Exosuit.Provider do
  @schema [
    contract: [
      type:
        {~s(a contract like "wasmcloud:keyvalue", or a list of such), &__MODULE__.contracts?/1},
      default: nil,
      doc:
        "the capability: `\"wasmcloud:keyvalue\"`, or the package of a WIT interface. Required without `:interface`."
    ],
    wit: [
      type: :string,
      default: nil,
      doc: "a directory or file of WIT, with its `deps`; relative to the project's directory."
    ],
    interface: [
      type: :string,
      default: nil,
      doc: "the interface that the module implements, function by function: `\"acme:kv/store\"`."
    ],
    structs: [
      type: :boolean,
      default: false,
      doc:
        "whether functions get structs for records, defined in modules below this one. Answers may be structs or maps."
    ],
    max_calls: [type: :number, default: 1_024, doc: "how many calls may run at a time."]
  ]

  @moduledoc """
  A capability in Elixir. An actor may call it if the actor's claims name the capability and a link joins the actor
  to the provider.

      defmodule MyApp.Greeter do
        use Exosuit.Provider, contract: "my_app:greeter"

        @impl Exosuit.Provider
        def handle_invocation("Greeter.Greet", name, context) do
          {:ok, [Map.get(context.link.values, "greeting", "Hello"), ", ", name]}
        end

        def handle_invocation(_operation, _payload, _context), do: {:error, :unknown_operation}
      end

      {:ok, "greeter"} = Exosuit.start_provider(MyApp.Host, MyApp.Greeter)
      :ok = Exosuit.put_link(MyApp.Host, source: actor, target: "greeter", contract: "my_app:greeter")

  Payloads are bytes in the encoding of the contract. `Exosuit.MessagePack` decodes and encodes those of wasmCloud's
  interfaces.

  **A WIT interface** that components import is a capability as well. Its contract is the package.
  `c:handle_function/3` answers calls of its functions, and gets their arguments as terms:

      # package my:math; interface calculator {
      #   add: func(a: s32, b: s32) -> s32;
      #   divide: func(a: s32, b: s32) -> result<s32, string>;
      # }
      defmodule MyApp.Calculator do
        use Exosuit.Provider, contract: "my:math"

        @impl Exosuit.Provider
        def handle_function("my:math/calculator#add", [a, b], _context), do: a + b
        def handle_function("my:math/calculator#divide", [_a, 0], _context), do: {:error, "by zero"}
        def handle_function("my:math/calculator#divide", [a, b], _context), do: {:ok, div(a, b)}
      end

  If `use` names the WIT of the interface, each function of the interface is a function of the module. The context is
  the last argument:

      defmodule MyApp.Calculator do
        use Exosuit.Provider, wit: "wit", interface: "my:math/calculator"

        @impl true
        def add(a, b, _context), do: a + b

        @impl true
        def divide(_a, 0, _context), do: {:error, "by zero"}
        def divide(a, b, _context), do: {:ok, div(a, b)}
      end

  If a function is missing, the module does not compile. `MyApp.Calculator.Behaviour` has the callbacks with their
  types. A name that Elixir reserves ends with an underscore: `end_`. With `structs: true`, the records that the
  interface defines are structs: `%MyApp.Calculator.Point{}` for `record point`.

  The return value is the result of the function, in the form that `Exosuit.Wit` has for its type: `{:ok, value}` or
  `{:error, value}` for a `result`, otherwise the plain value. If the function cannot answer a call, raise an
  exception.

  **Resources**: for a function that returns `own<T>`, return `Exosuit.Resource.new(state)`, where the state is any
  term. When the guest passes the resource to a function of the provider, or calls a method, the provider gets the
  state. `c:handle_drop/3` is called when the resource has ended. An instance of a guest may hold at most 4096
  resources that others made.

      # package my:shop; interface carts { resource cart { constructor(owner: string); count: func() -> u32; } }
      defmodule MyApp.Carts do
        use Exosuit.Provider, contract: "my:shop"

        @impl true
        def handle_function("my:shop/carts#[constructor]cart", [owner], _context) do
          {:ok, pid} = Agent.start(fn -> {owner, []} end)
          Exosuit.Resource.new(pid)
        end

        def handle_function("my:shop/carts#[method]cart.count", [pid], _context),
          do: Agent.get(pid, fn {_owner, items} -> length(items) end)

        @impl true
        def handle_drop("my:shop/carts/cart", pid, _context), do: Agent.stop(pid)
      end

  With the WIT of the interface, these functions are `new_cart(owner, context)`, `cart_count(cart, context)` and
  `drop_cart(cart, context)`, where `cart` is the state. `drop_cart` is optional.

  **`wasi:keyvalue`** can be implemented as well. Its functions get the name of the bucket as their first argument, and
  their errors are strings. `guides/keyvalue.md` has an example.

  **Calls** run at the same time, each in a process of its own. The process is killed at the deadline, or when the
  caller ends. While `:max_calls` calls run, further calls are refused as `:overloaded`. An exception or an exit
  affects that call alone: the guest gets an error that names only the exception, and the host emits an
  `invocation_failed` event. If the WIT function returns a `result` with a string as its error, the guest gets the
  text as that error. Otherwise the guest traps.

  **`init/1`, `put_link/2` and `delete_link/2`** run one after another in the provider's process. Processes that they
  start with `start_link` end with that process. Slow work there delays links, not calls. If the process crashes,
  running calls fail. Then the provider starts again, with `init/1` and a `put_link/2` for every link.

  **Health**: the optional callback `health/1` says whether the provider can work. Without `health/1`, a provider is
  healthy while its processes run.

  **Calls of actors**: a provider may call actors with `Exosuit.call/5`. To end such a call in time, give it the
  `:timeout` that `Exosuit.Provider.Context.time_left/1` returns. In the process of a call, the provider counts as
  the caller. It may call only actors that a link of the same contract and name joins to it: see `Exosuit.Origin`.

  **The state** comes from `init/1` and the callbacks of links. A call gets a copy of the state when it starts. Keep
  large data, and data that calls change, in a process or a table.

      Module        init/1, put_link/2, delete_link/2
      ├── Health        asks at intervals (linked)
      │   └── check     health/1
      └── Calls         a process for each call (linked)
          └── call      handle_invocation/3, handle_function/3

  ## Options

  #{Exosuit.Options.docs(@schema)}
  """

  alias Exosuit.{Input, Options, Wit}
  alias Exosuit.Provider.{Context, Link, Typed}

  @type state :: term()

  @doc "Returns the contracts of the provider. `use` defines this from its options."
  @callback contracts() :: [String.t(), ...]

  @doc "Returns how many calls may run at a time. `use` defines this from its options."
  @callback max_calls() :: pos_integer()

  @doc """
  Starts the provider with its own configuration. By default, the configuration becomes the state.
  """
  @callback init(config :: %{optional(String.t()) => String.t()}) ::
              {:ok, state()} | {:error, String.t()}

  @doc """
  Accepts a link. It is called before the first call through the link, when the values of the link have changed, and
  after a restart of the provider. To refuse the link, return an error and change nothing. The caller that put the
  link gets the error, and an existing link keeps its old values.

  If `put_link/2` raises or takes longer than 30 seconds, the change is refused as well. The provider may have
  changed something by then. Therefore `put_link/2` is called again with the old values, or `delete_link/2` for a new
  link.
  """
  @callback put_link(Link.t(), state()) :: {:ok, state()} | {:error, String.t()}

  @doc "Releases a link. Calls through the link may still run."
  @callback delete_link(Link.t(), state()) :: {:ok, state()}

  @doc """
  Answers a call whose payload is bytes. The guest gets the text of an error.

  `context` has the link of the call, and the deadline of the answer.
  """
  @callback handle_invocation(operation :: String.t(), payload :: binary(), Context.t()) ::
              {:ok, iodata()} | {:error, String.t() | :unknown_operation}

  @doc """
  Answers a call of a WIT function, such as `my:math/calculator@1.0.0#add`. Returns the result of the function, see
  `Exosuit.Wit`.

  The name has a version if the guest's import has one.
  """
  @callback handle_function(function :: String.t(), arguments :: [Wit.value()], Context.t()) ::
              Wit.value() | {:error, :unknown_operation}

  @doc """
  Called when a resource that the provider made has ended, because the guest dropped it or has ended. `type` is a
  text such as `"my:shop/carts/cart"`. Optional.

  It is also called if no guest got the resource: the answer came after the deadline of the call, or did not fit the
  type of the function. `type` is `nil` then, unless the function is a constructor, or was to return resources of one
  type and the answer came in time. If no clause matches, only this call fails, with an `invocation_failed` event. A
  provider that names its `:interface` gets such a state in the function of its only resource.

  It is not called for a state that was never returned, because the function raised, its process was killed, or what
  it returned is no value. So make what a state stands for last.

  Runs in a process of its own, for at most 30 seconds. No other process waits for it. It is not called for a
  resource that the guest gave back to the provider as an argument of type `own<T>`. If the link was deleted in the
  meantime, the link in the context has no values.
  """
  @callback handle_drop(type :: String.t() | nil, state :: term(), Context.t()) :: term()

  @doc """
  Checks whether the provider can work. Returns `:ok`, or an error with the reason. Optional.

  The host calls it after the start of the provider and then at intervals (`:health_interval`), in a separate
  process, for at most five seconds. If two checks in a row fail or do not answer, the provider is restarted.
  """
  @callback health(state()) :: :ok | {:error, String.t()}

  # A provider defines at least one of them, see below.
  @answers [handle_invocation: 3, handle_function: 3]
  @optional_callbacks [{:health, 1}, {:handle_drop, 3} | @answers]

  defmacro __using__(options) do
    {options, _binding} = Code.eval_quoted(options, [], __CALLER__)
    options = options!(options)

    quote do
      unquote(Typed.quoted(options, __CALLER__))
      unquote(callbacks(Macro.escape(options)))
    end
  end

  defp callbacks(options) do
    quote do
      @behaviour Exosuit.Provider
      @before_compile Exosuit.Provider
      @exosuit_provider unquote(options)

      @impl Exosuit.Provider
      def contracts, do: List.wrap(@exosuit_provider[:contract])

      @impl Exosuit.Provider
      def max_calls, do: @exosuit_provider[:max_calls]

      @impl Exosuit.Provider
      def init(config), do: {:ok, config}

      @impl Exosuit.Provider
      def put_link(_link, state), do: {:ok, state}

      @impl Exosuit.Provider
      def delete_link(_link, state), do: {:ok, state}

      defoverridable contracts: 0, max_calls: 0, init: 1, put_link: 2, delete_link: 2
    end
  end

  defmacro __before_compile__(%{module: module}) do
    Typed.check!(module)

    unless Enum.any?(@answers, &Module.defines?(module, &1)) do
      raise ArgumentError,
            "expected #{inspect(module)} to define handle_invocation/3, handle_function/3, or both"
    end

    Typed.drop_handler(module)
  end

  @doc false
  def options!(options) do
    options = Options.validate!(options, @schema)

    case {options[:contract], options[:wit], options[:interface]} do
      {nil, nil, nil} ->
        raise ArgumentError, "the option :contract is required"

      {_contract, nil, nil} ->
        if options[:structs], do: raise(ArgumentError, "the option :structs needs :interface")
        options

      {nil, wit, interface} when is_binary(wit) and is_binary(interface) ->
        typed(options, interface)

      {_contract, nil, _interface} ->
        raise ArgumentError, "the option :interface needs :wit"

      {_contract, _wit, nil} ->
        raise ArgumentError, "the option :wit needs :interface"

      _both ->
        raise ArgumentError, "give :contract or :interface: its package is the contract"
    end
  end

  defp typed(options, interface) do
    [contract | _name] = String.split(interface, "/")
    Keyword.put(options, :contract, contract)
  end

  @doc false
  def contracts?(nil), do: false

  def contracts?([_ | _] = contracts), do: Enum.all?(contracts, &Input.name?(:contract, &1))
  def contracts?(contract), do: Input.name?(:contract, contract)
end
