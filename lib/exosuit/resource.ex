defmodule Exosuit.Resource do
  @moduledoc """
  A handle to a resource of WIT: an object that a guest or a provider keeps for others.

  A function that returns `own<T>` gives Elixir this struct. Pass it to functions that take `own<T>` or `borrow<T>`:

      {:ok, cart} = Exosuit.call(MyApp.Host, "shop", "acme:shop/carts#[constructor]cart", ["Ada"])
      {:ok, 1} = Exosuit.call(MyApp.Host, "shop", "acme:shop/carts#[method]cart.add", [cart, "milk"])
      :ok = Exosuit.Resource.drop(cart)

  ## Life

  A resource of a guest lives in one instance of its actor. The host keeps (*pins*) that instance for the process that
  made the call. A pinned instance serves only calls with its resources, and calls of that process whose function
  returns resources. Calls run in it one after the other. A resource ends when it is dropped, and when the process that
  got it ends. The instance and all its resources end when

  - its last resource has ended or was given away;
  - no call came for the time of the actor's option `:resource_idle`, by default five minutes;
  - a call in it traps, reaches a limit, or is given up, for example at its deadline;
  - the actor is stopped, restarted or updated.

  Calls do not count: the setting `calls` of warm instances has no effect while the caller has resources.

  A later call with the resource returns `{:error, %Exosuit.Error{reason: :invalid_input}}`, and the detail says why the
  resource has ended.

  ## Ownership

  An argument of type `own<T>` is given away: from then on, the guest owns the resource, and each later use of the
  handle is an error. An argument of type `borrow<T>` is lent for the time of the call.

  `drop/1` drops a resource. The garbage collector also drops it when no process has the struct any more. The
  destructor of the guest then runs on another thread, and may take as long as the call that pinned the instance. No
  process waits for it.

  A struct may be sent to other processes of its node. It works only on the host that made it.

  ## Limits

  An actor has at most as many pinned instances as its `:instances`, and at most half of its share of the engine's
  pool. Of these, each may have one, and in all

  - the instances of one calling actor at most half,
  - the instances of all calling actors at most three quarters,
  - all processes of Elixir at most three quarters.

  A call that needs a further one is refused as `:overloaded`, and the detail says which limit it was.

  An instance keeps at most 4096 resources for its caller, and holds at most 4096 resources of providers and other
  actors.

  ## Calls within calls

  A call in a pinned instance may call a provider, and the provider may call actors. If it uses a resource of the
  instance that is in the middle of that call, its call is refused at once as `:invalid_input`: it would wait for
  itself. This holds in the process of the provider's call and its tasks, also if other actors and providers are in
  between. In other processes, behind another host, and if two calls wait for each other's instances, the calls wait
  until their deadline.

  ## Providers

  A provider in Elixir makes a resource with `new/1`; see `Exosuit.Provider`.
  """

  alias Exosuit.Native

  @typedoc """
  `type` is the interface without its version, and the name (`"acme:shop/carts/cart"`). `owner` is the actor or the
  provider that made the resource. Both are `nil` in a struct of `new/1`. `inspect/1` shows both.
  """
  @type t :: %__MODULE__{
          ref: reference() | {:state, term()},
          type: String.t() | nil,
          owner: String.t() | nil
        }

  @enforce_keys [:ref]
  defstruct [:ref, :type, :owner]

  @doc """
  Makes a resource from a state. A provider returns it from a function whose result contains `own<T>`.

  The state is copied when the guest gets the answer, and at each call that uses the resource. Keep large data, and data
  that changes, in a process or a table, and put its pid or key into the state.
  """
  @spec new(state :: term()) :: t()
  def new(state), do: %__MODULE__{ref: {:state, state}}

  @doc """
  Drops a resource. Does nothing if the resource was dropped or given away before, or is only lent. Returns before the
  destructor has run.
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
