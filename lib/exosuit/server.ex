defmodule Exosuit.Server do
  @moduledoc """
  The base of every GenServer of a host: `use Exosuit.Server` instead of `use GenServer`, with the same options.

  It differs in three points:

  - A message, cast or call without a matching clause does not crash the process: messages and casts are ignored, and a
    call is answered with an error `:invalid_input`. A late answer to an abandoned call, or a stray `send/2` in a shell,
    is therefore harmless. The clauses are added after those of the module, at compile time.
  - With `hides_state: true`, crash reports and `:sys.get_status/1` show neither state nor messages: for processes that
    hold configuration, which may be secret.
  - There are no default callbacks: a module defines `init/1`, and those callbacks that it needs.

        defmodule MyServer do
          use Exosuit.Server, restart: :temporary, hides_state: true

          @impl GenServer
          def init(argument), do: {:ok, argument}
        end
  """

  alias Exosuit.Error

  defmacro __using__(options) do
    {hides_state?, options} = Keyword.pop(options, :hides_state, false)

    quote location: :keep do
      @behaviour GenServer
      @before_compile Exosuit.Server

      if unquote(hides_state?) do
        # Elixir knows the callback from 1.17 on, OTP from 25.
        @doc false
        if {:format_status, 1} in GenServer.behaviour_info(:callbacks), do: @impl(GenServer)
        def format_status(status), do: Exosuit.Server.hide_state(status)
      end

      @doc false
      def child_spec(argument) do
        default = %{id: __MODULE__, start: {__MODULE__, :start_link, [argument]}}
        Supervisor.child_spec(default, unquote(Macro.escape(options)))
      end

      defoverridable child_spec: 1
    end
  end

  # Adds a last clause to each callback, after those of the module.
  defmacro __before_compile__(_env) do
    quote generated: true do
      @impl GenServer
      def handle_call(_request, _from, state), do: {:reply, Exosuit.Server.unexpected(), state}

      @impl GenServer
      def handle_cast(_request, state), do: {:noreply, state}

      @impl GenServer
      def handle_info(_message, state), do: {:noreply, state}
    end
  end

  @doc """
  A status of a process without its state, messages and log.

      iex> Exosuit.Server.hide_state(%{state: %{password: "secret"}, reason: :killed})
      %{state: :hidden, reason: :killed}
  """
  @spec hide_state(map()) :: map()
  def hide_state(status) do
    hidden = %{state: :hidden, message: :hidden, log: []}
    Map.merge(status, Map.take(hidden, Map.keys(status)))
  end

  @doc "The answer to an unknown call."
  @spec unexpected() :: {:error, Error.t()}
  def unexpected,
    do: {:error, Error.new(:invalid_input, "this process does not handle that call")}
end
