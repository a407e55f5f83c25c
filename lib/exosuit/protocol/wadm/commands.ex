defmodule Exosuit.Protocol.Wadm.Commands do
  @moduledoc """
  Decodes the requests to wadm's API.

  | subject behind `wadm.api.<lattice>.model.` | body | command |
  |---|---|---|
  | `list` | | `ListApps` |
  | `get` | | `GetManifest` without an `app` |
  | `get.<name>` | `version` | `GetManifest` |
  | `put` | the manifest | `StoreManifest` |
  | `versions.<name>` | | `AppHistory` |
  | `del.<name>` | `version`, `delete_all` of 0.7 | `DeleteApp` |
  | `deploy.<name>` | `version` | `DeployApp` |
  | `undeploy.<name>` | `non_destructive` of 0.7, which must be false | `UndeployApp` |
  | `status.<name>` | | `AppStatus` |

  A body is empty or an object of JSON. Without `version`, the newest version is meant, and for `del` all of them.
  """

  alias Exosuit.{Error, Json}
  alias Exosuit.Model.Command

  # The largest message of a NATS server by default, and the largest manifest.
  @max_manifest 1_048_576
  # Room for a name and a version.
  @max_body 4_096
  @max_version 1_024

  @fields %{
    "get" => ["version"],
    "versions" => [],
    "del" => ["version", "delete_all"],
    "deploy" => ["version"],
    "undeploy" => ["non_destructive"],
    "status" => []
  }

  @doc """
  Decodes a message, by the tokens of its subject behind the lattice.

  `:unknown_operation` for another subject, and `:invalid_input` for a body of another form. A manifest has 1 MiB at
  most, and any other body 4 KiB.

      iex> Exosuit.Protocol.Wadm.Commands.decode(["model", "deploy", "shop"], ~s({"version": "latest"}))
      {:ok, %Exosuit.Model.Command.DeployApp{app: "shop", version: nil}}
  """
  @spec decode([String.t()], binary()) :: {:ok, Command.t()} | {:error, Error.t()}
  def decode(["model", "list"], _body), do: {:ok, %Command.ListApps{}}
  def decode(["model", "get"], _body), do: {:ok, %Command.GetManifest{}}

  def decode(["model", "put"], body) when byte_size(body) > @max_manifest do
    refuse("the manifest has #{byte_size(body)} bytes, expected at most #{@max_manifest}")
  end

  def decode(["model", "put"], ""), do: refuse("expected a manifest as the body, found nothing")
  def decode(["model", "put"], body), do: {:ok, %Command.StoreManifest{text: body}}

  def decode(["model", "history", _name], _body) do
    refuse("wadm's history is not supported; use model.versions")
  end

  def decode(["model", verb, name], body) when is_map_key(@fields, verb) do
    with :ok <- check_name(name),
         {:ok, given} <- object(body),
         :ok <- check_known(given, Map.fetch!(@fields, verb)),
         {:ok, version} <- version(verb, given),
         do: {:ok, command(verb, name, version)}
  end

  def decode(tokens, _body) do
    subject = tokens |> Enum.join(".") |> inspect(printable_limit: 200)
    expected = "model.list, .get, .put, .versions, .del, .deploy, .undeploy or .status"

    {:error,
     Error.new(:unknown_operation, "unsupported subject #{subject}, expected #{expected}")}
  end

  defp command("get", name, version), do: %Command.GetManifest{app: name, version: version}
  defp command("versions", name, _none), do: %Command.AppHistory{app: name}
  defp command("del", name, version), do: %Command.DeleteApp{app: name, version: version}
  defp command("deploy", name, version), do: %Command.DeployApp{app: name, version: version}
  defp command("undeploy", name, _none), do: %Command.UndeployApp{app: name}
  defp command("status", name, _none), do: %Command.AppStatus{app: name}

  defp check_name(name) do
    if name =~ ~r/\A[A-Za-z0-9_-]{1,255}\z/,
      do: :ok,
      else:
        refuse(
          "expected the name of an application, 1 to 255 characters of A-Z, a-z, 0-9, _ and -, " <>
            "got #{inspect(name, printable_limit: 100)}"
        )
  end

  defp object(""), do: {:ok, %{}}

  defp object(body) when byte_size(body) > @max_body do
    refuse("the body has #{byte_size(body)} bytes, expected at most #{@max_body}")
  end

  defp object(body) do
    case Json.decode(body) do
      {:ok, %{} = object} -> {:ok, object}
      {:ok, _other} -> refuse("expected an object of JSON as the body")
      {:error, error} -> refuse("expected an object of JSON as the body: #{error.detail}")
    end
  end

  defp check_known(given, fields) do
    case Map.keys(given) -- fields do
      [] -> :ok
      [unknown | _more] -> refuse("unknown field #{shown(unknown)}, known are #{inspect(fields)}")
    end
  end

  # A tool of 0.7 sends either `delete_all` or a version.
  defp version("del", %{"delete_all" => true}), do: {:ok, nil}

  defp version("del", %{"delete_all" => other}) when other not in [nil, false] do
    refuse("expected \"delete_all\" to be true or false")
  end

  defp version("del", %{"version" => ""}) do
    refuse("expected \"version\" to name a version, or to be left out for all of them")
  end

  defp version("undeploy", %{"non_destructive" => other}) when other not in [nil, false] do
    refuse("an application cannot be undeployed while its components go on")
  end

  defp version(verb, %{"version" => version})
       when is_binary(version) and byte_size(version) <= @max_version do
    {:ok, if(verb == "deploy" and version in ["", "latest"], do: nil, else: version)}
  end

  defp version(_verb, %{"version" => version}) when version != nil do
    refuse("expected \"version\" to be a string of at most #{@max_version} bytes")
  end

  defp version(_verb, _none), do: {:ok, nil}

  defp shown(text), do: inspect(text, printable_limit: 100)
  defp refuse(detail), do: {:error, Error.new(:invalid_input, detail)}
end
