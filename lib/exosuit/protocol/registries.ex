defmodule Exosuit.Protocol.Registries do
  @moduledoc """
  Decodes the body with the credentials for registries, which both generations send. Pure.

      {"registry.example.com": {"registryType": "oci", "username": "…", "password": "…"}}

  One invalid entry refuses the whole body, without a value of it: passwords must not get into errors.
  """

  alias Exosuit.Error
  alias Exosuit.Model.{Command, Credentials}
  alias Exosuit.Protocol.Schema

  @schema [
    registryType: {:text, nil},
    username: {:text, nil},
    password: {:text, nil},
    token: {:text, nil}
  ]

  @doc """
  Decodes an object that maps registries to credentials. Leaves out credentials without a name, password or token,
  and credentials without a type if there is no default type. In the OTP era there is none; 1.x has `"oci"`.
  """
  @spec decode(term(), String.t() | nil) :: {:ok, Command.PutRegistries.t()} | {:error, Error.t()}
  def decode(%{} = body, default_type) do
    if Enum.all?(body, fn {_server, given} -> credential?(given) end) do
      registries =
        for {server, given} <- body,
            credentials = new(given, default_type),
            into: %{},
            do: {server, credentials}

      {:ok, %Command.PutRegistries{registries: registries}}
    else
      refuse()
    end
  end

  def decode(_body, _default_type), do: refuse()

  defp credential?(%{} = given), do: match?({:ok, _fields}, Schema.check(given, @schema))
  defp credential?(_given), do: false

  defp new(given, default_type) do
    {:ok, fields} = Schema.check(given, @schema)
    {type, shown} = Map.pop(fields, :registryType)
    type = type || default_type
    if type && Enum.any?(Map.values(shown)), do: struct!(Credentials, Map.put(shown, :type, type))
  end

  defp refuse do
    detail = "expected an object from registries to registryType, username, password and token"
    {:error, Error.new(:invalid_input, detail)}
  end
end
