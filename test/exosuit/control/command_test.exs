defmodule Exosuit.Control.CommandTest do
  use ExUnit.Case, async: true

  alias Exosuit.Control.Command

  defp parse(command, arguments) do
    Command.parse(%{"v" => 1, "id" => 7, "command" => command, "arguments" => arguments})
  end

  test "what is left out has its default, and what is given is decoded" do
    assert {:ok, %Command{id: 7, name: :call, arguments: arguments}} =
             parse("call", %{"actor" => "a", "operation" => "o", "payload_base64" => "aGk="})

    assert arguments == %{actor: "a", operation: "o", payload_base64: "hi", timeout_ms: nil}
  end

  test "what it was given is not shown: it may be a secret" do
    {:ok, command} = parse("provider.start", %{"name" => "kv", "config" => %{"key" => "secret"}})
    refute inspect(command) =~ "secret"
  end

  test "what is wrong is said with what would be right" do
    for {command, arguments, text} <- [
          {"call", %{"actor" => "a"}, ~s(expected "operation" to be a non-empty string)},
          {"call", %{"actor" => "", "operation" => "o"}, ~s("actor")},
          {"call", %{"actor" => "a", "operation" => "o", "payload_base64" => "%"}, "base64"},
          {"call", %{"actor" => "a", "operation" => "o", "timeout_ms" => 0}, "milliseconds"},
          {"actor.start", %{"path" => "relative.wasm"}, "an absolute path"},
          {"actor.start", %{"path" => "/a\0b"}, "an absolute path"},
          {"actor.start", %{"path" => "/a", "instances" => 4_294_967_296},
           "a number of instances from 1"},
          {"actor.start", %{"path" => "/a", "annotations" => %{"a" => 1}}, "values are strings"},
          {"actor.stop", %{"id" => "a", "force" => true}, ~s(unknown arguments ["force"])},
          {"link.put", %{"source" => "a", "target" => "b", "contract" => "kv"},
           "a contract like"},
          {"link.put",
           %{"source" => "a", "target" => "b", "contract" => "a:b", "interfaces" => [1]},
           ~s|expected "interfaces" to be a list of names (interface), or left out|},
          {"actor.start", %{"path" => "/a", "config" => %{"a" => 1}}, "values are strings"},
          {"inventory", [], ~s(expected "arguments" to be an object)}
        ] do
      assert {:error, 7, error} = parse(command, arguments)
      assert error.reason == :invalid_input
      assert error.detail =~ text
    end
  end

  test "another version, another command, and no command at all are refused under their id" do
    assert {:error, "x", %{reason: :invalid_input}} = Command.parse(%{"v" => 2, "id" => "x"})
    assert {:error, 7, %{reason: :unknown_operation} = error} = parse("fly", %{})
    assert error.detail =~ "actor.start"
    assert {:error, nil, %{reason: :invalid_input}} = Command.parse([1])
    assert {:error, nil, _error} = Command.parse(%{"id" => %{"deep" => []}})
  end
end
