defmodule Exosuit.World.Description do
  @moduledoc """
  The description of a Wasm file, made without running it. See `Exosuit.describe/1` and `Exosuit.describe/3`.

  - `kind`: `:component`, `:wasmbus_module`, `:program`, `:module` or `:wit_package`.
  - `size`: the size in bytes.
  - `world`: the imports and exports of a component.
  - `module`: the imports (module and name) and exports of a module.
  - `producers`: the languages and tools that made the file, with their versions, by `"language"`, `"processed-by"`,
    `"sdk"`.
  - `core_modules`: the number of core modules in it.
  - `needs`: what an instance needs at its start: the number of core `instances`, of their `memories` and of their
    `tables`, and the initial size of all memories in bytes (`memory`).
  - `claims`: the claims of its token, `:unsigned`, or the error with which a host would refuse the file.
  - `answers`: who answers each import of a component, in the order of the imports, or each contract that the token of a
    wasmbus module names: a list of `Exosuit.World.Answer`.
  - `unanswered`: the imports that nothing can answer on a host, each with the reason.
  """

  alias Exosuit.{Claims, Error, World}
  alias Exosuit.World.Answer

  @typedoc """
  `:wasmbus_module` is an actor of the OTP era, `:program` a module of WASI with `_start`, and `:wit_package` WIT in
  Wasm, which has no code.
  """
  @type kind :: :component | :wasmbus_module | :program | :module | :wit_package

  @type t :: %__MODULE__{
          kind: kind(),
          size: non_neg_integer(),
          world: World.t() | nil,
          module: %{imports: [{String.t(), String.t()}], exports: [String.t()]} | nil,
          producers: %{optional(String.t()) => %{optional(String.t()) => String.t()}},
          core_modules: non_neg_integer(),
          needs: %{
            instances: non_neg_integer(),
            memories: non_neg_integer(),
            tables: non_neg_integer(),
            memory: non_neg_integer()
          },
          claims: Claims.t() | :unsigned | Error.t(),
          answers: [Answer.t()],
          unanswered: [String.t()]
        }

  @fields [
    :kind,
    :size,
    :world,
    :module,
    :producers,
    :core_modules,
    :needs,
    :claims,
    :answers,
    :unanswered
  ]
  @enforce_keys @fields
  defstruct @fields
end
