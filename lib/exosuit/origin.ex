defmodule Exosuit.Origin do
  @moduledoc """
  Who a call comes from, as the router's rules see it.

  - `:host`: the host itself. It may call every actor; no link is needed.
  - `{:provider, id, contract, link_name}`: a provider. It may call the actors that a link of this
    contract and name joins it to.

  A process calls as the host unless something else was noted for it. The process of a provider's call
  is noted as that provider, with the contract and the name of the link that the call came through:
  what a guest has a provider call is bound by the provider's links. `Exosuit.call/5` takes
  `origin: :host` where that is not meant.
  """

  @type t ::
          :host | {:provider, id :: String.t(), contract :: String.t(), link_name :: String.t()}

  @doc "Notes who the calls of this process come from."
  @spec put(t()) :: :ok
  def put(origin) do
    Process.put(__MODULE__, origin)
    :ok
  end

  @doc "Who the calls of this process come from."
  @spec get() :: t()
  def get, do: Process.get(__MODULE__, :host)

  @doc "Whether a term is an origin."
  @spec valid?(term()) :: boolean()
  def valid?(:host), do: true

  def valid?({:provider, id, contract, link_name}) do
    Enum.all?([id, contract, link_name], &(is_binary(&1) and String.valid?(&1)))
  end

  def valid?(_other), do: false
end
