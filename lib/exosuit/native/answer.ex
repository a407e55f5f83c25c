defmodule Exosuit.Native.Answer do
  @moduledoc false
  # Calls a NIF, and waits for the one message that it promised with `:ok`.
  #
  # Outside input is checked at its door (`Exosuit.Input`). If an argument still does not fit a NIF, it is
  # refused with an error here, and crashes no process that others depend on.
  #
  # A time limit here is a safety net: the data plane has its own, undoes what it gives up, and answers
  # then. What is given up here while the data plane goes on has an unknown outcome. Hence whoever
  # changes something waits without a limit (links, the start of a provider, which ends with its process),
  # or asks for what can be asked for again (a drain, a compile, a read).

  alias Exosuit.Error

  @doc "Calls `fun` with a reply address and waits for what comes. Blocks the calling process."
  @spec await((Exosuit.Native.reply() -> :ok | Exosuit.Native.failure()), timeout()) ::
          {:ok, term()} | {:error, Error.t()}
  def await(fun, timeout) do
    reference = make_ref()

    case checked(fn -> fun.({self(), reference}) end) do
      :ok -> receive_answer(reference, timeout)
      {:error, failure} -> {:error, Error.from_native(failure)}
    end
  end

  @doc "What a NIF gives; a failure where it takes its arguments for none of its kind."
  @spec checked((() -> result)) :: result | Exosuit.Native.failure() when result: var
  def checked(fun) do
    fun.()
  rescue
    ArgumentError ->
      {:error, {:invalid_input, "#{refused(__STACKTRACE__)} does not accept these arguments"}}
  end

  # The NIF by its name. Its arguments may be secrets.
  defp refused([{Exosuit.Native, name, _arguments, _place} | _more]), do: "the function #{name}"
  defp refused(_other), do: "the native library"

  @doc "Waits for the answer under this reference."
  @spec receive_answer(reference(), timeout()) :: {:ok, term()} | {:error, Error.t()}
  def receive_answer(reference, timeout) do
    receive do
      {^reference, {:ok, value}} -> {:ok, value}
      {^reference, {:error, failure}} -> {:error, Error.from_native(failure)}
    after
      timeout ->
        {:error, Error.new(:internal, "the native library did not answer within #{timeout} ms")}
    end
  end
end
