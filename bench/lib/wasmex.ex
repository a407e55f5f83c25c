defmodule Exosuit.Bench.Wasmex do
  @moduledoc false
  # wasmex, the other host of components for Elixir, where `EXOSUIT_WASMEX` says that it is: a checkout that is
  # compiled, or its `ebin` directory. No part of Exosuit needs it, so it is called by names alone.

  @variable "EXOSUIT_WASMEX"
  @components Wasmex.Components

  @doc "Starts an instance of the component in wasmex; `nil` without wasmex."
  @spec start(Path.t()) :: pid() | nil
  def start(wasm) do
    case System.get_env(@variable) do
      unset when unset in [nil, ""] -> nil
      path -> start(path, wasm)
    end
  end

  defp start(path, wasm) do
    path |> directories() |> Enum.each(&Code.append_path/1)

    unless Code.ensure_loaded?(@components) do
      raise ArgumentError,
            "expected #{@variable} to be a compiled checkout of wasmex with components (0.10 or newer), or the " <>
              "ebin directory of one; there is no #{inspect(@components)} in #{path}"
    end

    {:ok, _started} = Application.ensure_all_started(:wasmex)
    {:ok, instance} = apply(@components, :start_link, [%{path: wasm}])
    instance
  end

  # Of a checkout, and beside an `ebin`: wasmex and what it depends on.
  defp directories(path) do
    checkout = Path.wildcard(Path.join(path, "_build/*/lib/*/ebin"))
    ebin = Path.wildcard(Path.join(path, "../../*/ebin"))
    if checkout == [], do: [path | ebin], else: checkout
  end

  @doc "A call of a function that gives back what it takes."
  @spec call(pid(), String.t(), term()) :: (() -> term())
  def call(instance, function, value) do
    value = in_its_form(value)
    fn -> {:ok, ^value} = apply(@components, :call_function, [instance, function, [value]]) end
  end

  # There, an option that is present is always marked.
  defp in_its_form(%{note: note} = person), do: %{person | note: {:some, note}}
  defp in_its_form(value), do: value
end
