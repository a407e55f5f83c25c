defmodule Exosuit.Provider.Failure do
  @moduledoc false
  # How the callback of a provider ended without an answer, in words that may reach a guest: never the
  # message of an exception or the term of an exit, which may hold a payload or a secret. The process
  # of a call that raises is logged by OTP, with all of it, for those who wrote the provider.

  # What is told of an operation, whose name is the guest's to choose: as the router tells of it.
  @max_operation 255

  @doc "The name of an operation: one that steers a terminal is shown, not obeyed."
  @spec operation(String.t()) :: String.t()
  def operation(name) do
    name
    |> String.slice(0, @max_operation)
    |> inspect(binaries: :as_strings)
    |> String.slice(1..-2//1)
  end

  @doc "What became of `module`, by the reason that its process exited with."
  @spec describe(module(), term()) :: String.t()
  def describe(_module, :normal), do: "the provider ended the call without an answer"
  def describe(module, reason), do: "#{inspect(module)} #{ending(reason)}"

  @doc "As `describe/2`, with the place in its source."
  @spec locate(module(), term()) :: String.t()
  def locate(module, reason), do: describe(module, reason) <> place(reason)

  defp ending(:killed), do: "was killed"

  defp ending({:invalid_answer, operation, why}) when is_binary(operation) and is_binary(why),
    do: "answered #{operation} with what is no value: #{why}"

  defp ending({{:nocatch, _value}, trace}) when is_list(trace), do: "threw what nobody caught"

  defp ending({error, trace}) when is_list(trace) do
    "raised #{inspect(Exception.normalize(:error, error, trace).__struct__)}"
  end

  defp ending(reason) when is_atom(reason), do: "exited (#{reason})"

  defp ending(reason) when is_tuple(reason) and is_atom(elem(reason, 0)),
    do: "exited (#{elem(reason, 0)})"

  defp ending(_reason), do: "exited"

  defp place({_error, [_ | _] = trace}) do
    Enum.find_value(trace, "", fn
      {_module, _function, _arity, [_ | _] = location} -> in_source(location)
      _elsewhere -> nil
    end)
  end

  defp place(_reason), do: ""

  defp in_source(location) do
    if location[:file] && location[:line], do: " at #{location[:file]}:#{location[:line]}"
  end
end
