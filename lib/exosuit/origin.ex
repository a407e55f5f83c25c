defmodule Exosuit.Origin do
  @moduledoc """
  The caller of a call, for the rules of the router.

  - `:host`: the host itself, which may call every actor without a link
  - `{:provider, id, contract, link_name}`: a provider, which may call the actors to which a link of this contract and
    name joins it

  A process calls as the host by default. The process that handles a provider's call has that provider as
  its origin, with the contract and the name of the link that the call came through. Calls that a guest
  causes in a provider are therefore restricted by the provider's links. The tasks of that process
  (`Task`, by its `$callers`) have the same origin. Other processes, such as a `GenServer` of the
  provider, call as the host: hand them `get/0` of the call, and pass that as `origin:`. Use
  `origin: :host` of `Exosuit.call/5` to call as the host instead.

  With its origin, such a process and its tasks know the guest's call that they work for. If a call of theirs uses a
  resource whose instance is in the middle of that call, it is refused at once (see `Exosuit.Resource`). Calls of
  other processes wait for the instance until their deadline.
  """

  @type t ::
          :host | {:provider, id :: String.t(), contract :: String.t(), link_name :: String.t()}

  @typedoc "An origin, and the number of the guest's call that the process works for; 0 for none."
  @type from :: {t(), within :: non_neg_integer()}

  @doc "Sets the origin of the calls of this process."
  @spec put(t()) :: :ok
  def put(origin), do: put_from({origin, elem(from(), 1)})

  @doc false
  # Sets the origin, and the guest's call that this process works for.
  @spec put_from(from()) :: :ok
  def put_from(from) do
    Process.put(__MODULE__, from)
    :ok
  end

  @doc """
  The origin of the calls of this process.

      iex> Exosuit.Origin.get()
      :host
      iex> Exosuit.Origin.put({:provider, "greeter", "embed:greeter", "default"})
      iex> Task.await(Task.async(&Exosuit.Origin.get/0))
      {:provider, "greeter", "embed:greeter", "default"}
  """
  @spec get() :: t()
  def get, do: elem(from(), 0)

  @doc false
  # Where the calls of this process come from.
  @spec from() :: from()
  def from, do: Process.get(__MODULE__) || of_callers(Process.get(:"$callers", []))

  # Where the calls of the nearest process in `$callers` come from that has an origin.
  defp of_callers(callers), do: Enum.find_value(callers, {:host, 0}, &noted/1)

  defp noted(pid) do
    with true <- node(pid) == node(),
         {:dictionary, dictionary} <- Process.info(pid, :dictionary),
         do: dictionary[__MODULE__],
         else: (_gone -> nil)
  end

  @doc """
  Whether a term is an origin. The names in it are checked by the call.

      iex> Enum.map([:host, {:provider, "a", "b:c", "default"}, :guest], &Exosuit.Origin.valid?/1)
      [true, true, false]
  """
  @spec valid?(term()) :: boolean()
  def valid?(:host), do: true

  def valid?({:provider, id, contract, link_name}) do
    Enum.all?([id, contract, link_name], &(is_binary(&1) and String.valid?(&1)))
  end

  def valid?(_other), do: false
end
