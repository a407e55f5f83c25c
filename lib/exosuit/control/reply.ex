defmodule Exosuit.Control.Reply do
  @moduledoc false
  # The lines that go out: `{"v":1,"id":…}` with `ok`, `error` or `event`.

  alias Exosuit.{Error, Event, Json}

  @version 1

  @doc "How a command went."
  @spec result(term(), Exosuit.Control.Execution.result()) :: iodata()
  def result(id, {:ok, value}), do: ok(id, value)
  def result(id, {:error, error}), do: error(id, error)

  def result(id, {:error, error, diagnostics}) do
    line(id, :error, Map.put(failure(error), :diagnostics, diagnostics))
  end

  @doc "How a command went, as a map for JSON."
  @spec body(Exosuit.Control.Execution.result()) :: map()
  def body({:ok, value}), do: %{ok: plain(value)}
  def body({:error, error}), do: %{error: plain(failure(error))}

  def body({:error, error, diagnostics}) do
    %{error: plain(Map.put(failure(error), :diagnostics, diagnostics))}
  end

  @doc "It worked, and this is what came of it."
  @spec ok(term(), term()) :: iodata()
  def ok(id, value), do: line(id, :ok, value)

  @doc "It did not work, and why."
  @spec error(term(), Error.t()) :: iodata()
  def error(id, error), do: line(id, :error, failure(error))

  @doc "Something happened on the host."
  @spec event(term(), Event.t()) :: iodata()
  def event(id, event), do: line(id, :event, Event.to_cloud_event(event))

  defp failure(error), do: %{code: error.reason, detail: Exception.message(error)}

  defp line(id, key, value) do
    {:ok, json} = Json.encode(%{:v => @version, :id => id, key => plain(value)})
    [json, ?\n]
  end

  # Terms of this VM as those of JSON. Processes and references mean nothing outside.
  defp plain(value) when is_number(value) or value in [nil, true, false], do: value
  defp plain(value) when is_atom(value), do: name(value)
  defp plain(value) when is_list(value), do: Enum.map(value, &plain/1)
  defp plain(%_{} = value), do: value |> Map.from_struct() |> plain()

  defp plain(%{} = value) do
    for {key, value} <- value, not is_pid(value), into: %{}, do: {text(key), plain(value)}
  end

  defp plain(value) when is_binary(value) do
    if String.valid?(value), do: value, else: inspect(value)
  end

  defp plain(value), do: inspect(value)

  defp text(key) when is_binary(key), do: key
  defp text(key), do: name(key)

  defp name(atom), do: atom |> inspect() |> String.trim_leading(":")
end
