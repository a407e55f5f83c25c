defmodule Exosuit.Protocol.Record do
  @moduledoc """
  The parts of stored records that both generations of wasmCloud have in common. Pure.

  Anybody on the bus can write records, so nothing in them is trusted. Each error is `:invalid_input`, and shows no
  value: values may be secrets.
  """

  alias Exosuit.{Error, Input, Json}
  alias Exosuit.Model.{Configuration, Link}

  @doc "Decodes a record that is an object of JSON, with texts as keys."
  @spec decode(binary()) :: {:ok, map()} | {:error, Error.t()}
  def decode(record) do
    case Json.decode(record) do
      {:ok, %{} = fields} -> {:ok, fields}
      {:ok, _other} -> refuse("expected an object in JSON")
      error -> error
    end
  end

  @doc """
  Decodes a stored configuration: an object of texts.

      iex> Exosuit.Protocol.Record.decode_configuration(~s({"bucket": "shop"}))
      {:ok, %{"bucket" => "shop"}}
      iex> {:error, error} = Exosuit.Protocol.Record.decode_configuration(~s({"size": 7}))
      iex> error.reason
      :invalid_input
  """
  @spec decode_configuration(binary()) :: {:ok, Configuration.t()} | {:error, Error.t()}
  def decode_configuration(record) do
    with {:ok, values} <- decode(record),
         true <- texts?(values) do
      {:ok, values}
    else
      false -> refuse("expected a configuration to be an object of texts")
      error -> error
    end
  end

  @doc """
  Checks the form of a link as the router does. Otherwise every host would refuse a wrong link again and again.
  """
  @spec check_link(Link.t()) :: {:ok, Link.t()} | {:error, Error.t()}
  def check_link(link) do
    cond do
      not Enum.all?([link.source, link.target, link.name], &Input.name?(:id, &1)) ->
        refuse("expected source, target and name of a link to be names")

      not contract?(link) ->
        refuse("expected a namespace and a package")

      not (names?(link.interfaces, :interface) and configurations?(link)) ->
        refuse("expected interfaces and configurations to be lists of names")

      not texts?(link.target_config) ->
        refuse("expected the values of a link to be texts")

      true ->
        {:ok, link}
    end
  end

  @doc "Whether this is a map of texts."
  @spec texts?(term()) :: boolean()
  def texts?(values) do
    is_map(values) and Enum.all?(values, fn {_key, value} -> is_binary(value) end)
  end

  @doc "An error about the form of a record."
  @spec refuse(String.t()) :: {:error, Error.t()}
  def refuse(detail), do: {:error, Error.new(:invalid_input, detail)}

  defp contract?(%{namespace: namespace, package: package}) do
    Input.name?(:namespace, namespace) and Input.name?(:package, package)
  end

  defp configurations?(link) do
    Enum.all?([link.source_configs, link.target_configs], &names?(&1, :configuration))
  end

  defp names?(names, kind), do: is_list(names) and Enum.all?(names, &Input.name?(kind, &1))
end
