defmodule Exosuit.Wit do
  @moduledoc """
  Values of WIT functions in Elixir: the arguments and the result of `Exosuit.call/5` on a component, and those of
  `c:Exosuit.Provider.handle_function/3`.

  | WIT | Elixir |
  |---|---|
  | `bool` | `true` or `false` |
  | `u8` … `u64`, `s8` … `s64` | an integer within the type's bounds |
  | `f32`, `f64` | a float, or `:nan`, `:infinity`, `:neg_infinity`; an integer is taken where the type holds it exactly |
  | `char` | a string of one character |
  | `string` | a binary, which must be UTF-8 |
  | `list<u8>` | a binary; a list of bytes is taken as well |
  | `list<T>` | a list |
  | `tuple<T, U>` | a tuple |
  | `record` | a map with atoms for keys; strings as keys, and structs, are taken as well. A field of an option may be missing |
  | `variant` | `:name`, or `{:name, value}` for a case that has a value |
  | `enum` | `:name` |
  | `flags` | a list of the names that are set, in the order of the type |
  | `option<T>` | `nil`, or what `T` is. If a `T` may be `nil` itself: `nil`, or `{:some, value}` |
  | `result<T, E>` | `{:ok, value}` or `{:error, value}` |
  | `result`, `result<_, E>`, `result<T>` | `:ok` or `:error` for the case that has no value |
  | `own<T>`, `borrow<T>` | an `Exosuit.Resource`; the state of a resource for the provider that made it |
  | no result | `nil` |

  Names are written with underscores: the field `reply-to` is `:reply_to`. A name of an enum, variant or flag is taken
  as a string, too.

  ## Errors

  A guest knows the types of its functions. A term is checked when it is passed in. A term that does not fit is
  `{:error, %Exosuit.Error{reason: :invalid_input}}`, whose detail names the function and the path: `shop#place:
  order.lines[3].price: expected an f64, got a text or bytes`. If the answer of a provider does not fit, the guest's
  call fails, or gets the error as text where its function gives a `result` with a string as its error.

  ## Limits

  A value may be nested 64 deep. All values of a call may take as many bytes as the actor may have memory, as the
  engine holds them: forty bytes for each value, also for each byte of a `list<u8>`, plus the names of the fields. A
  function of at most two strings or lists of bytes that gives such a one, or a `result` of such a one with a string as
  its error, is not bound by this, and its bytes are copied once. A million records of three fields need about 180 MB
  there while the call is prepared, beside the term itself.

  ## Names and atoms

  The names in the types of a component become atoms when it is loaded, at most 131 072 for the whole VM; a component
  with more is refused. Values make no further atoms: a name from another host that no component of this host has is a
  string.

  Streams and futures have no form yet.
  """

  @typedoc "A value of WIT in Elixir."
  @type value ::
          binary()
          | number()
          | atom()
          | [value()]
          | tuple()
          | Exosuit.Resource.t()
          | %{optional(atom() | String.t()) => value()}
end
