defmodule Exosuit.Resource do
  @moduledoc """
  A resource of WIT: a thing that lives in a guest or with a provider, and that others have a handle to.

  A call gives one where its function gives `own<T>`, and takes one where its function takes `own<T>` or `borrow<T>`:

      {:ok, cart} = Exosuit.call(MyApp.Host, "shop", "acme:shop/carts#[constructor]cart", ["Ada"])
      {:ok, 1} = Exosuit.call(MyApp.Host, "shop", "acme:shop/carts#[method]cart.add", [cart, "milk"])
      :ok = Exosuit.Resource.drop(cart)

  **Of a guest.** The resource lives in one instance of its actor, which is then pinned to the process that made the
  call: it serves only calls with its resources, and further calls of that process that give some. Calls take turns in
  it. The instance, and all resources in it, end

  - when the last of them was dropped or given away;
  - when the process that got them ends;
  - when no call came for the idle limit, the actor's option `:resource_idle`, five minutes by default;
  - when a call in it traps, reaches a limit, or is given up (at its deadline, for example);
  - when the actor is stopped, restarted or updated.

  A call with a resource that has ended is `{:error, %Exosuit.Error{reason: :invalid_input}}` that says why. As many
  instances may be pinned as the actor has `:instances`, and half of its share of the engine's pool at most; a further
  one is refused as `:overloaded`. An instance has at most 4096 resources of its caller.

  **Given away and lent.** An argument of `own<T>` is given away: the guest has it, and each later use of the handle is
  an error. An argument of `borrow<T>` is lent for the call.

  **Dropped.** `drop/1` drops a resource, and so does the garbage collector once no process has the struct. The
  destructor of the guest then runs on a thread of its own, in its turn, for as long as the call that pinned the instance
  could have run. Nobody waits for it.

  **Of a provider in Elixir.** `new/1` makes one; see `Exosuit.Provider`.

  A resource cannot leave its host. The struct can be sent to processes of its node; `inspect/1` shows its type and who
  made it.
  """

  alias Exosuit.Native

  @typedoc """
  `type` is the interface without its version, and the name (`"acme:shop/carts/cart"`); `owner` is the actor or the
  provider that made it.
  """
  @type t :: %__MODULE__{
          ref: reference() | {:state, term()},
          type: String.t() | nil,
          owner: String.t() | nil
        }

  @enforce_keys [:ref]
  defstruct [:ref, :type, :owner]

  @doc """
  Makes a resource of a state, for the answer of a provider whose function gives `own<T>`.

  It becomes a resource when the guest gets the answer. The state is copied then, and at each call that uses it: keep
  large data, and data that changes, in a process or a table, and its pid or key in the state.
  """
  @spec new(state :: term()) :: t()
  def new(state), do: %__MODULE__{ref: {:state, state}}

  @doc """
  Drops a resource. Does nothing if it was dropped or given away before, or is only lent. Does not wait for its
  destructor.
  """
  @spec drop(t()) :: :ok
  def drop(%__MODULE__{ref: ref}) when is_reference(ref), do: Native.resource_drop(ref)
  def drop(%__MODULE__{ref: {:state, _state}}), do: :ok
end

defimpl Inspect, for: Exosuit.Resource do
  # The state of a provider may hold secrets.
  def inspect(%{ref: {:state, _state}}, _options), do: "#Exosuit.Resource<new>"

  def inspect(%{type: type, owner: owner}, _options),
    do: "#Exosuit.Resource<#{type || "?"} of #{owner || "?"}>"
end
