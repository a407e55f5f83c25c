defmodule Exosuit.Provider.Call do
  @moduledoc """
  The work of the process of one call: calls the provider, and passes on its answer.

  If there is no answer, because the callback raised for example, the process ends, and `Exosuit.Provider.Calls` answers
  with an error. A *question* is the handle of the call in the data plane: it is answered once, later answers have no
  effect.
  """

  alias Exosuit.Provider.{Context, Failure}
  alias Exosuit.{Router, Wit}

  @doc """
  Runs a call with bytes or with arguments. Returns whether this answer was the first one.

  | the callback returns | the guest gets |
  |---|---|
  | `{:ok, iodata}`, or for a WIT function its result | the answer |
  | `{:error, text}` of `handle_invocation/3` | the error `provider`, with this text |
  | `{:error, :unknown_operation}`, or there is no such callback | the error `unknown_operation` |
  | a value of another type | nothing from here: the process exits or raises |
  """
  @spec run(reference(), module(), String.t(), binary() | [Wit.value()], Context.t()) :: boolean()
  def run(question, module, operation, payload, context) when is_binary(payload) do
    if function_exported?(module, :handle_invocation, 3) do
      answer(question, module, module.handle_invocation(operation, payload, context))
    else
      unknown(question, module)
    end
  end

  def run(question, module, function, arguments, context) do
    if function_exported?(module, :handle_function, 3) do
      return(question, module, function, module.handle_function(function, arguments, context))
    else
      unknown(question, module)
    end
  end

  @doc "Tells the provider that a resource has ended, if it wants to know."
  @spec run_drop(reference(), module(), String.t() | nil, term(), Context.t()) :: boolean()
  def run_drop(question, module, type, state, context) do
    if function_exported?(module, :handle_drop, 3), do: module.handle_drop(type, state, context)
    Router.answer(question, :ok, "")
  end

  defp answer(question, _module, {:ok, answer}) do
    Router.answer(question, :ok, IO.iodata_to_binary(answer))
  end

  defp answer(question, _module, {:error, text}) when is_binary(text) do
    Router.answer(question, :provider, text)
  end

  defp answer(question, module, {:error, :unknown_operation}), do: unknown(question, module)

  defp answer(_question, module, _other) do
    raise "expected #{inspect(module)}.handle_invocation/3 to return {:ok, iodata}, " <>
            "{:error, text} or {:error, :unknown_operation}"
  end

  defp return(question, module, _function, {:error, :unknown_operation}) do
    unknown(question, module)
  end

  defp return(question, _module, function, value) do
    with {:error, error} <- Router.return(question, value),
         do: exit({:invalid_answer, Failure.operation(function), error.detail})
  end

  defp unknown(question, module) do
    contracts = Enum.join(module.contracts(), ", ")
    Router.answer(question, :unknown_operation, "#{contracts} has no such operation")
  end
end
