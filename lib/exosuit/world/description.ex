defmodule Exosuit.World.Description do
  @moduledoc """
  The description of a Wasm file, made without running it. See `Exosuit.describe/1`.

  - `kind`: `:component`, `:wasmbus_module`, `:program`, `:module` or `:wit_package`.
  - `size`: its size in bytes.
  - `world`: the imports and exports of a component.
  - `module`: the imports (module and name) and exports of a module.
  - `producers`: the languages and tools that made it, with their versions, by `"language"`, `"processed-by"`, `"sdk"`.
  - `core_modules`, `memory`: how many core modules it has, and the bytes of memory that they begin with.
  - `claims`: the claims of its token, `:unsigned`, or the error with which a host would refuse it.
  - `unanswered`: the imports that nothing can answer on a host, each with the reason.
  """

  alias Exosuit.{Claims, Error, World}

  @type kind :: :component | :wasmbus_module | :program | :module | :wit_package

  @type t :: %__MODULE__{
          kind: kind(),
          size: non_neg_integer(),
          world: World.t() | nil,
          module: %{imports: [{String.t(), String.t()}], exports: [String.t()]} | nil,
          producers: %{optional(String.t()) => %{optional(String.t()) => String.t()}},
          core_modules: non_neg_integer(),
          memory: non_neg_integer(),
          claims: Claims.t() | :unsigned | Error.t(),
          unanswered: [String.t()]
        }

  @fields [
    :kind,
    :size,
    :world,
    :module,
    :producers,
    :core_modules,
    :memory,
    :claims,
    :unanswered
  ]
  @enforce_keys @fields
  defstruct @fields
end
