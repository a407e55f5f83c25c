defmodule Exosuit.Provider.Failure do
  @moduledoc """
  Describes how the callback of a provider ended without an answer.

  The text may reach a guest. It therefore never has the message of an exception, the arguments in a stack trace or the
  term of an exit, which may hold a payload or a secret. OTP logs no failure of a call that `contain/1` runs, because
  the exit reason is a shutdown: the event `invocation_failed` has the exception and its place, and the rate of the log
  is bounded.
  """

  # The longest shown name of an operation, which a guest may choose; the router has the same bound.
  @max_operation 255

  @doc """
  The name of an operation for people, which a guest may have chosen: 255 characters at most, control characters
  escaped.

      iex> Exosuit.Provider.Failure.operation("Get\\n")
      "Get\\\\n"
  """
  @spec operation(String.t()) :: String.t()
  def operation(name) do
    name
    |> String.slice(0, @max_operation)
    |> inspect(binaries: :as_strings)
    |> String.slice(1..-2//1)
  end

  @doc """
  Runs a call. If it raises, throws or exits, its process ends with a reason that has no secret.

  | the call | exit reason |
  |---|---|
  | raises | `{:shutdown, {:raised, module, stacktrace}}`, with arities in place of arguments |
  | throws | `{:shutdown, {:threw, stacktrace}}` |
  | exits | `{:shutdown, {:exited, atom}}`: the reason, or its first element, if that is an atom |
  """
  @spec contain((() -> result)) :: result when result: term()
  def contain(fun) do
    fun.()
  rescue
    exception -> exit({:shutdown, {:raised, exception.__struct__, bare(__STACKTRACE__)}})
  catch
    :throw, _value -> exit({:shutdown, {:threw, bare(__STACKTRACE__)}})
    :exit, :normal -> exit(:normal)
    :exit, {:invalid_answer, _operation, _why} = reason -> exit({:shutdown, reason})
    :exit, reason -> exit({:shutdown, {:exited, head(reason)}})
  end

  @doc """
  Describes how `module` failed, from the exit reason of its process.

      iex> Exosuit.Provider.Failure.describe(MyApp.Greeter, {:shutdown, {:raised, KeyError, []}})
      "MyApp.Greeter raised KeyError"
      iex> Exosuit.Provider.Failure.describe(MyApp.Greeter, :killed)
      "MyApp.Greeter was killed"
  """
  @spec describe(module(), term()) :: String.t()
  def describe(_module, :normal), do: "the provider ended the call without an answer"
  def describe(module, reason), do: "#{inspect(module)} #{ending(reason)}"

  @doc """
  As `describe/2`, with the file and line of the source. For events and logs of the host, not for guests.
  """
  @spec locate(module(), term()) :: String.t()
  def locate(module, reason), do: describe(module, reason) <> place(reason)

  defp ending(:killed), do: "was killed"
  defp ending({:shutdown, {:raised, struct, _trace}}), do: "raised #{inspect(struct)}"
  defp ending({:shutdown, {:threw, _trace}}), do: "threw a value that was not caught"
  defp ending({:shutdown, {:exited, nil}}), do: "exited"
  defp ending({:shutdown, {:exited, head}}), do: "exited (#{head})"
  defp ending({:shutdown, {:invalid_answer, _, _} = reason}), do: ending(reason)

  defp ending({:invalid_answer, operation, why}) when is_binary(operation) and is_binary(why),
    do: "answered #{operation} with a value of the wrong type: #{why}"

  defp ending({{:nocatch, _value}, trace}) when is_list(trace),
    do: "threw a value that was not caught"

  defp ending({error, trace}) when is_list(trace) do
    "raised #{inspect(Exception.normalize(:error, error, trace).__struct__)}"
  end

  defp ending(reason), do: ending({:shutdown, {:exited, head(reason)}})

  defp head(reason) when is_atom(reason), do: reason

  defp head(reason) when is_tuple(reason) and tuple_size(reason) > 0 and is_atom(elem(reason, 0)),
    do: elem(reason, 0)

  defp head(_reason), do: nil

  # Replaces the arguments by their number.
  defp bare(trace) do
    for {module, function, arity, location} <- trace do
      {module, function, if(is_list(arity), do: length(arity), else: arity), location}
    end
  end

  defp place({:shutdown, {:raised, _struct, trace}}), do: place({:raised, trace})
  defp place({:shutdown, {:threw, trace}}), do: place({:threw, trace})

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
