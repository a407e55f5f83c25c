defmodule Exosuit.Protocol.SocketTest do
  use ExUnit.Case, async: true

  alias Exosuit.Error
  alias Exosuit.Json
  alias Exosuit.Model.Command
  alias Exosuit.Protocol.Socket
  alias Exosuit.Protocol.Socket.Replies

  defp decode(command, arguments) do
    request(%{"v" => 1, "id" => 7, "command" => command, "arguments" => arguments})
  end

  defp request(request) do
    {:ok, line} = Json.encode(request)
    Socket.decode_line(line)
  end

  test "every name is a command" do
    digest = "sha256:" <> String.duplicate("0", 64)
    link = %{"source" => "a", "target" => "b", "contract" => "a:b"}

    for {name, arguments, command} <- [
          {"inventory", %{}, %Command.Inventory{}},
          {"actor.start", %{"path" => "/a", "config" => %{"k" => "v"}},
           %Command.StartActor{code: {:path, "/a"}, config: {:values, %{"k" => "v"}}}},
          {"actor.stop", %{"id" => "a"}, %Command.StopActor{id: "a"}},
          {"actor.scale", %{"id" => "a", "instances" => 2},
           %Command.ScaleActor{id: "a", instances: 2}},
          {"actor.update", %{"id" => "a", "path" => "/b", "force" => true},
           %Command.UpdateActor{id: "a", code: {:path, "/b"}, force: true}},
          {"provider.start", %{"name" => "keyvalue"},
           %Command.StartProvider{code: {:name, "keyvalue"}}},
          {"provider.stop", %{"id" => "kv"}, %Command.StopProvider{id: "kv"}},
          {"link.put", link, %Command.PutLink{source: "a", target: "b", contract: "a:b"}},
          {"link.delete", Map.delete(link, "target"),
           %Command.DeleteLink{source: "a", contract: "a:b"}},
          {"link.list", %{}, %Command.Links{of: :host}},
          {"events", %{}, %Command.Subscribe{}},
          {"remote", %{}, %Command.OpenRemote{}},
          {"stop", %{}, %Command.StopHost{}},
          {"apply", %{"manifest" => "/a.yaml", "if_version" => 3},
           %Command.ApplyManifest{manifest: "/a.yaml", if_version: 3}},
          {"delete", %{"app" => "a"}, %Command.DeleteApp{app: "a"}},
          {"app.list", %{}, %Command.ListApps{}},
          {"app.status", %{"app" => "a"}, %Command.AppStatus{app: "a"}},
          {"app.history", %{"app" => "a"}, %Command.AppHistory{app: "a"}},
          {"app.deploy", %{"app" => "a", "version" => 2},
           %Command.DeployApp{app: "a", version: 2}},
          {"app.undeploy", %{"app" => "a"}, %Command.UndeployApp{app: "a"}},
          {"app.rollback", %{"app" => "a"}, %Command.RollbackApp{app: "a"}},
          {"app.delete", %{"app" => "a"}, %Command.DeleteApp{app: "a"}},
          {"app.files", %{"manifest" => digest, "path" => "/a"},
           %Command.AppFiles{manifest: digest, path: "/a"}},
          {"app.put", %{"manifest" => digest, "path" => "/a"},
           %Command.PutApp{manifest: digest, path: "/a"}}
        ] do
      assert {:ok, 7, command} == decode(name, arguments)
    end
  end

  test "what is left out has its default, and what is given is decoded" do
    assert {:ok, 7, command} =
             decode("call", %{"actor" => "a", "operation" => "o", "payload_base64" => "aGk="})

    assert command == %Command.Call{actor: "a", operation: "o", payload: "hi", timeout: nil}
  end

  test "secrets are not shown" do
    {:ok, 7, command} =
      decode("provider.start", %{"name" => "kv", "config" => %{"key" => "secret"}})

    refute inspect(command) =~ "secret"
  end

  test "answers are lines with the id of the request" do
    call = %Command.Call{actor: "a", operation: "o"}

    for {result, answer} <- [
          {{:ok, "hi"}, %{"ok" => %{"payload_base64" => "aGk="}}},
          {{:error, Error.new(:limit, "full")},
           %{
             "error" => %{
               "code" => "limit",
               "detail" => Exception.message(Error.new(:limit, "full"))
             }
           }}
        ] do
      line = IO.iodata_to_binary(Replies.line("x", call, result))
      assert String.ends_with?(line, "}\n")
      assert Json.decode(line) == {:ok, Map.merge(answer, %{"v" => 1, "id" => "x"})}
    end
  end

  test "commands about applications are taken over NATS as well" do
    assert Socket.decode_command(["app", "list"], nil) == {:ok, %Command.ListApps{}}

    assert {:error, %Error{reason: :unknown_operation}} =
             Socket.decode_command(["actor", "stop"], %{"id" => "a"})

    assert Socket.encode_reply(%Command.ListApps{}, {:ok, %{apps: []}}) == %{ok: %{"apps" => []}}
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
      assert {:error, 7, error} = decode(command, arguments)
      assert error.reason == :invalid_input
      assert error.detail =~ text
    end
  end

  test "another version, another command, and no command at all are refused under their id" do
    assert {:error, "x", %{reason: :invalid_input}} = request(%{"v" => 2, "id" => "x"})
    assert {:error, 7, %{reason: :unknown_operation} = error} = decode("fly", %{})
    assert error.detail =~ "actor.start"
    assert {:error, nil, %{reason: :invalid_input}} = request([1])
    assert {:error, nil, _error} = request(%{"id" => %{"deep" => []}})
    assert {:error, nil, %{reason: :invalid_input}} = Socket.decode_line(<<255>>)
  end
end
