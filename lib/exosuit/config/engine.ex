defmodule Exosuit.Config.Engine do
  @moduledoc """
  The limits of the engine, which all hosts of a VM share.

  They are options of the application (`config :exosuit, engine: [...]`), or environment variables for options that are
  not set (`Exosuit.Environment.Engine`). They are checked once, before the engine starts, and cannot be changed
  afterwards: the pool reserves its address space at the start.

      iex> Exosuit.Config.Engine.new!(pool_slots: 10).actor_share
      75
  """

  alias Exosuit.Options

  @typedoc "All limits, with their defaults."
  @type t :: %__MODULE__{
          pool_slots: non_neg_integer(),
          actor_share: pos_integer(),
          module_bytes: pos_integer(),
          core_instances: pos_integer(),
          memories: pos_integer(),
          tables: pos_integer()
        }

  # Each slot takes 8 GiB of address space, of the 128 TiB that a process has.
  @max_slots 15_000

  @max_module_bytes 4_294_967_295

  @schema [
    pool_slots: [
      type: {"an integer from 0 to #{@max_slots}", &__MODULE__.slots?/1},
      default: 1_000,
      doc:
        "instances that can be alive at once. 0 turns the pool off: instances then start more slowly, " <>
          "and their number has no bound."
    ],
    actor_share: [
      type: {"an integer from 1 to 100", &__MODULE__.percent?/1},
      default: 75,
      doc: "the percentage of the pool that one actor may use at once; further calls of it wait."
    ],
    module_bytes: [
      type: {"an integer from 1 to #{@max_module_bytes}", &__MODULE__.bytes?/1},
      default: 268_435_456,
      doc: "the size of the largest module, in bytes."
    ],
    core_instances: [
      type: {"an integer from 1 to 100000", &__MODULE__.parts?/1},
      default: 1_000,
      doc: "core instances that a component may consist of; Python components have 40 or more."
    ],
    memories: [
      type: {"an integer from 1 to 100000", &__MODULE__.parts?/1},
      default: 100,
      doc: "linear memories that an instance may have; the pool has two per slot."
    ],
    tables: [
      type: {"an integer from 1 to 100000", &__MODULE__.parts?/1},
      default: 100,
      doc: "tables that an instance may have; the pool has three per slot."
    ]
  ]

  defstruct Keyword.keys(@schema)

  @doc "The options, as Markdown."
  @spec docs() :: String.t()
  def docs, do: Options.docs(@schema)

  @doc """
  The names of the options; each is an environment variable as well, `EXOSUIT_` and the name in capitals.
  """
  @spec names() :: [atom()]
  def names, do: Keyword.keys(@schema)

  @doc "Checks the options; raises `ArgumentError` with what was expected."
  @spec new!(keyword()) :: t()
  def new!(options), do: struct!(__MODULE__, Options.validate!(options, @schema))

  @doc false
  def slots?(slots), do: slots in 0..@max_slots

  @doc false
  def percent?(percent), do: percent in 1..100

  @doc false
  def bytes?(bytes), do: bytes in 1..@max_module_bytes

  @doc false
  def parts?(parts), do: parts in 1..100_000
end
