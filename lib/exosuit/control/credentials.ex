defmodule Exosuit.Control.Credentials do
  @moduledoc false
  # What a host may show to a registry, by the registry's name. No log, event or reply shows it.

  alias Exosuit.Control.Schema
  alias Exosuit.Error

  @type t :: %__MODULE__{
          type: String.t(),
          username: String.t() | nil,
          password: String.t() | nil,
          token: String.t() | nil
        }

  @derive {Inspect, only: [:type]}
  @enforce_keys [:type]
  defstruct [:type, :username, :password, :token]

  @schema [
    registryType: {:text, nil},
    username: {:text, nil},
    password: {:text, nil},
    token: {:text, nil}
  ]

  @doc """
  Those of an object from registries to credentials. One without a type, where there is no default,
  and one without anything to show are left out.
  """
  @spec parse(term(), String.t() | nil) :: {:ok, %{String.t() => t()}} | {:error, Error.t()}
  def parse(%{} = body, default_type) do
    case Enum.find(body, fn {_server, given} -> not credential?(given) end) do
      nil ->
        {:ok, for({server, it} <- body, it = new(it, default_type), into: %{}, do: {server, it})}

      {_server, _given} ->
        refuse()
    end
  end

  def parse(_body, _default_type), do: refuse()

  defp credential?(%{} = given), do: match?({:ok, _fields}, Schema.check(given, @schema))
  defp credential?(_given), do: false

  defp new(given, default_type) do
    {:ok, fields} = Schema.check(given, @schema)
    {type, shown} = Map.pop(fields, :registryType)
    type = type || default_type
    if type && Enum.any?(Map.values(shown)), do: struct!(__MODULE__, Map.put(shown, :type, type))
  end

  defp refuse do
    detail = "expected an object from registries to registryType, username, password and token"
    {:error, Error.new(:invalid_input, detail)}
  end
end
