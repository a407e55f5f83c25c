defmodule Exosuit.Environment.Engine do
  @moduledoc """
  The environment variables that set limits of the engine: `EXOSUIT_` and the name of the option in capitals. Pure.

  `Exosuit.Config.Engine` has the options and their bounds; `guides/release.md` describes them. The engine is shared by
  all hosts of a VM, so these variables are not options of a host.
  """

  alias Exosuit.Config.Engine

  @doc """
  The options that are set, with `{:mistake, text}` in the place of a wrong value. An empty value counts as not set.
  """
  @spec read(%{optional(String.t()) => String.t()}) :: keyword()
  def read(env) do
    for name <- Engine.names(),
        variable = "EXOSUIT_" <> String.upcase(to_string(name)),
        value = env[variable],
        value not in [nil, ""],
        do: {name, checked(name, variable, value)}
  end

  defp checked(name, variable, text) do
    case Integer.parse(text) do
      {number, ""} -> within(name, variable, number)
      _other -> mistake(variable, "an integer", text)
    end
  end

  defp within(name, variable, number) do
    Engine.new!([{name, number}])
    number
  rescue
    error in ArgumentError -> mistake(variable, expected(error, name), to_string(number))
  end

  # `expected :name to be WHAT, got: …`
  defp expected(error, name) do
    error
    |> Exception.message()
    |> String.replace_prefix("expected #{inspect(name)} to be ", "")
    |> String.replace(~r/, got: .*/s, "")
  end

  defp mistake(variable, expected, found) do
    {:mistake, "expected #{variable} to be #{expected}, got: #{inspect(found)}"}
  end
end
