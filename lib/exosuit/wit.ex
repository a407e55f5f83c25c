defmodule Exosuit.Wit do
  @moduledoc """
  Values of WIT functions in Elixir: what `Exosuit.call/5` gives a component and gets of it, and what a
  provider is called with and returns.

  | WIT | Elixir |
  |---|---|
  | `string` | a binary, which must be UTF-8 |
  | `list<u8>` | a binary; a list of bytes is taken as well |
  | `u8` … `u64`, `s8` … `s64` | an integer within the type's bounds |
  | `bool` | `true` or `false` |
  | `list<T>` | a list |
  | `tuple<T, U>` | a tuple |
  | `record` | a tuple of its fields, in their order |
  | `option<T>` | `nil`, or what `T` is |
  | `result<T, E>` | `{:ok, value}` or `{:error, value}` |
  | `result`, `result<_, E>`, `result<T>` | `:ok` or `:error` for the case that has no value |
  | no result | `nil` |

  The guest knows the types, and Elixir does not: a term is checked against its type where it goes in,
  and the error says what was expected. Whatever is none of these, as a float, a map or any other atom,
  is refused before that. A call carries at most 262 144 values, nested at most 64 deep, and 3 MiB of
  binaries: a function of one `string` or `list<u8>` takes more as the bytes of a call.

  Variants, enums, flags, characters, floats and resources have no form yet. A tuple of two
  whose first is `:ok` or `:error` is always a result.
  """

  @typedoc "What a value of WIT is in Elixir."
  @type value ::
          binary()
          | integer()
          | boolean()
          | nil
          | :ok
          | :error
          | {:ok, value()}
          | {:error, value()}
          | [value()]
          | tuple()
end
