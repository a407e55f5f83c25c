defmodule Exosuit.Protocol.Wadm.Request do
  @moduledoc """
  A request to wadm's API, decoded.

  | `operation` | subject behind `wadm.api.<lattice>.model.` | body |
  |---|---|---|
  | `:list` | `list` | |
  | `:get_all` | `get` | |
  | `:get` | `get.<name>` | `version` |
  | `:put` | `put` | the manifest |
  | `:versions` | `versions.<name>` | |
  | `:delete` | `del.<name>` | `version`, `delete_all` of 0.7 |
  | `:deploy` | `deploy.<name>` | `version` |
  | `:undeploy` | `undeploy.<name>` | `non_destructive` of 0.7, which must be false |
  | `:status` | `status.<name>` | |

  A body is empty or an object of JSON. No `version` means the newest one, and for `:delete` all of them.
  """

  alias Exosuit.{Error, Json}

  @type operation ::
          :list | :get_all | :get | :put | :versions | :delete | :deploy | :undeploy | :status

  @type t :: %__MODULE__{
          operation: operation(),
          name: String.t() | nil,
          version: String.t() | nil,
          manifest: binary() | nil
        }

  @derive {Inspect, except: [:manifest]}
  @enforce_keys [:operation]
  defstruct [:operation, :name, :version, :manifest]

  # What a NATS server takes by default, and the largest manifest.
  @max_manifest 1_048_576
  # A name and a version.
  @max_body 4_096
  @max_version 1_024

  @named %{
    "get" => {:get, ["version"]},
    "versions" => {:versions, []},
    "del" => {:delete, ["version", "delete_all"]},
    "deploy" => {:deploy, ["version"]},
    "undeploy" => {:undeploy, ["non_destructive"]},
    "status" => {:status, []}
  }

  @doc "The request of a message, by the tokens of its subject behind the lattice."
  @spec decode([String.t()], binary()) :: {:ok, t()} | {:error, Error.t()}
  def decode(["model", "list"], _body), do: {:ok, %__MODULE__{operation: :list}}
  def decode(["model", "get"], _body), do: {:ok, %__MODULE__{operation: :get_all}}

  def decode(["model", "put"], body) when byte_size(body) > @max_manifest do
    refuse("the manifest has #{byte_size(body)} bytes, expected at most #{@max_manifest}")
  end

  def decode(["model", "put"], ""), do: refuse("expected a manifest as the body, found nothing")
  def decode(["model", "put"], body), do: {:ok, %__MODULE__{operation: :put, manifest: body}}

  def decode(["model", "history", _name], _body) do
    refuse("wadm's history is not supported; use model.versions")
  end

  def decode(["model", verb, name], body) when is_map_key(@named, verb) do
    {operation, fields} = Map.fetch!(@named, verb)

    with :ok <- check_name(name),
         {:ok, given} <- object(body),
         :ok <- check_known(given, fields),
         {:ok, version} <- version(operation, given),
         do: {:ok, %__MODULE__{operation: operation, name: name, version: version}}
  end

  def decode(tokens, _body) do
    subject = tokens |> Enum.join(".") |> inspect(printable_limit: 200)
    expected = "model.list, .get, .put, .versions, .del, .deploy, .undeploy or .status"

    {:error,
     Error.new(:unknown_operation, "unsupported subject #{subject}, expected #{expected}")}
  end

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

  # A tool of 0.7 says that all versions are meant, or which one.
  defp version(:delete, %{"delete_all" => true}), do: {:ok, nil}

  defp version(:delete, %{"delete_all" => other}) when other not in [nil, false] do
    refuse("expected \"delete_all\" to be true or false")
  end

  defp version(:delete, %{"version" => ""}) do
    refuse("expected \"version\" to name a version, or to be left out for all of them")
  end

  defp version(:undeploy, %{"non_destructive" => other}) when other not in [nil, false] do
    refuse("an application cannot be undeployed while its components go on")
  end

  defp version(operation, %{"version" => version})
       when is_binary(version) and byte_size(version) <= @max_version do
    {:ok, if(operation == :deploy and version in ["", "latest"], do: nil, else: version)}
  end

  defp version(_operation, %{"version" => version}) when version != nil do
    refuse("expected \"version\" to be a string of at most #{@max_version} bytes")
  end

  defp version(_operation, _none), do: {:ok, nil}

  defp shown(text), do: inspect(text, printable_limit: 100)
  defp refuse(detail), do: {:error, Error.new(:invalid_input, detail)}
end
