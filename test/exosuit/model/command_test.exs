defmodule Exosuit.Model.CommandTest do
  use ExUnit.Case, async: true

  alias Exosuit.Model.{Command, Credentials}

  doctest Command

  test "secrets are not shown, and names are" do
    secret = %{"key" => "secret"}
    code = {:name, "keyvalue"}

    for command <- [
          %Command.StartProvider{code: code, id: "shown", config: {:values, secret}},
          %Command.StartActor{code: {:path, "/a"}, id: "shown", config: {:values, secret}},
          %Command.Call{actor: "shown", operation: "o", payload: "secret"},
          %Command.PutConfig{name: "shown", values: secret},
          %Command.PutLink{source: "shown", target: "b", contract: "a:b", target_config: secret},
          %Command.PutLink{source: "shown", target: "b", contract: "a:b", source_config: secret}
        ] do
      assert inspect(command) =~ "shown"
      refute inspect(command) =~ "secret"
    end

    credentials = %Credentials{type: "oci", token: "secret"}
    refute inspect(%Command.PutRegistries{registries: %{"r" => credentials}}) =~ "secret"
  end

  test "a required field cannot be left out" do
    assert_raise ArgumentError, ~r/:id/, fn -> struct!(Command.StopActor, %{}) end
  end

  test "commands that change the same thing have the same subject, and queries none in common" do
    reference = {:reference, "file:///a.wasm"}
    link = [source: "a", contract: "a:b"]

    for commands <- [
          [
            %Command.ScaleActor{id: "a", instances: 1, start?: true, code: reference},
            %Command.StopActor{id: "a"},
            %Command.UpdateActor{id: "a", code: reference}
          ],
          [%Command.StartActor{code: reference}, %Command.StartActor{code: reference}],
          [%Command.StartProvider{code: {:name, "a"}}, %Command.StopProvider{id: "b"}],
          [struct!(Command.PutLink, [target: "b"] ++ link), struct!(Command.DeleteLink, link)],
          [%Command.PutConfig{name: "a", values: %{}}, %Command.DeleteConfig{name: "a"}],
          [%Command.PutLabel{key: "a", value: "b"}, %Command.DeleteLabel{key: "c"}],
          [%Command.DeployApp{app: "a"}, %Command.DeleteApp{app: "a"}]
        ] do
      assert [_subject] = commands |> Enum.map(&Command.subject/1) |> Enum.uniq()
    end

    assert Command.subject(%Command.StopActor{id: "a"}) !=
             Command.subject(%Command.StopActor{id: "b"})

    assert Command.subject(%Command.Inventory{}) != Command.subject(%Command.Inventory{})
  end
end
