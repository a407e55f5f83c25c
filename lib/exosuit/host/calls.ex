defmodule Exosuit.Host.Calls do
  @moduledoc """
  Calls to actors, with the options of `Exosuit.call/5`.

  A call passes through no process of the host. It needs only a `t:line/0`, so a call by the host's name reads two
  terms instead of a whole `Exosuit.Instance`. A call without options, the common case, skips the check of options.
  """

  alias Exosuit.{Error, Options, Origin, Wasm, Wit}

  @typedoc "The router of a host, and its default timeout in milliseconds."
  @type line :: {router :: reference(), timeout :: pos_integer()}

  @schema [
    timeout: [
      type: :milliseconds,
      default: nil,
      doc: "milliseconds that it may take; by default the host's `:call_timeout`."
    ],
    execution: [
      type: {:in, [:auto, :inline, :async]},
      default: :auto,
      doc:
        "`:inline` polls the guest once on this scheduler, `:async` never does, and `:auto` " <>
          "chooses by the actor's earlier calls."
    ],
    origin: [
      type: {"nil, `:host` or `{:provider, id, contract, link_name}`", &__MODULE__.origin?/1},
      default: nil,
      doc:
        "the caller, see `Exosuit.Origin`; by default the provider whose call this process " <>
          "handles, else the host."
    ]
  ]

  @doc "The options of a call, as Markdown."
  @spec docs() :: String.t()
  def docs, do: Options.docs(@schema)

  @doc "Calls an actor by id, public key or call alias. Blocks the calling process until the answer or the deadline."
  @spec call(line(), String.t(), String.t(), binary() | [Wit.value()], keyword()) ::
          {:ok, Wit.value()} | {:error, Error.t()}
  def call({router, timeout}, target, operation, payload, []) do
    Wasm.call(router, target, operation, payload, Origin.from(), timeout, :auto)
  end

  def call({router, timeout}, target, operation, payload, options) do
    [timeout: given, execution: execution, origin: origin] = Options.validate!(options, @schema)
    {usual, within} = Origin.from()
    from = {origin || usual, within}
    Wasm.call(router, target, operation, payload, from, given || timeout, execution)
  end

  @doc false
  def origin?(origin), do: is_nil(origin) or Origin.valid?(origin)
end
