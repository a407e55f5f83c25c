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
  A capability in Elixir. An actor may call it if the actor's claims name it and a link joins the two.

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

  **A WIT interface** that components import is a capability as well. Its contract is the package. Calls of its
  functions come to `c:handle_function/3`, with their arguments as terms:

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

  With the WIT of the interface, each of its functions is a function of the module. The context is the last argument:

      defmodule MyApp.Calculator do
        use Exosuit.Provider, wit: "wit", interface: "my:math/calculator"

        @impl true
        def add(a, b, _context), do: a + b

        @impl true
        def divide(_a, 0, _context), do: {:error, "by zero"}
        def divide(a, b, _context), do: {:ok, div(a, b)}
      end

  The compiler refuses a module that lacks a function. `MyApp.Calculator.Behaviour` has the callbacks with their types.
  A name that Elixir reserves ends with an underscore: `end_`. With `structs: true`, the records that the interface
  defines come as structs: `%MyApp.Calculator.Point{}` for `record point`.

  The return value is the result of the function, in the form that `Exosuit.Wit` has for its type: `{:ok, value}` or
  `{:error, value}` for a `result`, otherwise the plain value. If a call cannot be answered, raise.

  **Resources**: for a function that returns `own<T>`, return `Exosuit.Resource.new(state)`, where the state is any
  term. When the guest passes the resource to a function of the provider, or calls a method, the provider gets the
  state. `c:handle_drop/3` is called when the resource has ended. An instance of a guest may have at most 4096 resources
  of others.

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
  caller ends. While `:max_calls` calls run, further ones are refused as `:overloaded`. A raise or an exit affects that
  call alone: the guest gets an error that names only the exception, and the host emits an `invocation_failed` event. If
  the function returns a `result` with a string as its error, the guest gets the text as that error; otherwise the guest
  traps.

  **`init/1`, `put_link/2` and `delete_link/2`** run one after another in the provider's process. Processes that they
  start with `start_link` end with that process. Slow work there delays links, not calls. If the process crashes,
  running calls fail, and it is started again: `init/1`, then `put_link/2` for every link.

  **Health**: the optional callback `health/1` says whether the provider can work. Without `health/1`, a provider is
  healthy while its processes run.

  **Calls of actors**: a provider may call actors with `Exosuit.call/5`. To end such a call in time, give it the
  `:timeout` that `Exosuit.Provider.Context.time_left/1` returns. In the process of a call, the provider is the caller.
  It may call only the actors to which a link of the call's contract and name joins it: see `Exosuit.Origin`.

  **The state** comes from `init/1` and the links. A call gets a copy of the state at its start. Keep large data, and
  data that calls change, in a process or a table.

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

  @doc "The contracts of the provider. `use` defines this from its options."
  @callback contracts() :: [String.t(), ...]

  @doc "How many calls may run at a time. `use` defines this from its options."
  @callback max_calls() :: pos_integer()

  @doc """
  Starts the provider with its own configuration. By default, the configuration becomes the state.
  """
  @callback init(config :: %{optional(String.t()) => String.t()}) ::
              {:ok, state()} | {:error, String.t()}

  @doc """
  Accepts a link: before the first call through it, when its values have changed, and after a restart of the
  provider. To refuse the link, return an error and change nothing. A link that had other values keeps them,
  and the caller that made the change gets the error.

  If this raises or takes longer than 30 seconds, the change is refused as well. The provider may have changed
  something by then. Therefore it gets the link with its old values again, or `delete_link/2` for a new link.
  """
  @callback put_link(Link.t(), state()) :: {:ok, state()} | {:error, String.t()}

  @doc "Releases a link. Calls through the link may still run."
  @callback delete_link(Link.t(), state()) :: {:ok, state()}

  @doc """
  Answers a call that came with bytes. The text of an error reaches the guest.

  `context` has the link that the call came through, and the deadline of the answer.
  """
  @callback handle_invocation(operation :: String.t(), payload :: binary(), Context.t()) ::
              {:ok, iodata()} | {:error, String.t() | :unknown_operation}

  @doc """
  Answers a call of a WIT function, `my:math/calculator@1.0.0#add`. Returns the result of the function, see
  `Exosuit.Wit`.

  The name has a version if the guest's import has one.
  """
  @callback handle_function(function :: String.t(), arguments :: [Wit.value()], Context.t()) ::
              Wit.value() | {:error, :unknown_operation}

  @doc """
  Called when a resource that the provider made has ended: its guest dropped it, or its guest has ended. `type` is
  `"my:shop/carts/cart"`. Optional.

  Runs in a process of its own, for at most 30 seconds, and nobody waits for it. It is not called for a resource that
  the guest gave back to the provider as an argument of type `own<T>`. If the link was deleted in the meantime, the link
  in the context has no values.
  """
  @callback handle_drop(type :: String.t(), state :: term(), Context.t()) :: term()

  @doc """
  Checks whether the provider can work: `:ok`, or a text with the reason why it cannot. Optional.

  The host calls it after the start and then at intervals (`:health_interval`), in a process of its own, for
  at most five seconds. If two checks in a row fail or do not answer, the provider is restarted.
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
