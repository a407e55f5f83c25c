defmodule Exosuit.Control.Command do
  @moduledoc false
  # One command from outside, checked: its arguments are all there, each of its kind, and no others.

  alias Exosuit.Error

  @type t :: %__MODULE__{id: term(), name: atom(), arguments: map()}

  # Arguments may hold secrets, and the log of a task that crashes shows what it was given.
  @derive {Inspect, except: [:arguments]}
  @enforce_keys [:id, :name, :arguments]
  defstruct [:id, :name, :arguments]

  @version 1

  # As the data plane counts.
  @most_instances 4_294_967_295
  @longest_timeout 86_400_000

  # On the wire => the facade's function, and the arguments: a kind, or a kind and a default.
  @commands %{
    "inventory" => {:inventory, []},
    "call" =>
      {:call,
       [
         actor: :string,
         operation: :string,
         payload_base64: {:base64, ""},
         timeout_ms: {:timeout, nil}
       ]},
    "actor.start" =>
      {:start_actor,
       [
         path: :path,
         id: {:string, nil},
         instances: {:instances, 1},
         config: {:string_map, %{}},
         annotations: {:string_map, %{}}
       ]},
    "actor.stop" => {:stop_actor, [id: :string]},
    "actor.scale" => {:scale_actor, [id: :string, instances: :instances]},
    "actor.update" => {:update_actor, [id: :string, path: :path, force: {:boolean, false}]},
    "provider.start" =>
      {:start_provider,
       [
         name: :string,
         id: {:string, nil},
         config: {:string_map, %{}},
         annotations: {:string_map, %{}}
       ]},
    "provider.stop" => {:stop_provider, [id: :string]},
    "link.put" =>
      {:put_link,
       [
         source: :string,
         target: :string,
         contract: :contract,
         name: {:string, "default"},
         interfaces: {:names, []},
         source_config: {:string_map, %{}},
         target_config: {:string_map, %{}}
       ]},
    "link.delete" =>
      {:delete_link, [source: :string, contract: :contract, name: {:string, "default"}]},
    "link.list" => {:links, []},
    "events" => {:events, []},
    "remote" => {:remote, []},
    "apply" => {:apply_manifest, [manifest: :path]},
    "delete" => {:delete_app, [app: :string]}
  }

  @doc "The command that a decoded line is, or what is wrong with it, under its id if it has one."
  @spec parse(term()) :: {:ok, t()} | {:error, id :: term(), Error.t()}
  def parse(%{} = request) do
    id = id(request)

    with :ok <- check_version(request),
         {:ok, {name, schema}} <- fetch_schema(request),
         {:ok, given} <- fetch_arguments(request),
         :ok <- check_known(given, schema),
         {:ok, arguments} <- check_all(given, schema) do
      {:ok, %__MODULE__{id: id, name: name, arguments: arguments}}
    else
      {:error, detail} -> {:error, id, Error.new(:invalid_input, detail)}
      {:unknown, detail} -> {:error, id, Error.new(:unknown_operation, detail)}
    end
  end

  def parse(_other) do
    {:error, nil, Error.new(:invalid_input, "expected an object with v, id and command")}
  end

  # Given back as it came, so it must not be a tree of its own.
  defp id(%{"id" => id}) when is_binary(id) or is_number(id), do: id
  defp id(_request), do: nil

  defp check_version(%{"v" => @version}), do: :ok
  defp check_version(_request), do: {:error, "expected \"v\": #{@version}, the only version"}

  defp fetch_schema(%{"command" => command}) when is_map_key(@commands, command) do
    Map.fetch(@commands, command)
  end

  defp fetch_schema(_request) do
    {:unknown, "expected \"command\" to be one of #{Enum.join(Map.keys(@commands), ", ")}"}
  end

  defp fetch_arguments(request) do
    case request["arguments"] || %{} do
      %{} = given -> {:ok, given}
      _other -> {:error, "expected \"arguments\" to be an object"}
    end
  end

  defp check_known(given, schema) do
    known = Enum.map(schema, fn {key, _kind} -> Atom.to_string(key) end)

    case Map.keys(given) -- known do
      [] -> :ok
      unknown -> {:error, "unknown arguments #{inspect(unknown)}, known are #{inspect(known)}"}
    end
  end

  defp check_all(given, schema) do
    Enum.reduce_while(schema, {:ok, %{}}, fn {key, rule}, {:ok, arguments} ->
      case check(given[Atom.to_string(key)], rule) do
        {:ok, value} -> {:cont, {:ok, Map.put(arguments, key, value)}}
        :error -> {:halt, {:error, "expected \"#{key}\" to be #{expectation(rule)}"}}
      end
    end)
  end

  defp check(nil, {_kind, default}), do: {:ok, default}
  defp check(value, {kind, _default}), do: check(value, kind)
  defp check(value, :base64) when is_binary(value), do: Base.decode64(value)
  defp check(value, kind), do: if(valid?(kind, value), do: {:ok, value}, else: :error)

  defp valid?(:string, value), do: is_binary(value) and value != ""
  defp valid?(:boolean, value), do: is_boolean(value)
  defp valid?(:instances, value), do: is_integer(value) and value in 1..@most_instances
  defp valid?(:timeout, value), do: is_integer(value) and value in 1..@longest_timeout

  # The host's working directory is nobody's business. A NUL would end the name for the kernel.
  defp valid?(:path, value) do
    is_binary(value) and Path.type(value) == :absolute and not String.contains?(value, <<0>>)
  end

  defp valid?(:contract, value), do: is_binary(value) and value =~ ~r/\A[^:]+:[^:]+\z/

  defp valid?(:names, value), do: is_list(value) and Enum.all?(value, &valid?(:string, &1))

  defp valid?(:string_map, value) do
    is_map(value) and Enum.all?(value, fn {_key, value} -> is_binary(value) end)
  end

  defp valid?(:base64, _value), do: false

  defp expectation({kind, _default}), do: "#{expectation(kind)}, or left out"
  defp expectation(:string), do: "a non-empty string"
  defp expectation(:boolean), do: "true or false"
  defp expectation(:instances), do: "a number from 1 to #{@most_instances}"
  defp expectation(:timeout), do: "a number of milliseconds from 1 to #{@longest_timeout}"
  defp expectation(:path), do: "an absolute path"
  defp expectation(:contract), do: "a contract like wasmcloud:keyvalue"
  defp expectation(:names), do: "a list of non-empty strings"
  defp expectation(:string_map), do: "an object whose values are strings"
  defp expectation(:base64), do: "base64"
end
