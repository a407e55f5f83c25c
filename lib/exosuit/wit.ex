defmodule Exosuit.Wit do
  @moduledoc """
  The Elixir form of each WIT type. Arguments and results have this form in calls of components (`Exosuit.call/5`),
  in modules of `Exosuit.Component`, and in providers (`c:Exosuit.Provider.handle_function/3`).
  `guides/components.md` has an example of each type.

  | WIT | Elixir |
  |---|---|
  | `bool` | `true` or `false` |
  | `u8` … `u64`, `s8` … `s64` | an integer within the type's bounds |
  | `f32`, `f64` | a float, or `:nan`, `:infinity`, `:neg_infinity`; an integer is accepted if the type holds it exactly |
  | `char` | a string of one character |
  | `string` | a binary, which must be UTF-8 |
  | `list<u8>` | a binary; a list of bytes is accepted as well |
  | `list<T>` | a list |
  | `map<K, V>` | a map with the Elixir form of `K` as keys |
  | `tuple<T, U>` | a tuple |
  | `record` | a map with atoms as keys; strings as keys, and structs, are accepted as well. A field whose type is an `option` may be missing |
  | `variant` | `:name`, or `{:name, value}` for a case that has a value |
  | `enum` | `:name` |
  | `flags` | a list of the names that are set, in the order of the type |
  | `option<T>` | `nil`, or the value. If a value of `T` may itself be `nil`: `nil`, or `{:some, value}` |
  | `result<T, E>` | `{:ok, value}` or `{:error, value}` |
  | `result`, `result<_, E>`, `result<T>` | `:ok` or `:error` for the case that has no value |
  | `own<T>`, `borrow<T>` | an `Exosuit.Resource`; the provider that made the resource gets its state instead |
  | no result | `nil` |

  Names have underscores instead of hyphens: the field `reply-to` is `:reply_to`. The names of enums, variants and
  flags are also accepted as strings.

  Streams and futures are not supported yet. A component with a list of a fixed length (`list<T, 4>`) is refused.

  ## Errors

  Each argument is checked against its type before the guest runs. If it does not fit, the call returns
  `{:error, %Exosuit.Error{reason: :invalid_input}}`. The detail names the function and the path: `shop#place:
  order.lines[3].price: expected an f64, got a text or bytes`.

  If the answer of a provider does not fit its type, the call of the guest fails. If the function returns a `result`
  with a string as its error, the guest gets the reason as that error instead.

  ## Limits

  Values may be nested up to 64 levels deep. The values of a call may together take as many bytes as the memory limit
  of the actor. Each value counts 40 bytes, also each byte of a `list<u8>`. Names of fields count in addition.

  A call copies its values several times. For example, a list of a million records with three fields each takes 136
  MB in Elixir. Passing it to a guest and back took 880 MB more at the peak, including the guest's memory and the
  answer (measured in December 2026 by `bench/records.exs`).

  Some functions with only strings and `list<u8>` have no such limit, and their bytes are copied once. Such a
  function has at most two arguments, and the first of two is a string. It returns nothing, a string, a `list<u8>`,
  or a `result` of one of these with a string as its error.

  ## Names and atoms

  When a component is loaded, the names in its types become atoms, which stay until the VM ends. A component may add
  at most 8 192 new names, and all components together 131 072. A component that needs more is refused. Values never
  create atoms: if a value from another host has a name that no component of this host has, the name stays a string.
  """

  @typedoc "A value of WIT in Elixir."
  @type value ::
          binary()
          | number()
          | atom()
          | [value()]
          | tuple()
          | Exosuit.Resource.t()
          | %{optional(atom() | String.t() | integer()) => value()}
end
