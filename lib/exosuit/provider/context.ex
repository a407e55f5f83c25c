defmodule Exosuit.Provider.Context do
  @moduledoc """
  The context of a call: everything except its operation and payload.

  - `host`, `provider`: the name of the host, and the provider's id
  - `link`: the link of the call: the actor's id, and the values
  - `deadline`: the end of the call's time, in milliseconds of `System.monotonic_time/1`
  - `state`: the provider's state, as `init/1` and the callbacks of links returned it

  `inspect/1` does not show the state, which may hold secrets.

      def handle_invocation("Get", url, context) do
        MyApp.Client.get(context.link.values["base"] <> url, timeout: Context.time_left(context))
      end
  """

  @type t :: %__MODULE__{
          host: atom(),
          provider: String.t(),
          link: Exosuit.Provider.Link.t(),
          deadline: integer(),
          state: term()
        }

  @derive {Inspect, except: [:state]}
  @enforce_keys [:host, :provider, :link, :deadline, :state]
  defstruct [:host, :provider, :link, :deadline, :state]

  @doc """
  Returns the milliseconds until the deadline, as a timeout for calls that the provider makes. 0 after the deadline.
  """
  @spec time_left(t()) :: non_neg_integer()
  def time_left(%__MODULE__{deadline: deadline}) do
    max(deadline - System.monotonic_time(:millisecond), 0)
  end
end
